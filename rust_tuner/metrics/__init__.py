"""Figures for multi-label predictions, in NumPy float64."""
