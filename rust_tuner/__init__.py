"""Cross-validated hyperparameter search for medical-image transfer learning.

The public names are imported on first use, so that `import rust_tuner` is fast and does not start
TensorFlow. It chooses TensorFlow's oneDNN kernels and hides its notices, which is possible only
before TensorFlow is imported; the environment variables `TF_ENABLE_ONEDNN_OPTS` and
`TF_CPP_MIN_LOG_LEVEL` have precedence.
"""

import sys
from importlib import import_module

from rust_tuner.onednn import choose_onednn, onednn_is_chosen

# Not from `typing`, which takes longer to import than the rest of this file; until then, Ctrl-C is
# not handled.
TYPE_CHECKING = False
if TYPE_CHECKING:
    # For type checkers: what `__getattr__` imports on first use. A test compares it with `_HOMES`.
    from rust_tuner import metrics as metrics
    from rust_tuner.analysis.export import (
        export_best_hyperparameters as export_best_hyperparameters,
    )
    from rust_tuner.data.folds import Folds as Folds
    from rust_tuner.data.folds import make_folds as make_folds
    from rust_tuner.data.folds import make_site_folds as make_site_folds
    from rust_tuner.data.manifest import Radiographs as Radiographs
    from rust_tuner.data.manifest import load_manifest as load_manifest
    from rust_tuner.data.manifest import load_onehot_manifest as load_onehot_manifest
    from rust_tuner.data.phantoms import write_phantoms as write_phantoms
    from rust_tuner.data.pipeline import k_fold_dataset as k_fold_dataset
    from rust_tuner.data.splits import Development as Development
    from rust_tuner.data.splits import HoldOut as HoldOut
    from rust_tuner.data.splits import split_holdout as split_holdout
    from rust_tuner.errors import RustTunerError as RustTunerError
    from rust_tuner.models.architectures import LeNet1998 as LeNet1998
    from rust_tuner.models.architectures import TransferLearningModel as TransferLearningModel
    from rust_tuner.models.hypermodels import (
        TransferLearningHyperModel as TransferLearningHyperModel,
    )
    from rust_tuner.protocol import Protocol as Protocol
    from rust_tuner.search.baselines import run_baselines as run_baselines
    from rust_tuner.search.bayesian import BayesianOptimizationOracle as BayesianOptimizationOracle
    from rust_tuner.search.cross_validation import cross_validate as cross_validate
    from rust_tuner.search.executors.workers import Workers as Workers
    from rust_tuner.search.grid_search import GridSearchOracle as GridSearchOracle
    from rust_tuner.search.halving import SuccessiveHalving as SuccessiveHalving
    from rust_tuner.search.halving_oracle import SuccessiveHalvingOracle as SuccessiveHalvingOracle
    from rust_tuner.search.hopeless import StopRule as StopRule
    from rust_tuner.search.mean_curves import calculate_mean_metrics as calculate_mean_metrics
    from rust_tuner.search.objectives import OutOfFoldScore as OutOfFoldScore
    from rust_tuner.search.optuna_oracle import OptunaOracle as OptunaOracle
    from rust_tuner.search.random_search import RandomSearchOracle as RandomSearchOracle
    from rust_tuner.search.regimes import regime_1 as regime_1
    from rust_tuner.search.regimes import regime_2 as regime_2
    from rust_tuner.search.tuner import CrossValidationTuner as CrossValidationTuner
    from rust_tuner.steps.nested import nested_cross_validation as nested_cross_validation
    from rust_tuner.steps.predict import predict_radiographs as predict_radiographs
    from rust_tuner.study import Study as Study

__version__ = "0.2.0"

_HOMES = {
    "Protocol": "rust_tuner.protocol",
    "Radiographs": "rust_tuner.data.manifest",
    "load_manifest": "rust_tuner.data.manifest",
    "load_onehot_manifest": "rust_tuner.data.manifest",
    "Development": "rust_tuner.data.splits",
    "HoldOut": "rust_tuner.data.splits",
    "Folds": "rust_tuner.data.folds",
    "split_holdout": "rust_tuner.data.splits",
    "make_site_folds": "rust_tuner.data.folds",
    "make_folds": "rust_tuner.data.folds",
    "k_fold_dataset": "rust_tuner.data.pipeline",
    "LeNet1998": "rust_tuner.models.architectures",
    "TransferLearningModel": "rust_tuner.models.architectures",
    "TransferLearningHyperModel": "rust_tuner.models.hypermodels",
    "cross_validate": "rust_tuner.search.cross_validation",
    "calculate_mean_metrics": "rust_tuner.search.mean_curves",
    "OutOfFoldScore": "rust_tuner.search.objectives",
    "RandomSearchOracle": "rust_tuner.search.random_search",
    "BayesianOptimizationOracle": "rust_tuner.search.bayesian",
    "OptunaOracle": "rust_tuner.search.optuna_oracle",
    "SuccessiveHalvingOracle": "rust_tuner.search.halving_oracle",
    "SuccessiveHalving": "rust_tuner.search.halving",
    "StopRule": "rust_tuner.search.hopeless",
    "GridSearchOracle": "rust_tuner.search.grid_search",
    "CrossValidationTuner": "rust_tuner.search.tuner",
    "Workers": "rust_tuner.search.executors.workers",
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


class _BeforeTensorFlow:
    """Hides TensorFlow's notices, whoever imports it first; Python asks it about every module."""

    @staticmethod
    def find_spec(name, path=None, target=None):  # type: ignore[no-untyped-def]
        """Find TensorFlow as Python does, to be imported quietly."""
        if name != "tensorflow":
            return None
        from rust_tuner.tensorflow_notices import quiet_spec

        return quiet_spec(name)


if "tensorflow" not in sys.modules:
    sys.meta_path.insert(0, _BeforeTensorFlow)


if not TYPE_CHECKING:
    # Hidden from type checkers, which would accept any name otherwise.
    def __getattr__(name):
        """Import a public name from its module when it is first used."""
        if name not in _HOMES:
            raise AttributeError(f"module 'rust_tuner' has no attribute {name!r}")
        home = _HOMES[name]
        return getattr(import_module(home), name) if home else import_module(f"rust_tuner.{name}")


def __dir__() -> list[str]:
    """List the public names together with the module's own."""
    return sorted({*globals(), *_HOMES})
