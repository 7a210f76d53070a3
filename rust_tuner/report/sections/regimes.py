"""The sections of the page on the two searches: their trials, figures and tables."""

import functools
import math
from collections.abc import Callable
from typing import Any

import pandas as pd

from rust_tuner.analysis.columns import trial_columns
from rust_tuner.analysis.drawn import with_boxes, with_means
from rust_tuner.analysis.noise import noise_spread
from rust_tuner.analysis.tables import (
    fold_scores,
    published_regime_1,
    published_regime_2,
    ranked_curves,
    searched_values,
    trials_table,
)
from rust_tuner.analysis.verdict import SEARCH_NAMES, view_only_of
from rust_tuner.figures.curves import draw_curve_grid
from rust_tuner.figures.regimes import draw_regime_1, draw_regime_2, draw_slices
from rust_tuner.figures.search import draw_fold_boxes, draw_search_progress
from rust_tuner.figures.style import DOUBLE_WIDTH, new_axes, new_figure
from rust_tuner.records.noise import NoiseFloor
from rust_tuner.records.project import REGIME_1, Project
from rust_tuner.records.trial_tables import history_table, hyperparameter_columns
from rust_tuner.report.page import Picture, Room, Section, attempt, results
from rust_tuner.report.sections.assessment import tell_worth
from rust_tuner.scope import SCOPES
from rust_tuner.words import short_number

_NARROW_GRID = 8
_BOXES = 10


def regime_section(
    project: Project | None, name: str, room: Room, *, noise: NoiseFloor | None = None
) -> Section:
    """One of the two searches: its trials, figures and tables.

    Args:
        project: the search, or None.
        name: of its folder.
        room: where figures and tables go.
        noise: the repeats of one configuration, or None.
    """
    title = SEARCH_NAMES[name]
    section = Section(name.replace("_", "-"), title)
    if project is None:
        section.missing.append(f"{title} has not been run, or cannot be read.")
        return section
    table = trials_table(project)
    floor = None if noise is None else _difference(noise, project)
    _tell(section, project, table, floor)
    attempt(section, "The table of trials", lambda: _trials(section, room, project, name))

    def add(step: Callable[..., Picture]) -> None:
        section.pictures.append(step(project, table, name, room))

    steps: dict[str, Callable[..., Picture]] = {
        "search": _search,
        "slices": functools.partial(_slices, noise=floor),
        "progress": _progress,
        "fold spread": _boxes,
        "curves": _grid,
    }
    if not table["score"].notna().any():
        section.missing.append("No trial has a score yet, so nothing is drawn.")
        steps = {}
    for what, step in steps.items():
        attempt(section, f"The figure of the {what}", functools.partial(add, step))
    section.missing.extend(project.problems)
    return section


def _tell(section: Section, project: Project, table: pd.DataFrame, noise: float | None) -> None:
    run, best = project.run, project.best
    section.lead.append(
        f"{_count(table)} of {run.num_trials} trials have a score, each the mean of "
        f"{run.subject.num_folds} folds of {run.epochs} epochs."
    )
    if best is None:
        return
    values = ", ".join(
        f"{key.replace('_', ' ')} {short_number(value)}" for key, value in best.values.items()
    )
    section.lead.append(
        f"Best: trial {best.trial} with {project.objective} {best.score:.4f}, a selection score: "
        f"{values}."
    )
    steps = [trial.one_step for trial in project.trials if trial.score is not None]
    if any(steps):
        section.lead.append(
            f"In {sum(map(bool, steps))} of {len(steps)} trials the batch held all that a fold "
            "trains on. An epoch was then one step, so their batch sizes made no difference."
        )
    attempt(section, "The interval of the best trial", lambda: tell_worth(section, project, table))
    if noise is not None:
        section.lead.append(
            f"Noise floor: two repeats of one configuration with other seeds differ by up to "
            f"{noise:.4f} (95 %); a smaller difference between trials means nothing."
        )


def _difference(noise: NoiseFloor, project: Project) -> float | None:
    """The difference that two repeats with other seeds exceed in 5 % of cases, if it is known."""
    spread = noise_spread(noise.values)
    metric = project.objective.removeprefix("val_")
    rows = spread[(spread["kind"] == "seed") & (spread["metric"] == metric)]
    differences = rows["difference"].dropna()
    return None if differences.empty else float(differences.iloc[0])


def _count(table: pd.DataFrame) -> int:
    return int(table["score"].notna().sum())


def _shared(project: Project) -> dict[str, Any]:
    """The options shared by the figures of a search: the metric and its view-only baseline."""
    metric = project.objective.removeprefix("val_")
    return {"metric": metric, "view_only": view_only_of(project).get(metric)}


def _search(project: Project, table: pd.DataFrame, name: str, room: Room) -> Picture:
    options: dict[str, Any] = {
        "metric": project.objective.removeprefix("val_"),
        "num_folds": project.run.subject.num_folds,
    }
    if name == REGIME_1:
        axes = new_axes(height=2.9)
        draw_regime_1(table, axes=axes, **options)
        seen = "Batch size against dropout rate; the colour is the score."
    else:
        wide = table["epsilon"].nunique() > _NARROW_GRID
        axes = new_axes(height=2.6, width=DOUBLE_WIDTH) if wide else new_axes(height=2.6)
        draw_regime_2(table, axes=axes, **options)
        seen = "Learning rate by epsilon; the best cell is framed."
    alt = f"{seen} {_count(table)} trials"
    best = project.best
    if best is not None:
        values = ", ".join(
            f"{key} {short_number(best.values[key])}" for key in searched_values(project)
        )
        alt += f", the best {best.score:.3f} at {values}"
    caption = f"{SEARCH_NAMES[name]}. {seen} {_count(table)} trials."
    return room.picture(name, axes.figure, table, caption=caption, alt=f"{alt}.")


def _slices(
    project: Project, table: pd.DataFrame, name: str, room: Room, *, noise: float | None
) -> Picture:
    names = tuple(searched_values(project))
    figure = new_figure(height=2.6)
    draw_slices(
        table,
        figure=figure,
        names=names,
        noise=noise,
        **_shared(project),
    )
    what = f"The score of {_count(table)} trials along {' and '.join(names).replace('_', ' ')}"
    band = "" if noise is None else " The band is the noise floor at the best."
    scores = table["score"]
    drawn = {"view_only": _shared(project)["view_only"], "noise_floor": noise}
    return room.picture(
        f"{name}_slices",
        figure,
        table.assign(**drawn),
        caption=f"{SEARCH_NAMES[name]}. {what}.{band}",
        alt=f"{what}: from {scores.min():.3f} to {scores.max():.3f}.{band}",
    )


def _progress(project: Project, table: pd.DataFrame, name: str, room: Room) -> Picture:
    axes = new_axes(height=2.5)
    draw_search_progress(table, axes=axes, **_shared(project))
    best = table["best_so_far"].dropna()
    values = f", {best.iloc[0]:.3f} after the first, {best.iloc[-1]:.3f} after all"
    return room.picture(
        f"{name}_progress",
        axes.figure,
        table.assign(view_only=_shared(project)["view_only"]),
        caption=f"{SEARCH_NAMES[name]}. Score of each of {len(table)} trials and the best so far.",
        alt=f"The best score so far over {len(table)} trials{values if len(best) else ''}.",
    )


def _boxes(project: Project, table: pd.DataFrame, name: str, room: Room) -> Picture:
    shared = _shared(project)
    scores = fold_scores(project, shared["metric"])
    axes = new_axes(height=3.1)
    names = tuple(searched_values(project))
    draw_fold_boxes(scores, axes=axes, names=names, count=_BOXES, **shared)
    best = scores[scores["rank"] <= _BOXES]
    low, high = best["value"].min(), best["value"].max()
    return room.picture(
        f"{name}_folds",
        axes.figure,
        with_boxes(best).assign(view_only=shared["view_only"]),
        caption=f"{SEARCH_NAMES[name]}. Spread of the best {best['rank'].nunique()} trials over "
        "the folds.",
        alt=f"Box plots of the best {best['rank'].nunique()} trials; their folds range from "
        f"{low:.3f} to {high:.3f}.",
    )


def _grid(project: Project, table: pd.DataFrame, name: str, room: Room) -> Picture:
    shared = _shared(project)
    curves = ranked_curves(project, metric=shared["metric"])
    shown, done = curves["rank"].nunique(), _count(table)
    figure = new_figure(height=0.9 + 1.05 * math.ceil(shown / 3))
    names = tuple(searched_values(project))
    draw_curve_grid(curves, figure=figure, names=names, num_trials=done, **shared)
    return room.picture(
        f"{name}_curves",
        figure,
        with_means(curves, shared["metric"], by=["trial"]).assign(view_only=shared["view_only"]),
        caption=f"{SEARCH_NAMES[name]}. Training and validation curves of {shown} of {done} "
        "trials, from the best to the worst.",
        alt=f"Curves of {shown} trials between rank 1 and rank {done}.",
    )


def _trials(section: Section, room: Room, project: Project, name: str) -> None:
    table = trials_table(project)
    files = {
        "CSV": room.table(name, table),
        "CSV of every fold and epoch": room.table(f"{name}_history", history_table(project)),
    }
    published = published_regime_1 if name == REGIME_1 else published_regime_2
    attempt(
        section,
        "The published layout",
        lambda: room.table(f"as_published_{name}", published(project)),
    )
    columns_of = hyperparameter_columns(project)
    values = {item: columns_of[item] for item in searched_values(project)}
    metrics = [scope.objective for scope in SCOPES if scope.objective in table]
    columns = trial_columns(values, metrics, objective=project.objective)
    rows = table.sort_values("rank", na_position="last").to_dict("records")
    section.tables.append(results("Trials, the best first", rows, columns, files))
