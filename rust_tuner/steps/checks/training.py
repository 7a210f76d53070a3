"""The trainings of the checks: the best configuration on shuffled labels, and on the view alone.

Each is an ordinary search of one trial in `STUDY/checks` on the cached features of the development
set, so it is trained, recorded, locked and resumed like any other.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import keras_tuner

from rust_tuner.data.folds import Folds
from rust_tuner.data.splits import Development
from rust_tuner.errors import SearchError
from rust_tuner.files import sha256_of_json
from rust_tuner.metrics import Predictions
from rust_tuner.models.space import SearchSpace
from rust_tuner.progress import Progress
from rust_tuner.protocol import Protocol
from rust_tuner.records.checks import CHECKS
from rust_tuner.records.model import HyperValues
from rust_tuner.records.project import Project
from rust_tuner.records.rows import out_of_fold_predictions
from rust_tuner.search.grid_search import GridSearchOracle
from rust_tuner.search.regimes import recorded_protocol
from rust_tuner.search.runs import run_key
from rust_tuner.search.subjects import view_subject
from rust_tuner.search.tuner import CrossValidationTuner
from rust_tuner.seeds import generator
from rust_tuner.steps.checks.shuffling import SHUFFLING, shuffled_between_patients
from rust_tuner.steps.noise import as_searched, require_same_data
from rust_tuner.steps.refit import HYPERPARAMETERS, tuned_hypermodel


@dataclass(frozen=True, eq=False)
class Training:
    """The trainings of the checks: the configuration of a search, on the same folds.

    Attributes:
        development: the development set.
        folds: the folds of the search.
        source: the search; the values are those of its best trial, or the defaults.
        protocol: the scientific choices of the study.
        directory: the study's folder.
        cache: folder of the feature cache; the default one if None.
        progress: where to report.
    """

    development: Development
    folds: Folds
    source: Project
    protocol: Protocol
    directory: Path
    cache: str | Path | None
    progress: Progress

    def require_same_data(self) -> None:
        """Refuse other data than those of the search, before any long work.

        Raises:
            ResumeError: if radiographs, weights, preprocessing or folds differ.
        """
        require_same_data(self.source, self.development, self.folds, self._protocol)

    @property
    def values(self) -> HyperValues:
        """The hyperparameters."""
        best = self.source.best
        if best is None:
            return SearchSpace().defaults()
        return {name: best.values[name] for name in HYPERPARAMETERS}

    @property
    def _protocol(self) -> Protocol:
        return as_searched(self.protocol, self.source)

    @property
    def _folder(self) -> Path:
        """A folder for each configuration, so that trainings of different ones are kept apart."""
        key = {
            "search": run_key(self.source.run),
            "values": self.values,
            "epoch": self._epoch,
            "shuffling": SHUFFLING,
        }
        return self.directory / CHECKS / sha256_of_json(key)[:12]

    @property
    def _epoch(self) -> int:
        """The epoch that was chosen on the true labels, else the last; shuffled labels choose none.

        The best epoch of a curve of pure noise would be above chance.
        """
        best = self.source.best
        last = self.source.run.epochs - 1
        return last if best is None or best.epoch is None else best.epoch

    def shuffled(self, permutation: int) -> Predictions:
        """Cross-validate on labels shuffled between patients, or read the records of doing so.

        Args:
            permutation: its number, from 0; with the protocol's seed it decides the shuffling.

        Raises:
            SearchError: if the training fails.
            SplitError: if labels cannot be shuffled.
        """
        rng = generator(self.protocol.seed, CHECKS, "shuffled", permutation)
        shuffled = shuffled_between_patients(self.development, rng)
        protocol = dataclasses.replace(self._protocol, score_epoch=self._epoch)
        tuner = self._tuner(f"shuffled_{permutation:03d}", protocol)
        tuner.search(
            shuffled,
            epochs=protocol.epochs,
            verbose=0,
            cache=self.cache,
            about={"protocol": recorded_protocol(protocol)},
        )
        return _predictions(tuner.project)

    def on_view_alone(self) -> Predictions:
        """Cross-validate the head with the view as its only input.

        Raises:
            SearchError: if the training fails.
        """
        protocol = self._protocol
        tuner = self._tuner("view_only", protocol)
        subject = view_subject(
            tuner.hypermodel, self.development, self.folds, seed=self.protocol.seed
        )
        about = {"protocol": recorded_protocol(protocol)}
        tuner.search_subject(subject, epochs=protocol.epochs, about=about)
        return _predictions(tuner.project)

    def _tuner(self, name: str, protocol: Protocol) -> CrossValidationTuner:
        objective = keras_tuner.Objective(protocol.objective, "max")
        return CrossValidationTuner(
            tuned_hypermodel(protocol, self.values),
            GridSearchOracle(objective, seed=protocol.seed),
            cv=self.folds,
            seed=protocol.seed,
            directory=self._folder,
            project_name=name,
            score_epoch=protocol.score_epoch,
            progress=self.progress,
        )


def _predictions(project: Project) -> Predictions:
    if project.best is None:
        reason = project.trials[0].message if project.trials else "no trial"
        raise SearchError(
            f"{project.folder}: the training failed ({reason}); delete that folder to try again"
        )
    return out_of_fold_predictions(project)
