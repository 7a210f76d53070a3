"""Metrics of multi-label predictions with their intervals, in NumPy float64."""

from rust_tuner.metrics.agreement import (
    ScoreAgreement,
    TotalAgreement,
    UnionAgreement,
    intraclass_correlation,
    score_agreement,
    total_agreement,
    union_agreement,
)
from rust_tuner.metrics.assessment import Predictions, assess
from rust_tuner.metrics.calibration import (
    ReliabilityTable,
    brier_score,
    expected_calibration_error,
    reliability_table,
)
from rust_tuner.metrics.class_figures import ClassFigures, class_figures
from rust_tuner.metrics.clustered_auroc import AreaWithVariance, ClusteredAurocs
from rust_tuner.metrics.comparison import PairedTest, corrected_t_test, tied_with_best
from rust_tuner.metrics.decisions import DecisionTable, decisions
from rust_tuner.metrics.figure import Figure
from rust_tuner.metrics.fold_auroc import FoldMacroAuroc
from rust_tuner.metrics.fold_interval import fold_interval
from rust_tuner.metrics.gain import Gain, gain_over, view_only_of_folds
from rust_tuner.metrics.jackknife import Jackknife, patient_jackknife
from rust_tuner.metrics.keras_auc import keras_auroc, keras_aurocs
from rust_tuner.metrics.ranking import (
    MacroAverage,
    auroc,
    average_precision,
    macro_auroc,
    macro_aurocs,
    macro_average,
    macro_average_precision,
    micro_auroc,
    micro_average_precision,
)
from rust_tuner.metrics.shuffled_variance import shuffled_variance
from rust_tuner.metrics.uncertainty import (
    AurocIntervals,
    BootstrapInterval,
    Interval,
    auroc_intervals,
    patient_bootstrap,
)
from rust_tuner.metrics.union_cutoff import UnionCutoff, choose_union_cutoff
from rust_tuner.metrics.view_only import ViewOnlyBaseline, view_only_baseline, view_only_scores
from rust_tuner.metrics.visits import VisitTotals, paired_totals
from rust_tuner.metrics.weighted_ranking import WeightedAuroc, WeightedAveragePrecision

__all__ = [
    "AreaWithVariance",
    "AurocIntervals",
    "BootstrapInterval",
    "ClassFigures",
    "ClusteredAurocs",
    "DecisionTable",
    "Figure",
    "FoldMacroAuroc",
    "Gain",
    "Interval",
    "Jackknife",
    "MacroAverage",
    "PairedTest",
    "Predictions",
    "ReliabilityTable",
    "ScoreAgreement",
    "TotalAgreement",
    "UnionAgreement",
    "UnionCutoff",
    "ViewOnlyBaseline",
    "VisitTotals",
    "WeightedAuroc",
    "WeightedAveragePrecision",
    "assess",
    "auroc",
    "auroc_intervals",
    "average_precision",
    "brier_score",
    "choose_union_cutoff",
    "class_figures",
    "corrected_t_test",
    "decisions",
    "expected_calibration_error",
    "fold_interval",
    "gain_over",
    "intraclass_correlation",
    "keras_auroc",
    "keras_aurocs",
    "macro_auroc",
    "macro_aurocs",
    "macro_average",
    "macro_average_precision",
    "micro_auroc",
    "micro_average_precision",
    "paired_totals",
    "patient_bootstrap",
    "patient_jackknife",
    "reliability_table",
    "score_agreement",
    "shuffled_variance",
    "tied_with_best",
    "total_agreement",
    "union_agreement",
    "view_only_baseline",
    "view_only_of_folds",
    "view_only_scores",
]
