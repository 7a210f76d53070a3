"""Checks of what was learned, by comparing best trials with baselines that know only the view.

It owns the verdicts; `analysis.against_view` decides whether a figure beats the view alone.
"""

from collections.abc import Mapping

from rust_tuner.analysis.against_view import standings, standings_of
from rust_tuner.metrics import Predictions
from rust_tuner.progress import Progress, Silent
from rust_tuner.records.checks import Verdict
from rust_tuner.records.project import Project
from rust_tuner.words import METRICS

PREDICTORS = ("predictors", "Against chance and the view alone")
VIEW_ONLY = ("view_only_training", "Trained on the view alone")
RUN_A_SEARCH = "Run a search first: rust-tuner regime1 STUDY."

# The largest difference between a recorded score and the score of the recorded predictions.
_ROUNDING = 1e-6


def check_predictors(
    projects: Mapping[str, Project], *, progress: Progress | None = None
) -> Verdict:
    """Check whether each search's best trial beats the view alone, and chance.

    `analysis.against_view` judges its out-of-fold predictions.

    Args:
        projects: searches and first models, by name.
        progress: where to report; nowhere by default.
    """
    done = {name: project for name, project in projects.items() if project.best is not None}
    if not done:
        return Verdict(*PREDICTORS, "not_run", "No search has a completed trial.", RUN_A_SEARCH)
    lines, changed, unknown = [], [], []
    figures: dict[str, float | None] = {}
    with (progress or Silent()).task("intervals over patients", len(done)) as task:
        for name, project in done.items():
            best = project.best
            assert best is not None
            compared = standings(project)
            if not compared or any(item.gain is None for item in compared):
                unknown.append(f"{name}: its predictions cannot be judged; run the search again")
            for item in compared:
                if item.gain is None:
                    continue
                figures |= {f"{name}_{figure}": value for figure, value in item.figures.items()}
                value = item.gain.model
                line = f"{name}, trial {best.trial}: {METRICS[item.metric]} {value:.3f}"
                recorded = best.metrics.get(f"val_{item.metric}", value)
                if not abs(recorded - value) <= _ROUNDING:
                    changed.append(f"{line} by its predictions, but {recorded:.3f} in its record")
                elif item.doubt:
                    lines.append(f"{line}: {item.doubt}")
            task.advance()
    if changed:
        reason = f"The records of {len(changed)} figures do not match their predictions."
        mend = "Delete the folders of these searches and run them again."
        return Verdict(*PREDICTORS, "failed", reason, mend, tuple(changed + lines), figures)
    if lines:
        return Verdict(
            *PREDICTORS,
            "warning",
            f"{len(lines)} figures of best trials do not beat a baseline without images.",
            "Do not read such a figure as skill in reading fractures: report it together with the "
            "baseline, get more patients, or find out what keeps the model from learning.",
            tuple(lines + unknown),
            figures,
        )
    if len(unknown) == len(done):
        reason = "No search has out-of-fold predictions that can be judged."
        return Verdict(
            *PREDICTORS, "not_run", reason, "Run the searches again.", tuple(unknown), figures
        )
    reason = f"The best trials of {len(done) - len(unknown)} searches are above both."
    return Verdict(*PREDICTORS, "passed", reason, "", tuple(unknown), figures)


def judge_view_only(model: Predictions, view: Predictions) -> Verdict:
    """Check whether a model does better than the same head trained on the view alone.

    Args:
        model: out-of-fold predictions of the best trial.
        view: those of the head whose only input is the view, on the same folds.
    """
    figures: dict[str, float | None] = {}
    results, doubtful = [], []
    for item in standings_of(model, view.probabilities):
        gain = item.gain
        assert gain is not None
        figures |= {
            f"{item.metric}_view_only": gain.baseline,
            f"{item.metric}_gain": gain.gain.value,
            f"{item.metric}_gain_low": gain.gain.low,
            f"{item.metric}_gain_high": gain.gain.high,
        }
        results.append(
            f"{METRICS[item.metric]} {gain.baseline:.3f} without any image; {item.in_words}"
        )
        if not item.is_above:
            doubtful.append(METRICS[item.metric])
    reason = "; ".join(results) + "."
    if doubtful:
        return Verdict(
            *VIEW_ONLY,
            "warning",
            reason,
            f"For {' and '.join(doubtful)} it is not certain that the images add anything: do not "
            "read the figure as skill in reading fractures.",
            figures=figures,
        )
    return Verdict(*VIEW_ONLY, "passed", reason, figures=figures)
