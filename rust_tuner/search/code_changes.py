"""Whether a user's model is still the one that a search was begun with.

The model is built at the defaults, and at resume once more at the values of each recorded trial,
and compared with what was recorded. Searches of earlier versions recorded only the shapes of
weights and the names of classes, at the defaults; they are resumed with a note.
"""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from rust_tuner.errors import ResumeError
from rust_tuner.files import sha256_of_json
from rust_tuner.models.described import Description, Difference, differences
from rust_tuner.models.fold_batches import FoldPlace
from rust_tuner.records.built_models import read_built_model, write_built_model
from rust_tuner.records.folds import FoldStore
from rust_tuner.records.run import run_if_whole
from rust_tuner.scope import AUROCS
from rust_tuner.search.built_once import FAILED_SHA256, BuiltOnce, build_once
from rust_tuner.search.objectives import require_computable, score_metrics
from rust_tuner.search.recovery import has_scores, readable_trials
from rust_tuner.search.scoring import Scoring
from rust_tuner.search.subjects import Subject

_MOST_ROWS = 12
_MEND = (
    "Restore the old code to resume the search, or use a new folder (overwrite=True empties this "
    "one)."
)


class UsersModel:
    """The user's model of one search, at the defaults and at the values of its trials.

    Attributes:
        defaults: the model at the default values.
        identity: what the manifest records of it.
        may_change: whether nothing was trained yet, so that other code does not change the search.
    """

    def __init__(
        self,
        folder: Path,
        subject: Subject,
        space: Callable[[], keras_tuner.HyperParameters],
        *,
        seed: int,
    ) -> None:
        """Build the model at the defaults, and compare it with that of a search that is resumed.

        Args:
            folder: the project folder.
            subject: builds the model.
            space: gives a copy of the declared hyperparameters.
            seed: of the search.

        Raises:
            ResumeError: with what differs.
        """
        self._folder = folder
        self._subject = subject
        self._space = space
        self._seed = seed
        self.defaults = self._at_defaults(with_metrics=True)
        begun = run_if_whole(folder)
        recorded = {} if begun is None else begun.subject.to_json()
        self.may_change = not has_scores(folder)
        self._is_old = begun is not None and "description" not in recorded and not self.may_change
        self.identity: dict[str, str | None] = {}
        if not self._is_old:
            written = recorded.get("description")
            self.identity = {"description": self._unchanged_sha256(written)}
        elif subject.rows is None:
            # A search of an earlier version, under the key that it was begun with.
            self.identity = {"model": self.defaults.shapes}

    def keep_defaults(self) -> None:
        """Keep the description at the defaults, where the folder has none for this search."""
        sha256 = self.defaults.sha256
        if self.identity.get("description") == sha256 and self._written_sha256() != sha256:
            write_built_model(self._folder, sha256, self.defaults.description)

    def refuse_changes(self, store: Callable[[Trial], FoldStore]) -> list[str]:
        """Compare the models of the recorded trials with those that the code builds today.

        Trials that failed, or have no records yet, have no scores to protect.

        Args:
            store: the records of a trial.

        Returns:
            Notes about trials that cannot be checked.

        Raises:
            ResumeError: naming the first trial whose model differs, and what differs.
        """
        unchecked = []
        for trial in readable_trials(self._folder):
            records = store(trial)
            if trial.status == TrialStatus.FAILED or not records.is_begun or records.is_foreign():
                continue
            written = records.kept_model()
            if written is None:
                unchecked.append(trial.trial_id)
                if not self._is_old:
                    records.keep_model(self._at(trial).description)
                continue
            again = functools.partial(self._at, trial)
            if rows := _lasting_differences(written, self._at(trial), again):
                what = f"the model of trial {trial.trial_id}"
                raise ResumeError(_refusal(self._folder, what, rows))
        return _notes(self._folder, unchecked, self._is_old)

    def _unchanged_sha256(self, recorded: object) -> str:
        """The SHA-256 of the model at the defaults, as the search was begun."""
        now = self.defaults
        if not isinstance(recorded, str) or recorded == now.sha256 or self.may_change:
            return now.sha256
        if recorded == FAILED_SHA256:
            # Code that was mended: no trial at the defaults has a score.
            return recorded
        written = read_built_model(self._folder)
        if written is None or sha256_of_json(written) != recorded:
            # The manifest shows that it differs; what differs was in the damaged file.
            return now.sha256
        if rows := _lasting_differences(written, now, self._at_defaults):
            raise ResumeError(_refusal(self._folder, "the model at the default values", rows))
        return recorded

    def _written_sha256(self) -> str | None:
        written = read_built_model(self._folder)
        return None if written is None else sha256_of_json(written)

    def _at_defaults(self, *, with_metrics: bool = False) -> BuiltOnce:
        place = FoldPlace(self._seed, 0, 0)
        return build_once(self._subject, self._space(), place, with_metrics=with_metrics)

    def _at(self, trial: Trial) -> BuiltOnce:
        hp = self._space()
        hp.values = dict(trial.hyperparameters.values)
        return build_once(self._subject, hp, FoldPlace(self._seed, int(trial.trial_id), 0))


def users_model(
    folder: Path,
    subject: Subject,
    space: Callable[[], keras_tuner.HyperParameters],
    scoring: Scoring,
    *,
    seed: int,
    say: Callable[[str], None],
) -> UsersModel | None:
    """The user's model, as it is built now; None where the model is ours.

    Args:
        folder: the project folder.
        subject: builds the model.
        space: gives a copy of the declared hyperparameters.
        scoring: whose objective is checked.
        seed: of the search.
        say: called with notes.

    Raises:
        ResumeError: where the search was begun with another model.
        SearchError: where the model does not have the objective.
    """
    model = None
    offered: tuple[str, ...] | None = None
    if subject.keeps_running:
        offered = ("loss", *AUROCS, *score_metrics(scoring.objective))
    if subject.is_users_model:
        model = UsersModel(folder, subject, space, seed=seed)
        if not subject.keeps_running:
            # What a `fit` of the user's returns is known once it has run.
            offered = None if subject.own_fit else model.defaults.metrics
        require_computable(
            subject,
            scoring.objective,
            own_metrics=model.defaults.own_metrics,
            output_shape=model.defaults.output_shape,
        )
        if "auroc" in model.defaults.own_metrics and "exact_auroc" in (offered or ()):
            say(
                "note: the model has a metric of its own named auroc, so val_auroc is that "
                "metric; the exact macro AUROC is val_exact_auroc"
            )
    scoring.require(offered)
    return model


def _notes(folder: Path, unchecked: list[str], is_old: bool) -> list[str]:
    if not unchecked:
        return []
    if is_old:
        return [
            f"note: {folder} was begun by an earlier version, which recorded the shapes of weights "
            "and the names of optimizer and loss at the default values only; whether anything else "
            f"in the code has changed since its {len(unchecked)} trials cannot be checked"
        ]
    return [
        f"trial {trial} has no readable model.json; whether its code has changed cannot be checked"
        for trial in unchecked
    ]


def _lasting_differences(
    written: Description, now: BuiltOnce, again: Callable[[], BuiltOnce]
) -> list[Difference]:
    """Differences, without those that two builds of the same code have, such as names with a time.

    The second build is made only where there is a difference.
    """
    rows = differences(written, now.description)
    if not rows:
        return []
    unstable = {name for name, _, _ in differences(now.description, again().description)}
    return [row for row in rows if row[0] not in unstable]


def _refusal(folder: Path, what: str, rows: Sequence[Difference]) -> str:
    table = [f"  {name}: was {was}, is {now}" for name, was, now in rows[:_MOST_ROWS]]
    if len(rows) > _MOST_ROWS:
        table.append(f"  and {len(rows) - _MOST_ROWS} more")
    lines = "\n".join(table)
    return f"{folder} contains a search with other code; {what} differs:\n{lines}\n{_MEND}"
