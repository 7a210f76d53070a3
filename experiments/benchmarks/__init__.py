"""Speed and memory as ratios measured in one run; each script prints one table."""

# Before any script imports TensorFlow, so that oneDNN is on as users of the package have it.
import rust_tuner as rust_tuner
