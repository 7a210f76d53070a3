"""Reads the published study's figures, which ship with the package for comparison.

They are copied from the public repository `ShenZhouHong/radiography-ai-project` and kept in
`published_csv` next to this file; they contain no images and no patient data.
"""

from importlib import resources

import pandas as pd

from rust_tuner.data.exact_csv import read_exactly
from rust_tuner.errors import RustTunerError

# The score of a predictor that knows only the view on the published label table: macro AUROC of the
# 18 labels with per-view prevalences.
PUBLISHED_VIEW_ONLY = 0.8057

CURVES = ("model", "split", "epoch", "fold", "auroc")
PUBLISHED_TABLES = {
    "initial_evaluation": CURVES,
    "regime_1": ("batch_size", "dropout_rate", "max_val_auroc"),
    "regime_2": ("learning_rate", "epsilon", "max_val_auroc"),
    "final_model_kfold": CURVES,
}


def read_published(name: str) -> pd.DataFrame:
    """One of the published study's tables.

    Args:
        name: one of `PUBLISHED_TABLES`: `initial_evaluation` and `final_model_kfold` are per-fold
            AUROC (`model, split, epoch, fold, auroc`, epochs and folds from 1); `regime_1` and
            `regime_2` have a row per trial with the highest fold-averaged validation AUROC.

    Raises:
        RustTunerError: if there is no such table, or the installation lacks it.
    """
    if name not in PUBLISHED_TABLES:
        raise RustTunerError(
            f"no published table {name!r}; expected one of {', '.join(PUBLISHED_TABLES)}"
        )
    path = resources.files("rust_tuner.figures") / "published_csv" / f"{name}.csv"
    try:
        with path.open(encoding="utf-8") as stream:
            table = read_exactly(stream)
    except (OSError, ValueError) as error:
        raise RustTunerError(
            f"the published {name}.csv cannot be read ({error}); install the package again"
        ) from error
    columns = PUBLISHED_TABLES[name]
    if tuple(table.columns) != columns or table.isna().any(axis=None):
        raise RustTunerError(
            f"the published {name}.csv has the columns {', '.join(table.columns)}, or lacks "
            f"values; expected {', '.join(columns)}; install the package again"
        )
    return table
