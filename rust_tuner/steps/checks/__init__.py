"""Checks for leakage and sanity checks, each with a verdict; see `run`."""
