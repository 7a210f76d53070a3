"""The results of a study's first models, from their records only and without TensorFlow.

It owns their names and folders; running them belongs to `search.baselines`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from rust_tuner.errors import SearchError
from rust_tuner.metrics.ties import Tie, ties
from rust_tuner.models.weights import UNTRAINED
from rust_tuner.records.project import Project, read_project
from rust_tuner.records.run import RUN_FILE
from rust_tuner.records.trials import TrialRecord
from rust_tuner.scope import AUROCS

if TYPE_CHECKING:
    import pandas as pd

BASELINES_FOLDER = "baselines"
LENET, END_TO_END = "lenet1998", "inceptionv3_end2end"
RADIMAGENET, IMAGENET = "inceptionv3_radimagenet", "inceptionv3_imagenet"
BASELINES = (LENET, END_TO_END, RADIMAGENET, IMAGENET)
# Those with a pretrained, frozen backbone, which a search can use too.
FROZEN_BASELINES = (RADIMAGENET, IMAGENET)
CHANCE = "chance"
VIEW_ONLY = "view_only"

_COLUMNS = {
    "model": "object",
    **{f"{name}{part}": "float64" for name in AUROCS for part in ("", "_std")},
    "tied_with_best": "boolean",
    "p_against_best": "float64",
    "epoch": "Int64",
    "folds": "Int64",
    "epochs": "Int64",
    "seconds": "float64",
}


def available_baselines(weights: str, *, has_radimagenet: bool) -> tuple[str, ...]:
    """The first models that are available, which are trained by default.

    Args:
        weights: the protocol's; with `random` or `phantoms`, ImageNet's model is left out.
        has_radimagenet: whether RadImageNet's file was given.
    """
    return tuple(
        model
        for model in BASELINES
        if (model != RADIMAGENET or has_radimagenet)
        and not (model == IMAGENET and weights in UNTRAINED)
    )


def read_baselines(directory: str | Path) -> dict[str, Project]:
    """The projects of the first models in a study's folder, finished or not, in their order."""
    folder = Path(directory) / BASELINES_FOLDER
    return {
        model: read_project(folder / model)
        for model in BASELINES
        if (folder / model / RUN_FILE).is_file()
    }


def baseline_results(directory: str | Path) -> "pd.DataFrame":
    """The first models of a study with their baselines.

    Args:
        directory: the study's folder.

    Returns:
        `model, auroc, auroc_std, cortex_auroc, cortex_auroc_std, tied_with_best, p_against_best,
        epoch, folds, epochs, seconds`:
        a row for `chance`, one for `view_only` (a predictor that knows only the view), and one for
        each model that was begun. Figures are validation figures, averaged over the folds at the
        epoch (from 0) of the model's score; `_std` is their standard deviation over the folds
        (n - 1); ties with the best model are by the objective, as for trials. A model that is not
        finished, or failed, has no figures; its `folds` are the finished ones. The table has no
        rows if no model was begun. Its `attrs` have the objective.

    Raises:
        SearchError: if the models were trained on different radiographs or folds.
    """
    projects = read_baselines(directory)
    if not projects:
        return _table([])
    _require_same_data(projects)
    first = next(iter(projects.values()))
    view_only = first.run.view_only_baseline or {}
    rows: list[dict[str, object]] = [
        {"model": CHANCE} | dict.fromkeys(AUROCS, 0.5),
        {"model": VIEW_ONLY} | {name: view_only.get(f"val_{name}") for name in AUROCS},
    ]
    compared = _ties(projects)
    for model, project in projects.items():
        row, tie = _row(model, project), compared.get(model)
        if tie is not None:
            row |= {"tied_with_best": tie.tied, "p_against_best": tie.p_value}
        rows.append(row)
    table = _table(rows)
    table.attrs["objective"] = first.objective
    return table


def suggested_backbone(table: "pd.DataFrame", objective: str | None = None) -> str | None:
    """The frozen model with the best objective, whose backbone is suggested for a search.

    Args:
        table: from `baseline_results`.
        objective: `val_auroc` or `val_cortex_auroc`; the models' own objective if None.

    Returns:
        One of `FROZEN_BASELINES`, or None if none of them is finished.
    """
    scored_by = objective or str(table.attrs.get("objective", "val_auroc"))
    figure = scored_by.removeprefix("val_")
    frozen = table[table["model"].isin(FROZEN_BASELINES)].dropna(subset=[figure])
    best = frozen.sort_values(figure, ascending=False, kind="stable").head(1)
    return None if best.empty else str(best["model"].item())


def _row(model: str, project: Project) -> dict[str, object]:
    row: dict[str, object] = {"model": model, "epochs": project.run.epochs}
    trial: TrialRecord | None = project.trials[0] if project.trials else None
    if trial is None:
        return row | {"folds": 0, "seconds": 0.0}
    row |= {"folds": len(trial.folds), "seconds": float(sum(fold.seconds for fold in trial.folds))}
    if trial.score is None:
        return row
    for name in AUROCS:
        row |= {name: trial.metrics[f"val_{name}"], f"{name}_std": trial.spread(name)}
    return row | {"epoch": trial.epoch}


def _ties(projects: dict[str, Project]) -> dict[str, Tie]:
    """How each finished model compares with the best one."""
    best = {model: project.best for model, project in projects.items()}
    first = next(iter(projects.values()))
    metric = first.objective.removeprefix("val_")
    scores = {
        model: values
        for model, trial in best.items()
        if trial is not None and (values := trial.fold_values(metric)) and len(values) > 1
    }
    return ties(scores, first.run.subject.to_json(), direction=first.run.objective.direction)


def _table(rows: list[dict[str, object]]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)


def _require_same_data(projects: dict[str, Project]) -> None:
    first, *others = projects.values()
    expected = first.run.subject
    for other in others:
        subject = other.run.subject
        for name, hashes in (
            ("targets", (subject.targets, expected.targets)),
            ("folds", (subject.folds, expected.folds)),
        ):
            if hashes[0] != hashes[1]:
                both = " and ".join(str(sha256)[:12] for sha256 in hashes)
                raise SearchError(
                    f"{other.folder} was trained on other {name} than {first.folder} (SHA-256 "
                    f"{both}), so their figures cannot be compared; delete one of them and run it "
                    "again"
                )
