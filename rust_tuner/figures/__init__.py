"""Figures: each is a function of a tidy DataFrame and an Axes."""
