"""The sections of the page on the two searches: their trials, figures and tables."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from rust_tuner.analysis.columns import trial_columns
from rust_tuner.analysis.drawn import with_boxes, with_means
from rust_tuner.analysis.next_step import command, is_unfinished
from rust_tuner.analysis.noise import noise_spread
from rust_tuner.analysis.stopped import stopped_note
from rust_tuner.analysis.tables import (
    fold_scores,
    published_regime_1,
    published_regime_2,
    ranked_curves,
    searched_values,
    trials_table,
    with_best_so_far,
)
from rust_tuner.analysis.trained_on import trained_note
from rust_tuner.analysis.verdict import SEARCH_NAMES, view_only_of
from rust_tuner.figures.curves import draw_curve_grid
from rust_tuner.figures.regimes import draw_regime_1, draw_regime_2
from rust_tuner.figures.search import draw_fold_boxes, draw_search_progress
from rust_tuner.figures.slices import draw_slices
from rust_tuner.figures.style import DOUBLE_WIDTH, Drawing
from rust_tuner.records.noise import NoiseFloor
from rust_tuner.records.project import REGIME_1, Project
from rust_tuner.records.trial_tables import history_table, hyperparameter_columns
from rust_tuner.report.page import Picture, Room, Section, attempt, cortices_first, folded, results
from rust_tuner.report.sections.assessment import tell_worth
from rust_tuner.scope import CORTEX_SCOPE, LABEL_SCOPE, SCOPES
from rust_tuner.words import METRICS, counted, have, short_number, words

_NARROW_GRID = 8
_BOXES = 10


@dataclass(frozen=True, eq=False)
class _Shown:
    """A search by one of its metrics, as all its figures show it.

    Attributes:
        project: the search.
        name: of its folder.
        metric: without `val_`.
        table: its trials, with this metric as `score`.
        best: index of the trial that the search chose.
        files: what the names of the figures begin with.
        noise: the noise floor of this metric, or None.
    """

    project: Project
    name: str
    metric: str
    table: pd.DataFrame
    best: int | None
    files: str
    noise: float | None

    @property
    def is_objective(self) -> bool:
        """Whether the search chose by this metric."""
        return self.metric == self.project.objective.removeprefix("val_")

    @property
    def title(self) -> str:
        """The search, and the metric."""
        return f"{SEARCH_NAMES[self.name]}, {METRICS.get(self.metric, self.metric)}"

    @property
    def note(self) -> str:
        """What the search chose by, if not by this metric."""
        objective = self.project.objective.removeprefix("val_")
        named = METRICS.get(objective, objective)
        return (
            ""
            if self.is_objective
            else f" The search chose, ranks and tests for ties by its {named}."
        )

    @property
    def options(self) -> dict[str, Any]:
        """The options shared by the figures of a search."""
        return {"metric": self.metric, "view_only": view_only_of(self.project).get(self.metric)}


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
    step = command(name.replace("_", ""), room.study)
    if project is None:
        section.missing.append(f"{title} has not been run, or cannot be read: {step}")
        return section
    table = trials_table(project)
    floor = None if noise is None else _difference(noise, project.objective.removeprefix("val_"))
    _tell(section, project, table, floor)
    if is_unfinished(project):
        ended = sum(trial.has_ended for trial in project.trials)
        section.missing.append(
            f"{title} is not finished: {ended} of {counted(project.run.num_trials, 'trial')} "
            f"{have(ended, project.run.num_trials)} ended. Unless it is running, resume it: {step}"
        )
    attempt(section, "The table of trials", lambda: _trials(section, room, project, name))
    if not table["score"].notna().any():
        section.missing.append("No trial has a score yet, so nothing is drawn.")
        section.missing.extend(project.problems)
        return section
    shown = _views(project, name, table, noise)
    steps: dict[str, Callable[[_Shown, Room], Picture]] = {
        "search": _search,
        **({"slices": _slices} if searched_values(project) else {}),
        "progress": _progress,
        "fold spread": _boxes,
        "curves": _grid,
    }

    def add(step: Callable[[_Shown, Room], Picture]) -> None:
        section.pictures.append(folded([step(view, room) for view in shown]))

    for what, draw in steps.items():
        attempt(section, f"The figure of the {what}", functools.partial(add, draw))
    section.missing.extend(project.problems)
    return section


def _views(
    project: Project, name: str, table: pd.DataFrame, noise: NoiseFloor | None
) -> list[_Shown]:
    """The search by its visible cortices first, then by its 18 labels; else by its objective."""
    metrics = [scope.metric for scope in (CORTEX_SCOPE, LABEL_SCOPE) if scope.objective in table]
    metrics = metrics or [project.objective.removeprefix("val_")]
    chosen = None if project.best is None else project.best.trial
    index = table.index[table["trial"] == chosen]
    shown = []
    for position, metric in enumerate(metrics):
        scored = table
        if f"val_{metric}" in table and f"val_{metric}" != project.objective:
            # Ties are those of the objective.
            scored = with_best_so_far(table, f"val_{metric}").assign(tied_with_best=None)
        floor = None if noise is None else _difference(noise, metric)
        files = name if position == 0 else f"{name}_labels"
        best = int(index[0]) if len(index) else None
        shown.append(_Shown(project, name, metric, scored, best, files, floor))
    return shown


def _tell(section: Section, project: Project, table: pd.DataFrame, noise: float | None) -> None:
    run, best, scored = project.run, project.best, _count(table)
    section.lead.append(
        f"{scored} of {counted(run.num_trials, 'trial')} {have(scored, run.num_trials)} a score, "
        f"the mean of {run.subject.num_folds} folds of {counted(run.epochs, 'epoch')}."
    )
    notes = (stopped_note(project), trained_note(project))
    section.lead += [note for note in notes if note is not None]
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


def _difference(noise: NoiseFloor, metric: str) -> float | None:
    """The difference that two repeats with other seeds exceed in 5 % of cases, if it is known."""
    spread = noise_spread(noise.values)
    rows = spread[(spread["kind"] == "seed") & (spread["metric"] == metric)]
    differences = rows["difference"].dropna()
    return None if differences.empty else float(differences.iloc[0])


def _count(table: pd.DataFrame) -> int:
    return int(table["score"].notna().sum())


def _search(shown: _Shown, room: Room) -> Picture:
    project, table = shown.project, shown.table
    options: dict[str, Any] = {
        "metric": shown.metric,
        "num_folds": project.run.subject.num_folds,
        "best": shown.best,
    }
    if shown.name == REGIME_1:
        draw, size = draw_regime_1, {"height": 2.9}
        seen = "Batch size against dropout rate; the colour is the score."
    else:
        wide = table["epsilon"].nunique() > _NARROW_GRID
        draw, size = draw_regime_2, {"height": 2.6} | ({"width": DOUBLE_WIDTH} if wide else {})
        seen = "Learning rate by epsilon; the chosen cell is framed."
    alt = f"{seen} {counted(_count(table), 'trial')}"
    best = project.best
    if best is not None and shown.best is not None:
        values = ", ".join(
            f"{key} {short_number(best.values[key])}" for key in searched_values(project)
        )
        what = "best" if shown.is_objective else "chosen one"
        alt += f", the {what} {table['score'].astype('float64').loc[shown.best]:.3f} at {values}"
    caption = (
        f"{shown.title}. {seen} {counted(_count(table), 'trial')}. {_tied_note(table)}{shown.note}"
    )
    return room.picture(
        shown.files,
        Drawing(functools.partial(draw, table, **options), **size),
        table,
        caption=caption.strip(),
        alt=f"{alt}.",
    )


def _tied_note(table: pd.DataFrame) -> str:
    """What the marks of ties mean, if there are any."""
    tied = table["tied_with_best"].fillna(False).sum()
    if tied < 2:
        return ""
    return "Tied: the folds cannot distinguish these trials from the best, so any may be as good."


def _slices(shown: _Shown, room: Room) -> Picture:
    table = shown.table
    names = tuple(searched_values(shown.project))
    draw = functools.partial(
        draw_slices, table, names=names, noise=shown.noise, best=shown.best, **shown.options
    )
    along = " and ".join(map(words, names))
    what = f"The score of {counted(_count(table), 'trial')} along {along}"
    band = "" if shown.noise is None else " The band is the noise floor at the best."
    scores = table["score"]
    drawn = {"view_only": shown.options["view_only"], "noise_floor": shown.noise}
    return room.picture(
        f"{shown.files}_slices",
        Drawing(draw, height=2.6),
        table.assign(**drawn),
        caption=f"{shown.title}. {what}.{band}{shown.note}",
        alt=f"{what}: from {scores.min():.3f} to {scores.max():.3f}.{band}",
    )


def _progress(shown: _Shown, room: Room) -> Picture:
    table = shown.table
    best = table["best_so_far"].dropna()
    values = f", {best.iloc[0]:.3f} after the first, {best.iloc[-1]:.3f} after all"
    return room.picture(
        f"{shown.files}_progress",
        Drawing(functools.partial(draw_search_progress, table, **shown.options)),
        table.assign(view_only=shown.options["view_only"]),
        caption=f"{shown.title}. Score of {counted(len(table), 'trial')} and the best so far."
        f"{shown.note}",
        alt=f"The best score so far over {counted(len(table), 'trial')}"
        f"{values if len(best) else ''}.",
    )


def _boxes(shown: _Shown, room: Room) -> Picture:
    scores = fold_scores(shown.project, shown.metric)
    names = tuple(searched_values(shown.project))
    draw = functools.partial(draw_fold_boxes, scores, names=names, count=_BOXES, **shown.options)
    best = scores[scores["rank"] <= _BOXES]
    low, high = best["value"].min(), best["value"].max()
    of_best = f"the best {counted(best['rank'].nunique(), 'trial')}"
    return room.picture(
        f"{shown.files}_folds",
        Drawing(draw, height=3.1),
        with_boxes(best).assign(view_only=shown.options["view_only"]),
        caption=f"{shown.title}. Spread of {of_best} over the folds.{shown.note}",
        alt=f"Box plots of {of_best}; their folds range from {low:.3f} to {high:.3f}.",
    )


def _grid(shown: _Shown, room: Room) -> Picture:
    project, metric = shown.project, shown.metric
    curves = ranked_curves(project, metric=metric)
    if not shown.is_objective:
        of_trial = shown.table.set_index("trial")["score"]
        curves = curves.assign(score=curves["trial"].map(of_trial))
    drawn, done = curves["rank"].nunique(), _count(shown.table)
    names = tuple(searched_values(project))
    draw = functools.partial(draw_curve_grid, curves, names=names, num_trials=done, **shown.options)
    table = with_means(curves, metric, by=["trial"])
    return room.picture(
        f"{shown.files}_curves",
        Drawing(draw, height=0.9 + 1.05 * math.ceil(drawn / 3)),
        table.assign(view_only=shown.options["view_only"]),
        caption=f"{shown.title}. Training and validation curves of {drawn} of {done} "
        f"trials, from the best to the worst.{shown.note}",
        alt=f"Curves of {counted(drawn, 'trial')} between rank 1 and rank {done}.",
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
    section.tables.append(results("Trials, the best first", rows, cortices_first(columns), files))
