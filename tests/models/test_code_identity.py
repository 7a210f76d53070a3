"""The code of a user's functions and classes: what changes its hash, and what does not."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import pytest

from rust_tuner.models.code_identity import own_code, own_values


def compiled(source: str, name: str = "f", **given: Any) -> Any:
    """An object of a module of the user's own, as a file with this source defines it."""
    scope = {"__name__": "users_module", "keras": keras, **given}
    exec(compile(source, "users_module.py", "exec"), scope)
    return scope[name]


BASE = "def f(x, scale=2):\n    return x * scale + 1\n"


@pytest.mark.parametrize(
    "changed",
    [
        "def f(x, scale=3):\n    return x * scale + 1\n",
        "def f(x, scale=2):\n    return x * scale + 5\n",
        "def f(x, scale=2):\n    return x - scale + 1\n",
        "def f(x, scale=2):\n    return abs(x * scale + 1)\n",
    ],
    ids=["default", "constant", "operation", "call"],
)
def test_code_that_computes_something_else_has_another_hash(changed: str) -> None:
    assert own_code(compiled(BASE)) != own_code(compiled(changed))


def test_lines_comments_and_docstrings_do_not_count() -> None:
    moved = '\n\n# why\ndef f(x, scale=2):\n    """What."""\n    return x * scale + 1\n'
    assert own_code(compiled(BASE)) == own_code(compiled(moved))


def test_what_a_function_has_closed_over_counts() -> None:
    source = (
        "def f(gamma):\n    def loss(y, p):\n        return (y - p) ** gamma\n    return loss\n"
    )
    make = compiled(source)
    assert own_code(make(2.0)) == own_code(make(2.0))
    assert own_code(make(2.0)) != own_code(make(3.0))


def test_a_helper_of_the_users_counts_where_it_is_called_by_name() -> None:
    source = "def helper(x):\n    return x {}\ndef f(x):\n    return helper(x)\n"
    assert own_code(compiled(source.format("+ 1"))) != own_code(compiled(source.format("+ 2")))


CLASS = """
class Scaled(keras.layers.Layer):
    def __init__(self, by):
        super().__init__()
        self.by = by
    def call(self, x):
        return x {} self.by
"""


def test_the_methods_of_an_own_layer_count_and_its_plain_attributes_are_known() -> None:
    times, plus = (compiled(CLASS.format(sign), "Scaled")(0.5) for sign in "*+")
    assert own_code(times) == own_code(compiled(CLASS.format("*"), "Scaled")(0.5))
    assert own_code(times) != own_code(plus)
    assert own_values(times)["by"] == 0.5


def test_code_is_found_in_lists_partials_and_regularizers() -> None:
    function = compiled(BASE)
    layer = keras.layers.Dense(2, kernel_regularizer=function)
    for holder in ([function], {"a": [function]}, functools.partial(function, scale=1), layer):
        assert set(own_code(holder)) == {"f"}


GIVEN = """
class Applied(keras.Operation):
    def call(self, x, given=None):
        return x
    def compute_output_spec(self, x, given=None):
        return keras.KerasTensor(x.shape, x.dtype)
"""


@pytest.mark.parametrize("by_name", [False, True])
@pytest.mark.parametrize("hold", [lambda f: f, lambda f: [1, (f,)], lambda f: {"a": [f]}])
def test_functions_that_an_operation_is_called_with_count(
    hold: Callable[[Any], Any], by_name: bool
) -> None:
    given, operation = hold(compiled(BASE)), compiled(GIVEN, "Applied")()
    inputs = keras.Input((2,))
    outputs = operation(inputs, given=given) if by_name else operation(inputs, given)
    assert "f" in own_code(keras.Model(inputs, outputs))


def test_two_lambdas_of_one_place_both_count() -> None:
    make = compiled("def f(a, b):\n    return [(lambda x: x + a), (lambda x: x * b)]\n")
    assert own_code(*make(1, 2)) != own_code(*make(1, 3))
    assert own_code(*make(1, 2)) != own_code(*make(0, 2))


def test_the_code_of_libraries_is_left_to_their_versions() -> None:
    assert own_code(keras.layers.Dense(2), keras.losses.MeanSquaredError(), len, isinstance) == {}
    assert own_values(keras.layers.Dense(2)) == {}


def test_a_recursive_function_ends() -> None:
    source = "def f(n):\n    return 1 if n < 2 else n * f(n - 1)\n"
    assert own_code(compiled(source)) == own_code(compiled(source))


def test_a_container_that_contains_itself_ends() -> None:
    functions: list[Any] = [lambda x: x + 1]
    named: dict[str, Any] = {"functions": functions}
    named["itself"] = named
    functions.append(functions)
    assert len(own_code([named])) == 1


def lists(kind: str) -> list[Any]:
    """Lists that cannot be written out."""
    made: list[Any] = [1.0]
    for _ in range(2000 if kind == "deep" else 60):
        made = [made] if kind == "deep" else [made, made]
    if kind == "of itself":
        made = [1.0]
        made += [made, made]
    return made


@pytest.mark.parametrize("kind", ["of itself", "deep", "shared"])
def test_lists_without_end_are_known_by_their_kind_alone(kind: str) -> None:
    table = lists(kind)

    def scaled(y_true: Any, y_pred: Any, table: Any = table) -> Any:
        return y_true

    def closed(y_true: Any, y_pred: Any) -> Any:
        return table[0]

    assert len(own_code([scaled, closed])) == 2


def test_short_lists_count_with_what_is_in_them() -> None:
    make = compiled("def f(table):\n    return lambda x: table\n")
    shared = [1.0]
    assert own_code(make([shared, shared])) == own_code(make([[1.0], [1.0]]))
    assert own_code(make([shared, shared])) != own_code(make([[1.0], [2.0]]))


def test_what_an_operation_was_called_with_may_contain_itself() -> None:
    given: list[Any] = [compiled(BASE)]
    inputs = keras.Input((2,))
    model = keras.Model(inputs, compiled(GIVEN, "Applied")()(inputs, given))
    given.append(given)
    for operation in model.operations:
        for node in operation._inbound_nodes:
            node.arguments.args = (*node.arguments.args, given)
    assert "f" in own_code(model)


def test_a_function_that_wraps_itself_is_its_own_code() -> None:
    function = compiled(BASE)
    function.__wrapped__ = function
    holder = compiled("class Holder:\n    pass\n", "Holder")
    holder.act = function
    assert own_code(compiled("def f(x):\n    return Holder(x)\n", Holder=holder))
