"""Drawing functions: each takes a tidy DataFrame and an Axes, and computes no score."""
