"""The search space: what is fixed, drawn from a range, or chosen from a grid."""

from typing import Any

from rust_tuner.models.space import SearchSpace, is_logarithmic
from rust_tuner.protocol import Protocol


class Declared:
    """Notes what is declared on it, as KerasTuner's `HyperParameters` takes it."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, kind: str) -> Any:
        return lambda *args, **options: self.calls.append((kind, *args, *options.values()))


def declared(space: SearchSpace) -> list[tuple[Any, ...]]:
    hp: Any = Declared()
    space.declare(hp)
    calls: list[tuple[Any, ...]] = hp.calls
    return calls


def test_numbers_are_fixed_ranges_are_drawn_and_grids_are_chosen_from() -> None:
    assert declared(SearchSpace()) == [
        ("Fixed", "batch_size", 32),
        ("Fixed", "dropout_rate", 0.5),
        ("Fixed", "learning_rate", 1e-3),
        ("Fixed", "epsilon", 1e-7),
    ]
    space = SearchSpace((8, 64), (0.0, 0.5), (0.1, 0.01), (1e-7,), "log")
    assert declared(space) == [
        ("Int", "batch_size", 8, 64, "log"),
        ("Float", "dropout_rate", 0.0, 0.5),
        ("Choice", "learning_rate", [0.1, 0.01], False),
        ("Fixed", "epsilon", 1e-7),
    ]
    assert declared(SearchSpace((8, 8), None)) == [
        ("Fixed", "batch_size", 8),
        ("Fixed", "learning_rate", 1e-3),
        ("Fixed", "epsilon", 1e-7),
    ]


def test_a_configuration_is_a_space_of_one_and_back() -> None:
    values = {"batch_size": 48, "dropout_rate": 0.25, "learning_rate": 0.01, "epsilon": 1e-5}
    space = SearchSpace.fixed(values)
    assert space == SearchSpace(48, 0.25, (0.01,), (1e-5,))
    assert space.defaults() == values
    assert tuple(values) == SearchSpace.names()


def test_the_grid_is_the_protocols() -> None:
    protocol = Protocol.study()
    grid = {"learning_rates": protocol.learning_rates, "epsilons": protocol.epsilons}
    assert SearchSpace.grid_of(protocol) == grid
    assert [name for name in SearchSpace.names() if is_logarithmic(name)] == [
        "learning_rate",
        "epsilon",
    ]
