"""One short script for each published experiment, on the public API alone."""
