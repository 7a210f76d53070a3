"""Backbones, architectures, hypermodels and frozen features."""
