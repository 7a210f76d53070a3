"""One short script for each published experiment, on the public API alone."""

# Before the scripts import Keras: it decides which kernels TensorFlow computes with.
import rust_tuner as rust_tuner
