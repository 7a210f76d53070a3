"""The answer of a study in one sentence, how far to rely on it, and what to do next.

It is the content of the report's first screen and of the live page. The figures themselves belong
to `study_figures`, the full list of warnings to `verdict`.
"""

from dataclasses import dataclass

from rust_tuner.analysis.first_models import best_first_model, finished_first_models
from rust_tuner.analysis.main_figures import (
    MainFigures,
    figures_text,
    holdout_figures_of,
    last_search,
    search_figures_of,
)
from rust_tuner.analysis.next_step import NextStep, is_unfinished, next_step
from rust_tuner.analysis.reliance import Reliance, development_patients, reliance_of
from rust_tuner.analysis.verdict import MODEL_NAMES, SEARCH_NAMES
from rust_tuner.records.folder import StudyRecords
from rust_tuner.records.project import REGIME_1, REGIME_2, Project
from rust_tuner.words import METRICS, counted, short_number, words

_REASONS_SHOWN = 4
_TITLES: dict[Reliance, str] = {
    "nothing yet": "There is nothing to rely on yet",
    "no": "Do not rely on it",
    "not yet": "Not yet: this is a selection score",
    "with caution": "With caution",
    "yes": "Yes, as an estimate for patients like these",
}


@dataclass(frozen=True)
class BestValues:
    """The best hyperparameters.

    Attributes:
        values: name and value, as text.
        source: the trial they come from, and how many are tied with it.
    """

    values: tuple[tuple[str, str], ...]
    source: str


@dataclass(frozen=True)
class Answer:
    """The first screen of a report.

    Attributes:
        stage: what is done, in a few words.
        sentence: the figures that count; what stands between two `**` is their value.
        reliance: how far it can be relied on.
        reasons: why not, the most serious first.
        best: the best hyperparameters, or None.
        next: what to run next.
    """

    stage: str
    sentence: str
    reliance: Reliance
    reasons: tuple[str, ...]
    best: BestValues | None
    next: NextStep

    @property
    def title(self) -> str:
        """How far the answer can be relied on, as a heading."""
        return _TITLES[self.reliance]


def answer(records: StudyRecords) -> Answer:
    """The answer of a study, finished or not."""
    stage, sentence, main, number = _said(records)
    reliance, reasons = reliance_of(records, main, number)
    return Answer(
        stage=stage,
        sentence=sentence,
        reliance=reliance,
        reasons=tuple(reasons[:_REASONS_SHOWN]),
        best=best_values(records),
        next=next_step(records, is_reliable=reliance != "no"),
    )


def best_values(records: StudyRecords) -> BestValues | None:
    """The best hyperparameters of the last search that has any."""
    for name, project in ((REGIME_2, records.regime_2), (REGIME_1, records.regime_1)):
        if project is None or project.best is None:
            continue
        best = project.best
        values = tuple((words(key), short_number(value)) for key, value in best.values.items())
        ended = sum(trial.score is not None for trial in project.trials)
        of = "the only one with a score" if ended == 1 else f"the best of {ended}"
        source = f"Trial {best.trial}, {of} in {SEARCH_NAMES[name]}"
        return BestValues(values, f"{source}. {tied_clause(project)}".strip())
    return None


def tied_clause(project: Project) -> str:
    """How many trials are tied with the best one, and what that means; empty without a second."""
    compared = project.ties
    tied = sum(tie.tied for tie in compared.values()) - 1
    if len(compared) < 2:
        return ""
    if tied < 1:
        return "No other trial is tied with it: its folds show that it is better."
    others = "other trial is" if tied == 1 else "other trials are"
    return (
        f"{tied} {others} tied with it: the folds differ too little to say which is the best, so "
        "any of them may be."
    )


def _said(records: StudyRecords) -> tuple[str, str, MainFigures | None, int]:
    """Stage, sentence, figures, and the number of patients behind them."""
    if records.holdout is not None:
        main = holdout_figures_of(records)
        number = records.holdout.patients
        start = f"On {counted(number, 'patient')} that no training and no choice used"
        return "Final model evaluated", f"{start}, {figures_text(main)}.", main, number
    last = last_search(records)
    if last is None:
        return _before_searches(records)
    name, project = last
    best = project.best
    ended = sum(trial.has_ended for trial in project.trials)
    total = project.run.num_trials
    done = f"{name}: {ended} of {total} trials" if is_unfinished(project) else f"{name} finished"
    if best is None:
        sentence = f"{name} has begun: {ended} of {total} trials have ended, none with a score."
        return done, sentence, None, 0
    main = search_figures_of(records, project, best)
    scored = sum(trial.score is not None for trial in project.trials)
    patients = development_patients(records)
    of = f" of {counted(patients, 'development patient')}" if patients else ""
    what = (
        "the tuned model was tested on patients that it was tuned on: "
        if project is records.cross_validation
        else f"the best of {scored} trials was chosen by its score: "
        if scored > 1
        else "the only trial with a score: "
    )
    start = f"In {project.run.subject.num_folds}-fold cross-validation{of}, {what}"
    return done, f"{start}{figures_text(main)}.", main, patients


def _before_searches(records: StudyRecords) -> tuple[str, str, MainFigures | None, int]:
    name = best_first_model(records)
    if name is not None:
        done = finished_first_models(records)
        best = done[name].best
        assert best is not None
        main = search_figures_of(records, done[name], best)
        by = METRICS[done[name].objective.removeprefix("val_")]
        start = f"The best of {len(done)} first models by {by} is {MODEL_NAMES[name]}: "
        if len(done) == 1:
            start = f"The only first model with a score is {MODEL_NAMES[name]}: "
        return "First models", f"{start}{figures_text(main)}.", main, 0
    study = records.study
    if study is None:
        sentence = "No part of this study can be read, so there is no result."
        return "Nothing to read", sentence, None, 0
    sealed = (
        ""
        if records.split is None
        else "; one patient is set aside"
        if len(records.split.holdout) == 1
        else f"; {len(records.split.holdout)} patients are set aside"
    )
    sentence = (
        f"**{counted(study.radiographs, 'radiograph')} of {counted(study.patients, 'patient')}** "
        f"are prepared{sealed}. "
        "Nothing has been trained yet, so there is no result."
    )
    return "Prepared", sentence, None, study.patients
