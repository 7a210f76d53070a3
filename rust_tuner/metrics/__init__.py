"""Figures for multi-label predictions, in NumPy float64."""

from rust_tuner.metrics.ranking import (
    ViewOnlyBaseline,
    auroc,
    macro_auroc,
    macro_aurocs,
    view_only_baseline,
)

__all__ = ["ViewOnlyBaseline", "auroc", "macro_auroc", "macro_aurocs", "view_only_baseline"]
