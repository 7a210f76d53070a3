"""Cross-validated hyperparameter search for medical-image transfer learning.

The public names are imported on first use, so that `import rust_tuner` costs nothing and does not
start TensorFlow. It does choose TensorFlow's oneDNN kernels, which is possible only before
TensorFlow is imported; the environment variable `TF_ENABLE_ONEDNN_OPTS` has precedence.
"""

from importlib import import_module

from rust_tuner.onednn import choose_onednn, onednn_is_chosen

# `typing` takes longer to import than the rest of this file, in which Ctrl-C has no answer yet.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__version__ = "0.2.0"

_HOMES = {
    "Protocol": "rust_tuner.protocol",
    "Radiographs": "rust_tuner.data.manifest",
    "load_manifest": "rust_tuner.data.manifest",
    "load_onehot_manifest": "rust_tuner.data.manifest",
    "Development": "rust_tuner.data.splits",
    "HoldOut": "rust_tuner.data.splits",
    "Folds": "rust_tuner.data.splits",
    "split_holdout": "rust_tuner.data.splits",
    "make_site_folds": "rust_tuner.data.splits",
    "make_folds": "rust_tuner.data.splits",
    "k_fold_dataset": "rust_tuner.data.pipeline",
    "LeNet1998": "rust_tuner.models.architectures",
    "TransferLearningModel": "rust_tuner.models.architectures",
    "TransferLearningHyperModel": "rust_tuner.models.hypermodels",
    "cross_validate": "rust_tuner.search.cross_validation",
    "calculate_mean_metrics": "rust_tuner.search.cross_validation",
    "RandomSearchOracle": "rust_tuner.search.oracles",
    "GridSearchOracle": "rust_tuner.search.oracles",
    "CrossValidationTuner": "rust_tuner.search.tuner",
    "regime_1": "rust_tuner.search.regimes",
    "regime_2": "rust_tuner.search.regimes",
    "run_baselines": "rust_tuner.search.baselines",
    "predict_radiographs": "rust_tuner.steps.predict",
    "write_phantoms": "rust_tuner.data.phantoms",
    "nested_cross_validation": "rust_tuner.steps.nested",
    "export_best_hyperparameters": "rust_tuner.analysis.export",
    "RustTunerError": "rust_tuner.errors",
    "Study": "rust_tuner.study",
    "metrics": "",
}

__all__ = sorted(_HOMES)


if not onednn_is_chosen():
    choose_onednn()


def __getattr__(name: str) -> "Any":
    """Import a public name from its home when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'rust_tuner' has no attribute {name!r}")
    home = _HOMES[name]
    return getattr(import_module(home), name) if home else import_module(f"rust_tuner.{name}")


def __dir__() -> list[str]:
    """List the public names beside the module's own."""
    return sorted({*globals(), *_HOMES})
