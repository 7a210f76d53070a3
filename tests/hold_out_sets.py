"""The two sides of a study that has looked at its hold-out set."""

from rust_tuner import Development, HoldOut, Study, split_holdout
from rust_tuner.labels import LABELS

PROBABILITIES = [f"probability_{label}" for label in LABELS]


def sides_of(study: Study) -> tuple[Development, HoldOut]:
    """The development and the hold-out set of a study, cut again."""
    return split_holdout(study.radiographs(), seed=study.protocol.seed)
