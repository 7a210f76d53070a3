"""Protocol: the published choices are the default, and no choice is out of range or lost."""

import ast
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rust_tuner
from rust_tuner.batch_range import percent
from rust_tuner.errors import ProtocolError
from rust_tuner.models.schedules import steps_per_epoch
from rust_tuner.protocol import ANATOMICAL_VIEWS, PUBLISHED_VIEWS, SMALL_SCALE, Protocol, choice


def test_the_default_is_the_published_study() -> None:
    assert Protocol() == Protocol.study()
    assert dataclasses.asdict(Protocol.study()) == {
        "objective": "val_auroc",
        "score_epoch": "best_mean",
        "seed": 0,
        "holdout_fraction": 0.15,
        "image_size": 299,
        "resize": "squash",
        "crop": "none",
        "remove_borders": False,
        "flips": "horizontal_and_vertical",
        "masked_loss": False,
        "weights": "imagenet",
        "precision": "float32",
        "extractor": "keras",
        "view_cortices": {"ap": ("medial", "lateral"), "lateral": ("anterior", "posterior")},
        "folds_by": "patient",
        "num_folds": 6,
        "epochs": 20,
        "trials": 100,
        "batch_size_range": (16, 2048),
        "fit_batch_sizes": True,
        "stop_hopeless": False,
        "dropout_rate_range": (0.0, 0.5),
        "learning_rates": (1e-1, 1e-2, 1e-3, 1e-4),
        "epsilons": (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8),
        "baseline_folds": 10,
        "baseline_epochs": 50,
        "baseline_batch_size": 128,
        "baseline_dropout_rate": 0.5,
        "final_folds": 10,
        "final_epochs": 40,
        "outer_folds": 5,
        "union_threshold": 13.0,
        "scale": "full",
    }


def test_regime_2_has_the_published_32_points() -> None:
    protocol = Protocol.study()
    assert len(protocol.learning_rates) * len(protocol.epsilons) == 32


def test_the_clinical_protocol_differs_in_five_choices_only() -> None:
    study, clinical = Protocol.study(), Protocol.clinical()
    changed = {
        field.name: getattr(clinical, field.name)
        for field in dataclasses.fields(Protocol)
        if getattr(clinical, field.name) != getattr(study, field.name)
    }
    assert changed == {
        "objective": "val_cortex_auroc",
        "resize": "letterbox",
        "flips": "horizontal",
        "masked_loss": True,
        "stop_hopeless": True,
    }


def test_small_scale_is_less_of_everything_that_takes_time() -> None:
    full, small = Protocol.study(), Protocol.study(**SMALL_SCALE)
    assert small.scale == "small"
    for name in SMALL_SCALE:
        before, after = getattr(full, name), getattr(small, name)
        if isinstance(before, bool):
            assert after is before
        elif isinstance(before, int):
            assert after < before
        elif name.endswith("s"):
            assert set(after) < set(before)


@pytest.mark.parametrize("num_rows", [2048, 2075, 100_000])
def test_the_published_batch_sizes_are_drawn_where_they_fit_into_a_fold(num_rows: int) -> None:
    sizes = Protocol.study().batch_sizes(num_rows)
    assert (sizes.lowest, sizes.highest, sizes.sampling) == (16, 2048, "linear")
    assert not sizes.is_shortened


@pytest.mark.parametrize("make", [Protocol.study, Protocol.clinical])
@given(num_rows=st.integers(1, 2047))
def test_where_they_do_not_fit_they_end_at_the_rows_of_a_fold(make: Any, num_rows: int) -> None:
    sizes = make().batch_sizes(num_rows)
    assert (sizes.highest, sizes.sampling, sizes.asked) == (num_rows, "log", (16, 2048))
    assert 1 <= sizes.lowest <= min(16, num_rows)
    assert sizes.lowest == 16 or num_rows < 32
    assert sizes.is_shortened
    assert str(num_rows) in sizes.note("a fold")
    assert "--batch-sizes 16,2048" in sizes.note("a fold")


@pytest.mark.parametrize("make", [Protocol.study, Protocol.clinical, Protocol().with_choices])
@pytest.mark.parametrize("asked", [(16, 2048), (8, 64), (64, 64)])
def test_a_range_that_is_asked_for_is_drawn_from_as_it_is(
    make: Any, asked: tuple[int, int]
) -> None:
    protocol = make(batch_size_range=asked)
    for read in (protocol, Protocol.from_json(json.loads(json.dumps(protocol.to_json())))):
        sizes = read.batch_sizes(40)
        assert (sizes.lowest, sizes.highest, sizes.sampling) == (*asked, "linear")
        assert "would" not in sizes.note("a fold")
    assert protocol.with_choices(trials=3).fit_batch_sizes is False


def test_a_record_of_an_earlier_version_keeps_its_range() -> None:
    record = Protocol.study().to_json()
    del record["fit_batch_sizes"]
    assert Protocol.from_json(record).batch_sizes(40).highest == 2048


@given(low=st.integers(1, 60), more=st.integers(0, 60), num_rows=st.integers(1, 130))
def test_the_share_of_one_step_is_that_of_the_sizes_that_hold_the_whole_fold(
    low: int, more: int, num_rows: int
) -> None:
    sizes = Protocol.study(batch_size_range=(low, low + more)).batch_sizes(num_rows)
    steps = [steps_per_epoch(num_rows, size) for size in range(low, low + more + 1)]
    assert sizes.share_of_one_step == pytest.approx(steps.count(1) / len(steps))


@pytest.mark.parametrize(
    ("share", "told"),
    [(0.0, "0 %"), (1e-4, "less than 1 %"), (0.983, "98 %"), (0.9999, "99 %"), (1.0, "all")],
)
def test_a_share_is_never_rounded_to_nothing_or_everything(share: float, told: str) -> None:
    assert percent(share) == told


@pytest.mark.parametrize("make", [Protocol.study, Protocol.clinical])
def test_changes_go_before_the_presets(make: Any) -> None:
    protocol = make(num_folds=3, resize="squash", flips="none")
    assert (protocol.num_folds, protocol.resize, protocol.flips) == (3, "squash", "none")


def test_a_protocol_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Protocol().seed = 1  # type: ignore[misc]


def test_two_protocols_share_nothing_that_can_be_changed() -> None:
    assert Protocol().view_cortices is not Protocol().view_cortices
    assert Protocol().view_cortices is not ANATOMICAL_VIEWS


def test_the_two_conventions_of_views_mirror_each_other() -> None:
    assert ANATOMICAL_VIEWS["ap"] == PUBLISHED_VIEWS["lateral"]
    assert ANATOMICAL_VIEWS["lateral"] == PUBLISHED_VIEWS["ap"]


protocols = st.builds(
    Protocol,
    objective=st.sampled_from(["val_auroc", "val_cortex_auroc"]),
    score_epoch=st.sampled_from(["best_mean", "last", 0, 4]),
    seed=st.integers(0, 2**64),
    holdout_fraction=st.floats(0, 1, exclude_min=True, exclude_max=True),
    image_size=st.integers(75, 2048),
    resize=st.sampled_from(["squash", "letterbox"]),
    flips=st.sampled_from(["horizontal_and_vertical", "horizontal", "none"]),
    masked_loss=st.booleans(),
    weights=st.text(),
    precision=st.sampled_from(["float32", "bfloat16"]),
    view_cortices=st.sampled_from([ANATOMICAL_VIEWS, PUBLISHED_VIEWS, {"ap": (), "lateral": ()}]),
    num_folds=st.integers(2, 20),
    epochs=st.integers(5, 60),
    trials=st.integers(1, 200),
    batch_size_range=st.tuples(st.integers(1, 50), st.integers(50, 4096)),
    fit_batch_sizes=st.booleans(),
    dropout_rate_range=st.tuples(st.floats(0, 0.4), st.floats(0.4, 0.99)),
    # Two numbers that are one in float32 are refused.
    learning_rates=st.lists(st.floats(1e-12, 10), min_size=1, unique_by=np.float32).map(tuple),
    epsilons=st.lists(st.floats(1e-12, 10), min_size=1, unique_by=np.float32).map(tuple),
)


@settings(deadline=None)
@given(protocols)
def test_every_protocol_survives_json(protocol: Protocol) -> None:
    text = json.dumps(protocol.to_json(), allow_nan=False)
    assert Protocol.from_json(json.loads(text)) == protocol


def test_a_field_that_is_missing_from_json_has_its_default() -> None:
    assert Protocol.from_json({"seed": 7}) == Protocol(seed=7)


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(
        ProtocolError, match=r"unknown protocol field 'folds'; this version knows .*num_folds"
    ):
        Protocol.from_json({"folds": 3})


def test_json_out_of_range_is_refused() -> None:
    with pytest.raises(ProtocolError, match=r"num_folds=1; expected an integer from 2"):
        Protocol.from_json(Protocol().to_json() | {"num_folds": 1})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("objective", "val_auc", "val_auroc or val_cortex_auroc"),
        ("score_epoch", "best", "best_mean, last, or an epoch in 0-19"),
        ("score_epoch", 20, "best_mean, last, or an epoch in 0-19"),
        ("score_epoch", -1, "best_mean, last, or an epoch in 0-19"),
        ("score_epoch", True, "best_mean, last, or an epoch in 0-19"),
        ("seed", -1, "an integer from 0"),
        ("seed", 1.0, "an integer from 0"),
        ("seed", False, "an integer from 0"),
        ("holdout_fraction", 0.0, "a number between 0 and 1, both excluded"),
        ("holdout_fraction", 1.0, "a number between 0 and 1, both excluded"),
        ("holdout_fraction", float("nan"), "a number between 0 and 1, both excluded"),
        ("holdout_fraction", "0.1", "a number between 0 and 1, both excluded"),
        ("masked_loss", 1, "True or False"),
        ("image_size", 74, "an integer from 75"),
        ("image_size", 2049, "an integer from 75, InceptionV3's smallest input, to 2048"),
        ("image_size", 10_000_000, "an integer from 75"),
        ("resize", "crop", "squash or letterbox"),
        ("flips", "vertical", "horizontal_and_vertical, horizontal or none"),
        ("precision", "float16", "float32 or bfloat16"),
        ("extractor", "onnx", "keras or onnxruntime"),
        ("view_cortices", {"ap": ("medial",)}, "for each of ap, lateral some of medial"),
        ("view_cortices", {"ap": ("front",), "lateral": ()}, "for each of ap, lateral some of"),
        ("view_cortices", {"ap": ([],), "lateral": ()}, "for each of ap, lateral some of"),
        ("view_cortices", {"ap": None, "lateral": ()}, "for each of ap, lateral some of"),
        ("num_folds", 1, "an integer from 2"),
        ("num_folds", 6.0, "an integer from 2"),
        ("epochs", 0, "an integer from 1"),
        ("epochs", "20", "an integer from 1"),
        ("score_epoch", 20, "best_mean, last, or an epoch in 0-19"),
        ("score_epoch", [], "best_mean, last, or an epoch in 0-19"),
        ("trials", 0, "an integer from 1"),
        ("batch_size_range", (0, 16), "two integers from 1, the lower one first"),
        ("batch_size_range", (32, 16), "two integers from 1, the lower one first"),
        ("fit_batch_sizes", 1, "True or False"),
        ("batch_size_range", (16.0, 32), "two integers from 1, the lower one first"),
        ("batch_size_range", (16,), "two integers from 1, the lower one first"),
        ("batch_size_range", "16,32", "two integers from 1, the lower one first"),
        ("dropout_rate_range", ("0", "0.5"), "two numbers from 0 to below 1"),
        ("learning_rates", ("0.1",), "one or more different positive numbers"),
        ("baseline_folds", 1, "an integer from 2"),
        ("final_epochs", 0, "an integer from 1"),
        ("baseline_dropout_rate", 1.0, "a number from 0 to below 1"),
        ("scale", "medium", "full or small"),
        ("folds_by", "fold", "patient or site"),
        ("union_threshold", 3, "a RUST total, 4 to 16"),
        ("union_threshold", 16.5, "a RUST total, 4 to 16"),
        ("union_threshold", float("nan"), "a RUST total, 4 to 16"),
        ("union_threshold", "13", "a RUST total, 4 to 16"),
        ("dropout_rate_range", (-0.1, 0.5), "two numbers from 0 to below 1"),
        ("dropout_rate_range", (0.5, 0.1), "two numbers from 0 to below 1"),
        ("dropout_rate_range", (0.5, 1.0), "two numbers from 0 to below 1"),
        ("learning_rates", (), "one or more different positive numbers"),
        ("learning_rates", (1e-46,), "one or more different positive numbers"),
        ("learning_rates", (1e39,), "one or more different positive numbers"),
        ("epsilons", (0.1, 0.1 + 1e-12), "one or more different positive numbers"),
        ("epochs", 10**7, "an integer from 1 to 1000000"),
        ("learning_rates", (0.1, 0.0), "one or more different positive numbers"),
        ("learning_rates", (0.1, 0.1), "one or more different positive numbers"),
        ("learning_rates", (float("inf"),), "one or more different positive numbers"),
        ("epsilons", (float("nan"),), "one or more different positive numbers"),
        ("epsilons", (-1e-7,), "one or more different positive numbers"),
    ],
)
def test_a_choice_out_of_range_is_refused_with_its_name_value_and_range(
    name: str, value: Any, expected: str
) -> None:
    with pytest.raises(ProtocolError) as caught:
        Protocol(**{name: value})
    assert str(caught.value).startswith(f"{name}={value!r}; expected {expected}")


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Protocol)])
def test_every_choice_has_a_range(name: str) -> None:
    nothing: Any = {name: None}
    with pytest.raises(ProtocolError, match=f"^{name}=None; expected "):
        Protocol(**nothing)


def test_0_is_a_seed_like_any_other() -> None:
    assert Protocol(seed=0).to_json()["seed"] == 0


# What stood in the lists of the rooms before it stood on the fields.
TRAINING = {"num_folds", "epochs", "score_epoch", "stop_hopeless"}
RANGES = {"batch_size_range", "fit_batch_sizes", "dropout_rate_range"}
GRID = {"learning_rates", "epsilons"}
BASELINE = {f"baseline_{name}" for name in ("folds", "epochs", "batch_size", "dropout_rate")}
FINAL = {"final_folds", "final_epochs"}


@pytest.mark.parametrize(
    ("step", "noted"),
    [
        ("baselines", {"score_epoch"} | BASELINE),
        ("regime_1", TRAINING | RANGES | GRID | {"trials"}),
        ("regime_2", TRAINING | RANGES | GRID),
        ("nested", TRAINING | RANGES | GRID | {"trials", "outer_folds"}),
        ("noise", TRAINING | RANGES | GRID),
        ("final", TRAINING | RANGES | GRID | FINAL),
        ("checks", TRAINING | RANGES | GRID),
    ],
)
def test_a_step_is_begun_with_the_choices_that_it_depends_on(step: str, noted: set[str]) -> None:
    assert set(Protocol.noted_by(step)) == noted


def test_searches_are_compared_by_what_makes_them_what_they_are() -> None:
    free = {"trials", "fit_batch_sizes", "stop_hopeless", "union_threshold", "outer_folds"}
    # The hash of the inputs depends on them.
    free |= {"crop", "remove_borders", "extractor"}
    free |= BASELINE | FINAL
    names = {field.name for field in dataclasses.fields(Protocol)}
    assert set(Protocol.compared_by("regime_1", "regime_2")) == names - free


def test_a_field_that_is_added_is_noted_compared_and_free_by_its_declaration_alone() -> None:
    @dataclasses.dataclass(frozen=True)
    class Longer(Protocol):
        warmup_epochs: int = dataclasses.field(default=0, metadata=choice("regime_2"))
        scanner: str = "any"

    asked = Longer(warmup_epochs=3)
    steps = ("baselines", "regime_1", "regime_2", "nested", "noise", "final", "checks")
    follows = [step for step in steps if "warmup_epochs" in asked.noted_by(step)]
    assert follows == list(steps[1:])
    assert not any("scanner" in asked.noted_by(step) for step in steps)
    assert "warmup_epochs" in asked.varying()
    assert "scanner" not in asked.varying()
    assert {"warmup_epochs", "scanner"} <= set(asked.compared_by("regime_2"))
    assert "warmup_epochs" not in asked.compared_by("baselines")
    assert Longer.from_json(asked.to_json()) == asked


@pytest.mark.slow
def test_no_other_module_lists_the_choices_of_a_step() -> None:
    package = Path(rust_tuner.__file__).parent
    names = set(Protocol.varying()) - {"epochs", "trials"}
    for path in package.rglob("*.py"):
        # A command's options, and how they are said again, are one by one.
        if path.parent.name == "cli" or path.stem in ("protocol", "reproduction"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Tuple | ast.List | ast.Set):
                texts = {item.value for item in node.elts if isinstance(item, ast.Constant)}
                assert len(texts & names) < 2, f"{path.name} line {node.lineno}"
