import keras
import numpy as np
import pytest

from rust_tuner.models.fold_state import as_numpy
from rust_tuner.models.optimizers import AnyEpsilonAdam, FusedAdam, fused

pytestmark = pytest.mark.numerical


@pytest.mark.parametrize("settings", [{}, {"learning_rate": 0.1, "epsilon": 0.1, "beta_1": 0.5}])
def test_the_fused_update_gives_the_numbers_of_keras_adam(settings: dict[str, float]) -> None:
    rng = np.random.default_rng(0)
    start = rng.normal(size=(5, 7)).astype(np.float32)
    gradients = rng.normal(size=(20, 5, 7)).astype(np.float32)
    trained = []
    replaced = fused(keras.optimizers.Adam(**settings))
    for optimizer in (keras.optimizers.Adam(**settings), replaced):
        variable = keras.Variable(start)
        optimizer.build([variable])
        for gradient in gradients:
            optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
        trained.append(as_numpy(variable))
    np.testing.assert_allclose(trained[1], trained[0], rtol=1e-5, atol=2e-6)
    assert not np.allclose(trained[0], start)


def test_only_plain_adam_is_replaced() -> None:
    adam = keras.optimizers.Adam(0.01, epsilon=1e-3)
    replaced = fused(adam)
    assert isinstance(replaced, AnyEpsilonAdam)
    assert isinstance(replaced, FusedAdam) == (keras.backend.backend() == "tensorflow")
    assert replaced.get_config() == adam.get_config()
    for other in (keras.optimizers.Adam(amsgrad=True), keras.optimizers.AdamW()):
        assert type(fused(other)) is type(other)
