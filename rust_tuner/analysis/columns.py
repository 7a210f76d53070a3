"""The columns of results tables, on the page and on the terminal.

A table is one list of columns; `report.page` and `terminal.table` render it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rust_tuner.analysis.nested import SUMMARY_NAMES
from rust_tuner.analysis.noise import KINDS
from rust_tuner.analysis.verdict import MODEL_NAMES
from rust_tuner.records.nested import SPREADS
from rust_tuner.scope import AUROCS, SCOPES, Scope
from rust_tuner.words import METRICS, words

Kind = Literal["text", "id", "whole", "number", "p_value", "value", "yes_or_no", "interval"]

# The column that marks a batch that contains the whole fold.
ONE_STEP = "one_step"


@dataclass(frozen=True)
class Column:
    """A column of a table of results.

    Attributes:
        name: of the values, in the rows.
        header: on the page.
        kind: `text`, a trial's `id`, a `whole` number, a `number` of three digits, a
            `p_value`, a hyperparameter's `value`, `yes_or_no`, or an `interval` that begins there.
        narrow: its header on the terminal, in short lines; None if it is only on the page.
        beside: the column of a number's standard deviation, or of an interval's other end.
        plus: what the page adds, since it counts from 1 and records count from 0.
        digits: of a number.
        names: words in place of values.
        marked_by: a column that says whether the value is marked.
        is_signed: whether a number has its sign.
    """

    name: str
    header: str
    kind: Kind = "text"
    narrow: str | None = None
    beside: str = ""
    plus: int = 0
    digits: int = 3
    names: Mapping[str, str] | None = None
    marked_by: str = ""
    is_signed: bool = False


def baseline_columns() -> list[Column]:
    """Of `records.baselines.baseline_results`."""
    return [
        Column("model", "model", narrow="model", names=MODEL_NAMES),
        Column("tied_with_best", "tied", "yes_or_no", narrow="tied"),
        *(_score(scope, scope.metric) for scope in SCOPES),
        Column("epoch", "epoch", "whole", narrow="epoch", plus=1),
        Column("folds", "folds", "whole"),
    ]


def trial_columns(
    values: Mapping[str, str], metrics: Sequence[str], *, objective: str
) -> list[Column]:
    """Of `tables.trials_table`.

    Args:
        values: the column of each hyperparameter that is shown, by its name.
        metrics: the metrics of the trials, with `val_`.
        objective: the one that the search maximises, which is marked on the terminal.
    """
    return [
        Column("rank", "rank", "whole"),
        Column("trial", "trial", "id", narrow="trial"),
        Column("status", "status"),
        *(
            Column(
                column,
                words(name),
                "value",
                narrow=name.replace("_", "\n"),
                marked_by=ONE_STEP if name == "batch_size" else "",
            )
            for name, column in values.items()
        ),
        Column("tied_with_best", "tied", "yes_or_no", narrow="tied"),
        Column("p_against_best", "p", "p_value"),
        *(
            _score(scope, scope.objective, " *" if scope.objective == objective else "")
            for scope in SCOPES
            if scope.objective in metrics
        ),
        Column(
            "score_low", "95 % interval of the score, over folds", "interval", beside="score_high"
        ),
        Column("epoch", "epoch", "whole", narrow="epoch", plus=1),
        Column("steps_per_epoch", "steps per epoch", "whole", marked_by=ONE_STEP),
        Column("seconds", "seconds", "number", digits=1),
    ]


# The figures of an outer fold that fit on the terminal.
_NARROW = {
    "selection_score": "selection\nscore",
    "inner_estimate": "estimate,\ninner",
    "optimism": "optimism",
    "estimate": "estimate",
    "view_only_baseline": "view\nonly",
}


def outer_columns(values: Sequence[str], metrics: Sequence[str] = AUROCS) -> list[Column]:
    """Of `nested.outer_table`.

    Args:
        values: the hyperparameters.
        metrics: the AUROCs that are shown.
    """
    return [
        Column("outer_fold", "outer fold", "whole", narrow="outer\nfold", plus=1),
        Column("validation_patients", "patients", "whole", narrow="patients"),
        *(Column(name, words(name), "value") for name in values),
        Column("epoch", "epoch", "whole", plus=1),
        *(
            Column(
                f"{what}_{metric}",
                f"{words(what)}, {METRICS[metric]}",
                "number",
                narrow=_NARROW.get(what),
                is_signed=what in ("optimism", "gap"),
            )
            for metric in metrics
            for what in SPREADS
        ),
    ]


SUMMARY_COLUMNS = [
    Column("what", "figure", names=SUMMARY_NAMES, narrow=""),
    Column("metric", "of", names=METRICS, narrow="of"),
    Column("value", "value", "number", narrow="value"),
    Column("std", "SD over outer folds", "number", narrow="SD"),
    Column("low", "95 % from", "number", narrow="95 %\nfrom"),
    Column("high", "95 % to", "number", narrow="95 %\nto"),
]
STABILITY_COLUMNS = [
    Column("hyperparameter", "hyperparameter"),
    Column("value", "value", "value"),
    Column("times", "chosen in outer folds", "whole"),
    Column("outer_folds", "of", "whole"),
]
NOISE_COLUMNS = [
    Column("metric", "of", names=METRICS),
    Column("kind", "repeated under", names=KINDS, narrow="repeated under"),
    Column("repeats", "repeats", "whole", narrow="repeats"),
    Column("mean", "mean", "number", digits=4, narrow="mean"),
    Column("std", "SD", "number", digits=4, narrow="SD"),
    Column("std_low", "SD, 95 % from", "number", digits=4),
    Column("std_high", "SD, 95 % to", "number", digits=4),
    Column("low", "95 % range from", "number", digits=4, narrow="95 %\nfrom"),
    Column("high", "95 % range to", "number", digits=4, narrow="95 %\nto"),
    Column("difference", "difference", "number", digits=4, narrow="differ-\nence"),
]
REPEAT_COLUMNS = [
    Column("kind", "repeated under", names=KINDS),
    Column("repeat", "repeat", "whole", plus=1),
    Column("metric", "of", names=METRICS),
    Column("value", "value", "number", digits=4),
]


def _score(scope: Scope, name: str, mark: str = "") -> Column:
    narrow = f"AUROC,\n{scope.short}{mark}"
    return Column(name, scope.title, "number", narrow=narrow, beside=f"{name}_std")
