"""Figures for multi-label predictions, in NumPy float64."""

from rust_tuner.metrics.agreement import (
    ScoreAgreement,
    TotalAgreement,
    UnionAgreement,
    intraclass_correlation,
    score_agreement,
    total_agreement,
    union_agreement,
)
from rust_tuner.metrics.calibration import (
    ReliabilityTable,
    brier_score,
    expected_calibration_error,
    reliability_table,
)
from rust_tuner.metrics.decisions import DecisionTable, decisions
from rust_tuner.metrics.ranking import (
    ViewOnlyBaseline,
    auroc,
    average_precision,
    macro_auroc,
    macro_aurocs,
    micro_auroc,
    view_only_baseline,
)
from rust_tuner.metrics.uncertainty import (
    AurocIntervals,
    BootstrapInterval,
    Interval,
    PairedTest,
    WeightedAuroc,
    auroc_intervals,
    corrected_t_test,
    patient_bootstrap,
    tied_with_best,
)

__all__ = [
    "AurocIntervals",
    "BootstrapInterval",
    "DecisionTable",
    "Interval",
    "PairedTest",
    "ReliabilityTable",
    "ScoreAgreement",
    "TotalAgreement",
    "UnionAgreement",
    "ViewOnlyBaseline",
    "WeightedAuroc",
    "auroc",
    "auroc_intervals",
    "average_precision",
    "brier_score",
    "corrected_t_test",
    "decisions",
    "expected_calibration_error",
    "intraclass_correlation",
    "macro_auroc",
    "macro_aurocs",
    "micro_auroc",
    "patient_bootstrap",
    "reliability_table",
    "score_agreement",
    "tied_with_best",
    "total_agreement",
    "union_agreement",
    "view_only_baseline",
]
