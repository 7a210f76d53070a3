"""Guards against leakage, and sanity checks: a verdict for each, see `run`."""
