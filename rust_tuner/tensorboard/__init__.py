"""Writes TensorBoard logs of searches from their records."""
