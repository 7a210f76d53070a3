"""The lines of `rust-tuner status` for nested cross-validation and the noise floor."""

import math
from pathlib import Path

from rich.text import Text

from rust_tuner.progress import duration
from rust_tuner.records.nested import Nested, SummaryFigure, outer_folder, read_nested
from rust_tuner.records.noise import read_noise
from rust_tuner.records.project import REGIME_1, REGIME_2, read_project
from rust_tuner.records.run import RUN_FILE
from rust_tuner.terminal.status_runs import is_at_work


def nested_lines(folder: Path) -> list[Text]:
    """Progress of a nested cross-validation."""
    nested = read_nested(folder)
    done, total = len(nested.outer), nested.outer_folds
    lines = [Text(f"nested: {done} of {total} outer folds done{_time_left(nested)}")]
    finished = {record.outer_fold for record in nested.outer}
    for number in range(total):
        if number in finished or not outer_folder(folder, number).is_dir():
            continue
        parts = []
        for regime in (REGIME_1, REGIME_2):
            project = outer_folder(folder, number) / regime
            if (project / RUN_FILE).is_file():
                ended, planned, _ = _progress(project)
                parts.append(f"{regime} {ended} of {planned} trials")
        if parts:
            lines.append(Text(f"  outer fold {number} started: {', '.join(parts)}"))
    for problem in nested.problems:
        lines.append(Text(f"  {problem}", style="red"))
    if nested.summary is not None:
        figure = nested.run.objective.removeprefix("val_")
        score, estimate = (
            part.figure(figure)
            for part in (nested.summary.selection_score, nested.summary.estimate)
        )
        lines.append(
            Text(
                f"  {nested.run.objective}: selection score {_spread(score)}, "
                f"estimate {_spread(estimate)}"
            )
        )
    return lines


def _spread(figure: SummaryFigure) -> str:
    values = (figure.mean, figure.std)
    return " ± ".join("undefined" if value is None else f"{value:.4f}" for value in values)


def noise_lines(folder: Path) -> list[Text]:
    """Progress of the repeats."""
    # It needs pandas, which a study without repeats is shown without.
    from rust_tuner.analysis.noise import KINDS, noise_spread

    floor = read_noise(folder)
    counts = ", ".join(
        f"{floor.count(kind)} of {floor.run[name]} {title}"
        for kind, name, title in (
            ("seed", "repeats", "seeds"),
            ("assignment", "assignments", "assignments to folds"),
        )
        if floor.run[name]
    )
    lines = [Text(f"noise: {counts} done")]
    lines += [Text(f"  {problem}", style="red") for problem in (*floor.failures, *floor.problems)]
    metric = floor.run.objective.removeprefix("val_")
    spread = noise_spread(floor.values)
    for row in spread[spread["metric"] == metric].to_dict("records"):
        if not math.isnan(row["std"]):
            lines.append(
                Text(
                    f"  {floor.run.objective}, {KINDS[row['kind']]}: {row['mean']:.4f}, "
                    f"SD {row['std']:.4f}"
                )
            )
    return lines


def _progress(folder: Path) -> tuple[int, int, float]:
    """The numbers of ended and of planned trials of a search, and the seconds of the ended ones."""
    project = read_project(folder)
    ended = [trial for trial in project.trials if trial.has_ended]
    seconds = sum(fold.seconds for trial in ended for fold in trial.folds)
    return len(ended), project.run.num_trials, seconds


def _time_left(nested: Nested) -> str:
    if len(nested.outer) == nested.outer_folds or not is_at_work(nested.folder):
        return ""
    ended, seconds = 0, 0.0
    for number in range(nested.outer_folds):
        for regime in (REGIME_1, REGIME_2):
            folder = outer_folder(nested.folder, number) / regime
            if (folder / RUN_FILE).is_file():
                trials, _, took = _progress(folder)
                ended, seconds = ended + trials, seconds + took
    total = nested.outer_folds * sum(nested.run.trials.values())
    if not 0 < ended < total:
        return ""
    return f", about {duration(seconds / ended * (total - ended))} left"
