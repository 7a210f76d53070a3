"""Checks of what was learned: against the view alone, against chance, on shuffled labels.

It owns the verdicts; the training of the last two belongs to `training`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rust_tuner.analysis.against_view import CHANCE_AUROC, standings
from rust_tuner.metrics import BootstrapInterval, FoldMacroAuroc, Predictions, patient_bootstrap
from rust_tuner.metrics.fold_auroc import difference, mean_over
from rust_tuner.progress import Progress, Silent
from rust_tuner.records.checks import Verdict
from rust_tuner.records.project import Project
from rust_tuner.records.rows import problems_of
from rust_tuner.words import METRICS

PREDICTORS = ("predictors", "Against chance and the view alone")
SHUFFLED = ("shuffled_labels", "Shuffled labels")
VIEW_ONLY = ("view_only_training", "Trained on the view alone")
RUN_A_SEARCH = "Run a search first: rust-tuner regime1 STUDY."

# Between the score that a record holds and the one that its predictions give.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class ShuffledRun:
    """A cross-validation on labels that no image can tell.

    Attributes:
        predictions: out of fold, beside the shuffled labels.
        view_only: 18-label AUROC of the view-only baseline on the shuffled labels.
    """

    predictions: Predictions
    view_only: float


def check_predictors(
    projects: Mapping[str, Project], *, progress: Progress | None = None
) -> Verdict:
    """Whether each search's best trial does better than the view alone and than chance.

    Judged by the 95 % intervals over patients of its out-of-fold predictions.

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
            found = standings(project)
            best = project.best
            assert best is not None
            if not found:
                unknown.append(f"{name}: its predictions cannot be judged; run the search again")
            for item in found:
                what = f"{name}, trial {best.trial}: {METRICS[item.metric]}"
                told = f"{what} {item.interval.value:.3f}"
                figures |= {
                    f"{name}_{item.metric}": item.interval.value,
                    f"{name}_{item.metric}_low": item.interval.low,
                    f"{name}_{item.metric}_high": item.interval.high,
                    f"{name}_{item.metric}_view_only": item.view_only,
                }
                recorded = best.metrics.get(f"val_{item.metric}", item.interval.value)
                if not abs(recorded - item.interval.value) <= _ROUNDING:
                    changed.append(f"{told} by its predictions, but {recorded:.3f} in its record")
                elif item.doubt:
                    lines.append(f"{told}: {item.doubt}")
            task.advance()
    if changed:
        reason = f"The records of {len(changed)} figures do not match their predictions."
        mend = "Delete the folders of these searches, and run them again."
        return Verdict(*PREDICTORS, "failed", reason, mend, tuple(changed + lines), figures)
    if lines:
        return Verdict(
            *PREDICTORS,
            "warning",
            f"{len(lines)} figures of best trials are not told from what costs no image.",
            "Do not read such a figure as skill in reading fractures: report it beside the "
            "baseline, get more patients, or look for what keeps the model from learning.",
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


def judge_shuffled(runs: Sequence[ShuffledRun], *, seed: int) -> Verdict:
    """Whether a model learns from labels that no image can tell.

    The mean of the permutations has one interval over patients, so that there is one chance of a
    false alarm, 2.5 %, and not one for each. The 18-label AUROC is no alarm: it stays at what the
    view alone gives, since the view is not shuffled.

    Args:
        runs: one a permutation.
        seed: of the bootstrap.
    """
    cortex = _of_permutations(runs, "val_cortex_auroc", seed)
    whole = _of_permutations(runs, "val_auroc", seed)
    view_only = sum(run.view_only for run in runs) / len(runs)
    figures = {
        "permutations": float(len(runs)),
        "cortex_auroc": cortex.value,
        "cortex_auroc_low": cortex.low,
        "cortex_auroc_high": cortex.high,
        "auroc": whole.value,
        "auroc_low": whole.low,
        "auroc_high": whole.high,
        "auroc_view_only": view_only,
    }
    told = (
        f"{METRICS['cortex_auroc']} {cortex.value:.3f}, 95 % over patients {cortex.low:.3f} to "
        f"{cortex.high:.3f}, on the mean of {len(runs)} permutations. "
        f"{METRICS['auroc']} {whole.value:.3f}, where the view alone gives {view_only:.3f}."
    )
    if cortex.low > CHANCE_AUROC:
        return Verdict(
            *SHUFFLED,
            "failed",
            f"Labels that no image can tell were learned: {told}",
            "Validation rows reach the training: look for patients on two sides, and for features "
            "that carry the label. One clean study in forty looks so by chance: more permutations "
            "(--permutations 10) tell.",
            figures=figures,
        )
    return Verdict(
        *SHUFFLED, "passed", f"Nothing was learned, as it must be: {told}", "", (), figures
    )


def judge_view_only(model: Predictions, view: Predictions, *, seed: int) -> Verdict:
    """Whether a model does better than the same head trained on the view alone.

    Args:
        model: out-of-fold predictions of the best trial.
        view: those of the head that was given nothing but the view, on the same folds.
        seed: of the bootstrap.
    """
    figures: dict[str, float | None] = {}
    told, doubtful = [], []
    for name, (truth, score, mask) in problems_of(model).items():
        metric = name.removeprefix("val_")
        with_image = FoldMacroAuroc(truth, score, mask, folds=model.folds)
        without = FoldMacroAuroc(truth, problems_of(view)[name][1], mask, folds=view.folds)
        (alone,) = patient_bootstrap(without, view.patient_ids, rng=seed)
        (gain,) = patient_bootstrap(difference(with_image, without), model.patient_ids, rng=seed)
        figures |= {
            f"{metric}_view_only": alone.value,
            f"{metric}_gain": gain.value,
            f"{metric}_gain_low": gain.low,
            f"{metric}_gain_high": gain.high,
        }
        told.append(
            f"{METRICS[metric]} {alone.value:.3f} without any image; the model has "
            f"{gain.value:+.3f}, 95 % over patients {gain.low:+.3f} to {gain.high:+.3f}"
        )
        if not gain.low > 0:
            doubtful.append(METRICS[metric])
    reason = "; ".join(told) + "."
    if doubtful:
        return Verdict(
            *VIEW_ONLY,
            "warning",
            reason,
            f"By {' and '.join(doubtful)} the images add nothing that is sure: do not read the "
            "figure as skill in reading fractures.",
            figures=figures,
        )
    return Verdict(*VIEW_ONLY, "passed", reason, figures=figures)


def _of_permutations(runs: Sequence[ShuffledRun], name: str, seed: int) -> BootstrapInterval:
    statistics = []
    for run in runs:
        truth, score, mask = problems_of(run.predictions)[name]
        statistics.append(FoldMacroAuroc(truth, score, mask, folds=run.predictions.folds))
    (interval,) = patient_bootstrap(
        mean_over(statistics), runs[0].predictions.patient_ids, rng=seed
    )
    return interval
