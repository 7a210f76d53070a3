"""What would mix folds is refused with the reason; numbers that need no new graph share one."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import keras
import pytest

from rust_tuner.models.fold_plan import MixedFolds, plan_head


def head(
    layers: Sequence[keras.Layer] = (), optimizer: Any = "adam", loss: Any = "binary_crossentropy"
) -> keras.Model:
    last = keras.layers.Dense(4, activation="sigmoid", name="last")
    model = keras.Sequential([keras.Input((5,)), *layers, last])
    if isinstance(optimizer, dict):
        optimizer = keras.optimizers.Adam(**optimizer)
    model.compile(optimizer, loss)
    return model


def dense(**settings: Any) -> keras.layers.Dense:
    return keras.layers.Dense(4, name="dense", **settings)


@pytest.mark.parametrize(
    ("layers", "optimizer", "loss", "reason"),
    [
        (lambda: [keras.layers.LayerNormalization()], "adam", None, "is a LayerNormalization"),
        (lambda: [keras.layers.BatchNormalization()], "adam", None, "is a BatchNormalization"),
        (lambda: [dense(kernel_constraint="max_norm")], "adam", None, "has a kernel_constraint"),
        (lambda: [dense(kernel_regularizer="l2")], "adam", None, "has a kernel_regularizer"),
        (lambda: [keras.layers.Dropout(0.1, noise_shape=(None, 1))], "adam", None, "noise shape"),
        (list, {"global_clipnorm": 1.0}, None, "has global_clipnorm=1.0"),
        (list, {"clipnorm": 1.0}, None, "has clipnorm=1.0"),
        (list, {"use_ema": True}, None, "has use_ema=True"),
        (list, "adafactor", None, "Adafactor is not known"),
        (
            list,
            {"learning_rate": keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)},
            None,
            "learning-rate schedule",
        ),
        (list, "adam", lambda y, p: p, "is not known to treat each row separately"),
    ],
)
def test_what_would_mix_folds_is_refused_with_the_reason(
    layers: Callable[[], list[keras.Layer]], optimizer: Any, loss: Any, reason: str
) -> None:
    with pytest.raises(MixedFolds, match=reason):
        plan_head(head(layers(), optimizer, loss or "binary_crossentropy"))


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (lambda: dense(trainable=False), "layer dense is not trainable"),
        (
            lambda: dense(activation=lambda x: 2 * x),
            "layer dense has an activation that is not Keras's own",
        ),
        (lambda: dense(lora_rank=2), "layer dense has a lora_rank"),
        (lambda: dense(dtype="int8_from_float32"), "layer dense is quantized"),
    ],
)
def test_a_layer_that_a_twin_would_not_train_alike_is_refused(
    layer: keras.Layer, reason: str
) -> None:
    with pytest.raises(MixedFolds, match=reason):
        plan_head(head([layer()]))


def test_what_compile_and_optimizer_keep_out_of_their_configuration_is_refused() -> None:
    model = head()
    model.compile("adam", "binary_crossentropy", loss_weights=[5.0])
    with pytest.raises(MixedFolds, match="compiled with loss_weights"):
        plan_head(model)
    optimizer = keras.optimizers.AdamW(weight_decay=0.1)
    plan_head(head(optimizer=optimizer))
    optimizer = keras.optimizers.AdamW(weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["kernel"])
    with pytest.raises(MixedFolds, match="optimizer AdamW excludes some weights from weight decay"):
        plan_head(head(optimizer=optimizer))


def test_a_branching_head_is_refused() -> None:
    inputs = keras.Input((5,))
    first = keras.layers.Dense(4, activation="sigmoid")(inputs)
    second = keras.layers.Dense(4, activation="sigmoid")(inputs)
    model = keras.Model(inputs, [first, second])
    model.compile("adam", "binary_crossentropy")
    with pytest.raises(MixedFolds, match="chain"):
        plan_head(model)


def test_numbers_share_a_signature_and_shapes_do_not() -> None:
    def signature(rate: float = 0.1, units: int = 4, **adam: Any) -> str:
        layers = [keras.layers.Dense(units), keras.layers.Dropout(rate)]
        return plan_head(head(layers, adam)).signature

    assert signature(0.1) == signature(0.4, learning_rate=0.1)
    assert signature(units=4) != signature(units=5)
    assert signature() != signature(beta_1=0.5)
    shared = keras.backend.backend() == "tensorflow"
    assert (signature() == signature(epsilon=0.1)) is shared


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="others have no strategies")
def test_a_head_that_several_devices_share_is_refused() -> None:
    model = head()
    model._distribute_strategy = SimpleNamespace(num_replicas_in_sync=2)
    with pytest.raises(MixedFolds, match="shared by several devices"):
        plan_head(model)
