"""Every scientific choice of a study as one frozen value, which can be written and read as JSON.

It owns the choices; their ranges belong to `protocol_ranges`, and using them to other modules.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

from rust_tuner.batch_range import PUBLISHED_BATCH_SIZES, BatchSizes, Sampling
from rust_tuner.errors import ProtocolError
from rust_tuner.protocol_ranges import refuse_out_of_range
from rust_tuner.rust_scores import UNION_THRESHOLD
from rust_tuner.scope import CORTEX_SCOPE

Objective = Literal["val_auroc", "val_cortex_auroc"]
Resize = Literal["squash", "letterbox"]
Precision = Literal["float32", "bfloat16"]
Extractor = Literal["keras", "onnxruntime"]
Flips = Literal["horizontal_and_vertical", "horizontal", "none"]

Scale = Literal["full", "small"]
FoldsBy = Literal["patient", "site"]
# The steps of a study that may be run with other choices than the study was prepared with.
Step = Literal["baselines", "regime_1", "regime_2", "nested", "noise", "final", "checks"]


# The choices of the small scale, with which every step takes minutes on two cores.
SMALL_SCALE: dict[str, Any] = {
    "scale": "small",
    "image_size": 224,
    "num_folds": 3,
    "epochs": 15,
    "trials": 8,
    "batch_size_range": (8, 64),
    "fit_batch_sizes": True,
    "learning_rates": (1e-2, 1e-3, 1e-4),
    "epsilons": (1e-1, 1e-4, 1e-7),
    "baseline_folds": 3,
    "baseline_epochs": 8,
    "baseline_batch_size": 32,
    "final_folds": 5,
    "final_epochs": 20,
    "outer_folds": 3,
}

ANATOMICAL_VIEWS = {"ap": ("medial", "lateral"), "lateral": ("anterior", "posterior")}
PUBLISHED_VIEWS = {"ap": ("anterior", "posterior"), "lateral": ("medial", "lateral")}


SEARCHES: tuple[Step, ...] = ("regime_1", "regime_2")


def choice(*steps: Step, compared: bool = True) -> dict[str, Any]:
    """The metadata of a field of the protocol.

    Args:
        *steps: the steps that use the choice, each of which may have its own value; none if it
            is fixed when a study is prepared.
        compared: whether the choice must be the same when a search is resumed.
    """
    return {"steps": frozenset(steps), "compared": compared}


@dataclass(frozen=True)
class Protocol:
    """The scientific choices of a study; `Protocol.study()` are the published ones.

    Attributes:
        objective: what the search maximises. `val_auroc` is the 18-label macro AUROC of the
            study; `val_cortex_auroc` scores the 16 cortex labels only where they are visible.
        score_epoch: the epoch of the fold-averaged curve that gives the trial's score: `best_mean`
            (its maximum, as published), `last`, or an epoch counted from 0.
        seed: decides hold-out set, folds, trials, initial weights, shuffling and dropout.
        holdout_fraction: share of the patients that is sealed, in (0, 1).
        image_size: side of the square model input in pixels, 75 to 2048; the study's is 299.
        resize: `squash` to the square as published, or `letterbox` to keep the aspect ratio.
        crop: which part of each radiograph is used: `none` for all of it, or `centre:` and
            millimetres, such as `centre:150`, for the square in the middle by the pixel spacing of
            DICOM files. Where the manifest gives `crop_left, crop_top, crop_right, crop_bottom`,
            they are used instead.
        remove_borders: whether uniform borders are removed, such as those outside the collimation.
        flips: which random flips augment the training radiographs.
        masked_loss: train only on the labels of visible cortices (and on the view).
        weights: backbone weights: `imagenet`, `random`, `phantoms` (the demonstration's), or a
            path to a file without top.
        precision: `float32`, or `bfloat16` for the matrix products of backbone and head where the
            processor has it; weights stay float32.
        extractor: what passes the radiographs through the frozen backbone: `keras`, or
            `onnxruntime` (the extra `onnx`), which may be faster on a processor and whose features
            differ by about a millionth.
        view_cortices: the cortices that each view is expected to show. It is used only for phantoms
            and for checks of the manifest; a cortex is visible in a row where it has a score.
        folds_by: whether folds divide the patients at random (`patient`), or each fold leaves one
            site out (`site`, from the manifest's column of that name; every cross-validation of the
            study then has as many folds as there are sites).
        num_folds: folds of a trial's cross-validation.
        epochs: epochs of each fold.
        trials: number of trials in Regime I.
        batch_size_range: lowest and highest batch size of Regime I.
        fit_batch_sizes: whether the range is shortened to the number of radiographs that a fold
            trains on, and then drawn logarithmically, if its end is larger: a larger batch holds
            the whole fold, and all such trials are alike. True for the published range and that of
            `SMALL_SCALE`; False if `study`, `clinical` or `with_choices` is given a range, which
            is then not changed. See `batch_sizes`.
        stop_hopeless: whether the searches stop a trial that is significantly worse than the best
            one so far, at the same epoch and two epochs in a row; see `search.hopeless`.
        dropout_rate_range: lowest and highest dropout rate of Regime I.
        learning_rates: Adam's learning rates on the grid of Regime II.
        epsilons: Adam's epsilons on the grid of Regime II.
        baseline_folds: folds of the first models' cross-validation.
        baseline_epochs: epochs of each of their folds.
        baseline_batch_size: their batch size; 128 in the published code.
        baseline_dropout_rate: of the first models with the transfer-learning head.
        final_folds: folds of the tuned model's own cross-validation.
        final_epochs: epochs of each of its folds, and the most of its refit.
        outer_folds: outer folds of the nested cross-validation; both searches are run in each. With
            5, these searches use four fifths of the patients, and all of them together take about
            four times as long as the study's two searches.
        union_threshold: in the figures of visits, a total of at least this counts as union. Scores
            of 1-4 are those of the modified RUST, for which 13 points are the usual threshold
            (Litrenta et al., J Orthop Trauma 2015, doi:10.1097/BOT.0000000000000390).
        scale: `full`, or `small` for the choices of `SMALL_SCALE`; only a label.
    """

    objective: Objective = "val_auroc"
    score_epoch: str | int = field(default="best_mean", metadata=choice("baselines", *SEARCHES))
    seed: int = 0
    holdout_fraction: float = 0.15
    image_size: int = 299
    resize: Resize = "squash"
    # Not compared when a search is resumed: the hash of its inputs depends on them.
    crop: str = field(default="none", metadata=choice(compared=False))
    remove_borders: bool = field(default=False, metadata=choice(compared=False))
    flips: Flips = "horizontal_and_vertical"
    masked_loss: bool = False
    weights: str = "imagenet"
    precision: Precision = "float32"
    # Not compared either: where the features are not Keras's, a search records what computed them.
    extractor: Extractor = field(default="keras", metadata=choice(compared=False))
    view_cortices: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: dict(ANATOMICAL_VIEWS)
    )
    folds_by: FoldsBy = "patient"
    num_folds: int = field(default=6, metadata=choice(*SEARCHES))
    epochs: int = field(default=20, metadata=choice(*SEARCHES))
    trials: int = field(default=100, metadata=choice("regime_1", "nested", compared=False))
    batch_size_range: tuple[int, int] = field(
        default=PUBLISHED_BATCH_SIZES, metadata=choice("regime_1")
    )
    fit_batch_sizes: bool = field(default=True, metadata=choice("regime_1", compared=False))
    stop_hopeless: bool = field(default=False, metadata=choice(*SEARCHES, compared=False))
    dropout_rate_range: tuple[float, float] = field(default=(0.0, 0.5), metadata=choice("regime_1"))
    learning_rates: tuple[float, ...] = field(
        default=(1e-1, 1e-2, 1e-3, 1e-4), metadata=choice("regime_2")
    )
    epsilons: tuple[float, ...] = field(
        default=(1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8), metadata=choice("regime_2")
    )
    baseline_folds: int = field(default=10, metadata=choice("baselines"))
    baseline_epochs: int = field(default=50, metadata=choice("baselines"))
    baseline_batch_size: int = field(default=128, metadata=choice("baselines"))
    baseline_dropout_rate: float = field(default=0.5, metadata=choice("baselines"))
    final_folds: int = field(default=10, metadata=choice("final"))
    final_epochs: int = field(default=40, metadata=choice("final"))
    outer_folds: int = field(default=5, metadata=choice("nested"))
    union_threshold: float = field(default=UNION_THRESHOLD, metadata=choice(compared=False))
    scale: Scale = "full"

    def __post_init__(self) -> None:
        """Refuse choices outside their range.

        Raises:
            ProtocolError: with the field, its value and its range.
        """
        hints = get_type_hints(type(self)).items()
        allowed = {name: get_args(hint) for name, hint in hints if get_origin(hint) is Literal}
        refuse_out_of_range(vars(self), allowed)

    @classmethod
    def steered(cls, step: str) -> tuple[str, ...]:
        """The fields that a step uses directly."""
        return tuple(name for name, steps in cls._steps().items() if step in steps)

    @classmethod
    def own_to(cls, step: str) -> tuple[str, ...]:
        """The fields that only this step uses."""
        return tuple(name for name, steps in cls._steps().items() if steps == {step})

    @classmethod
    def searched(cls) -> tuple[str, ...]:
        """The fields that define a search, of those that may differ between steps."""
        return tuple(
            name
            for name, steps in cls._steps().items()
            if steps & set(SEARCHES) and "nested" not in steps
        )

    @classmethod
    def varying(cls) -> tuple[str, ...]:
        """The fields that may differ between steps; all others are fixed by `prepare`."""
        return tuple(name for name, steps in cls._steps().items() if steps)

    @classmethod
    def noted_by(cls, step: str) -> tuple[str, ...]:
        """The fields that are recorded when a step is begun, and used when it is resumed."""
        follows = () if step == "baselines" else cls.searched()
        return tuple(dict.fromkeys((*follows, *cls.steered(step))))

    @classmethod
    def compared_by(cls, *steps: str) -> tuple[str, ...]:
        """The fields that are compared when a cross-validation of these steps is resumed."""
        uncompared = {item.name for item in fields(cls) if not item.metadata.get("compared", True)}
        return tuple(
            name
            for name, steered in cls._steps().items()
            if name not in uncompared and (not steered or steered & set(steps))
        )

    @classmethod
    def _steps(cls) -> dict[str, frozenset[str]]:
        return {item.name: item.metadata.get("steps", frozenset()) for item in fields(cls)}

    @classmethod
    def study(cls, **changes: Any) -> Self:
        """The published study's choices, with `changes` applied.

        Examples:
            >>> Protocol.study(trials=10).batch_sizes(2075).sampling
            'linear'
        """
        return cls(**_settled(changes))

    @classmethod
    def clinical(cls, **changes: Any) -> Self:
        """Choices for a clinical question: masked objective and loss, aspect ratio kept.

        Horizontal flips only: an upside-down radiograph does not occur in a clinic.
        """
        choices: dict[str, Any] = {
            "objective": CORTEX_SCOPE.objective,
            "resize": "letterbox",
            "flips": "horizontal",
            "masked_loss": True,
            "stop_hopeless": True,
        }
        return cls(**(choices | _settled(changes)))

    def with_choices(self, **changes: Any) -> Self:
        """The protocol with `changes`; a range of batch sizes among them is not shortened."""
        return replace(self, **_settled(changes))

    def batch_sizes(self, num_rows: int) -> BatchSizes:
        """The batch sizes that Regime I draws for folds of a given size.

        Args:
            num_rows: radiographs that the largest fold trains on, from 1.

        Examples:
            >>> sizes = Protocol.study().batch_sizes(50)
            >>> sizes.lowest, sizes.highest, sizes.sampling
            (16, 50, 'log')
        """
        lowest, highest = self.batch_size_range
        sampling: Sampling = "linear"
        if self.fit_batch_sizes and num_rows < highest:
            # Keeps the end of the range at least about twice its beginning.
            lowest = lowest if 2 * lowest <= num_rows else min(lowest, max(1, num_rows // 4))
            highest, sampling = num_rows, "log"
        return BatchSizes(lowest, highest, sampling, self.batch_size_range, num_rows)

    def to_json(self) -> dict[str, Any]:
        """The protocol as a dictionary of JSON values; `from_json` reads it back."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read a protocol that `to_json` wrote.

        Raises:
            ProtocolError: for unknown fields or values out of range.
        """
        # Records of earlier versions have only a range, which was not shortened.
        values = _settled(values)
        names = {item.name for item in fields(cls)}
        unknown = sorted(set(values) - names)
        if unknown:
            raise ProtocolError(
                f"unknown protocol field {unknown[0]!r}; this version knows "
                f"{', '.join(sorted(names))}"
            )
        choices: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
        if "view_cortices" in choices:
            choices["view_cortices"] = {
                view: tuple(names) for view, names in choices["view_cortices"].items()
            }
        return cls(**choices)


def _settled(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The choices, with a given range of batch sizes not shortened unless that is requested."""
    if "batch_size_range" not in changes:
        return dict(changes)
    return {"fit_batch_sizes": False} | dict(changes)
