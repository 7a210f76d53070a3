"""Hashes of the code that a user's model runs: own layers, losses, metrics, functions and lambdas.

Seen are the functions and classes that hang on the model, and what they call by a global name in
their own package. Not seen are values of global variables, files that the code reads, and data that
it changes while it runs. The code of libraries belongs to their recorded versions.
"""

import contextlib
import dis
import functools
import inspect
import sys
import types
from collections.abc import Iterator
from typing import Any

import keras

from rust_tuner.files import sha256_of_json

# Their versions are recorded with every search.
_RECORDED = {"keras", "keras_tuner", "tensorflow", "jax", "jaxlib", "torch", "numpy", "rust_tuner"}
_LIBRARIES = _RECORDED | {"builtins"} | set(sys.stdlib_module_names)

# What a list that code has closed over may have, lists within it counted each time they occur.
_DEEPEST, _MOST_ITEMS = 200, 1_000_000

_WITHOUT_EFFECT = ("CACHE", "RESUME", "NOP", "EXTENDED_ARG")

_FUNCTIONS = (types.FunctionType, types.MethodType, functools.partial)
Scalar = str | int | float | bool | None
_SCALAR = (str, int, float, bool, type(None))


def own_code(*roots: Any) -> dict[str, str]:
    """The code of everything that is reached from some objects and is not a library's.

    Args:
        *roots: a model, and what it was compiled with.

    Returns:
        Name of a function or class -> SHA-256 of its code, without line numbers and comments.
    """
    hashes: dict[str, set[str]] = {}
    for part in _reached(roots):
        if isinstance(part, types.FunctionType):
            if not is_of_library(part):
                hashes.setdefault(_name(part), set()).add(sha256_of_json(_function(part, set())))
        else:
            for owner in type(part).__mro__:
                if not is_of_library(owner):
                    hashes.setdefault(_name(owner), set()).add(sha256_of_json(_class(owner, set())))
    # Two lambdas in one function have the same name.
    return {name: " ".join(sorted(digests)) for name, digests in hashes.items()}


def method_code(kind: type, name: str) -> dict[str, str]:
    """The code of a method, and of the methods of the same class that it calls, as `own_code`.

    Args:
        kind: the class.
        name: of the method.
    """
    functions: list[types.FunctionType] = []
    waiting = [name]
    while waiting:
        method = getattr(kind, waiting.pop(), None)
        if isinstance(method, types.FunctionType) and method not in functions:
            functions.append(method)
            if not is_of_library(method):
                waiting += sorted(_names(method.__code__))
    return own_code(*functions)


def class_code(kind: type) -> dict[str, str]:
    """The code of a class and of its bases that are not a library's, as `own_code` gives it."""
    return {
        _name(owner): sha256_of_json(_class(owner, set()))
        for owner in kind.__mro__
        if not is_of_library(owner)
    }


def own_values(part: Any) -> dict[str, Scalar]:
    """The public plain attributes of an object whose class is not a library's."""
    if is_of_library(type(part)):
        return {}
    return {
        name: value
        for name, value in vars(part).items()
        if not name.startswith("_") and isinstance(value, _SCALAR)
    }


def values_in_code(*roots: Any) -> list[Any]:
    """What the user's functions and methods that are reached from some objects refer to.

    Args:
        *roots: a model, and what it was compiled with.

    Returns:
        The values of their global names and of what they have closed over, each once, those of the
        user's functions and classes that they call included.
    """
    waiting, seen, values = list(_reached(roots)), set(), {}
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if not isinstance(part, types.FunctionType):
            kind = part if isinstance(part, type) else type(part)
            for owner in kind.__mro__:
                if not is_of_library(owner):
                    members = (getattr(m, "__func__", m) for m in vars(owner).values())
                    waiting += [m for m in members if isinstance(m, types.FunctionType)]
            continue
        if is_of_library(part):
            continue
        named = (part.__globals__.get(name) for name in _names(part.__code__))
        for value in (*named, *map(_content, part.__closure__ or ())):
            values[id(value)] = value
            if isinstance(value, (type, types.FunctionType)) and not is_of_library(value):
                waiting.append(value)
    return list(values.values())


def is_of_library(part: Any) -> bool:
    """Whether a class or function comes from a library whose version is recorded."""
    return str(getattr(part, "__module__", None) or "").partition(".")[0] in _LIBRARIES


def _reached(roots: tuple[Any, ...]) -> Iterator[Any]:
    """Functions and Keras objects that are reached from some objects, each once."""
    waiting, seen = list(reversed(roots)), set()
    while waiting:
        part = waiting.pop()
        # A container may contain itself.
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, dict):
            waiting.extend(part.values())
        elif isinstance(part, (list, tuple)):
            waiting.extend(part)
        elif isinstance(part, functools.partial):
            waiting.extend((part.func, part.args, part.keywords))
        elif isinstance(part, types.MethodType):
            waiting.append(part.__func__)
        if isinstance(part, types.FunctionType):
            yield part
        elif _is_followed(part):
            yield part
            # Containers within containers, such as Keras's own lists of nodes, are not followed.
            waiting.extend(
                value
                for value in vars(part).values()
                if isinstance(value, _FUNCTIONS) or _is_followed(value) or _holds_parts(value)
            )
            waiting.extend(_given(part))


def _given(part: Any) -> Iterator[Any]:
    """The functions that a layer or operation was called with, as `keras.ops.map` is."""
    nodes = getattr(part, "_inbound_nodes", ())
    # Not by `keras.tree`, which takes longer than all the rest here.
    waiting = [value for n in nodes for value in (*n.arguments.args, *n.arguments.kwargs.values())]
    seen: set[int] = set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, (list, tuple)):
            waiting.extend(value)
        elif isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, _FUNCTIONS):
            yield value
        elif callable(value) and not is_of_library(type(value)):
            yield type(value).__call__


def _is_followed(part: Any) -> bool:
    if isinstance(part, type) or not hasattr(part, "__dict__"):
        return False
    return isinstance(part, _keras_types()) or (
        not is_of_library(type(part)) and callable(getattr(part, "get_config", None))
    )


@functools.cache
def _keras_types() -> tuple[type, ...]:
    return (
        # Layers, and operations of functional models that are not layers.
        keras.Operation,
        keras.Optimizer,
        keras.losses.Loss,
        keras.metrics.Metric,
        keras.initializers.Initializer,
        keras.regularizers.Regularizer,
        keras.constraints.Constraint,
        keras.optimizers.schedules.LearningRateSchedule,
    )


def _holds_parts(value: Any) -> bool:
    items = list(value.values()) if isinstance(value, dict) else value
    return isinstance(items, (list, tuple)) and any(
        isinstance(item, types.FunctionType) or _is_followed(item) for item in items
    )


def _name(part: Any) -> str:
    return str(part.__qualname__)


def _class(owner: type, seen: set[int]) -> Any:
    """What decides the behaviour of a class: its methods and its plain attributes."""
    if id(owner) in seen:
        return _name(owner)
    seen.add(id(owner))
    parts: dict[str, Any] = {}
    for name, member in sorted(vars(owner).items()):
        if isinstance(member, property):
            parts[name] = [_callable(f, seen) for f in (member.fget, member.fset)]
        elif isinstance(member, (staticmethod, classmethod)) or callable(member):
            parts[name] = _callable(getattr(member, "__func__", member), seen)
        elif not name.startswith("__") and isinstance(member, _SCALAR):
            parts[name] = repr(member)
    return [[_name(base) for base in owner.__bases__], parts]


def _callable(part: Any, seen: set[int]) -> Any:
    # A `tf.function` keeps the function that it was made from.
    if callable(part):
        part = getattr(part, "python_function", part)
        # A function may name itself as what it wraps.
        with contextlib.suppress(ValueError):
            part = inspect.unwrap(part)
    if isinstance(part, types.FunctionType):
        return _function(part, seen)
    return str(getattr(part, "__qualname__", type(part).__qualname__))


def _function(function: types.FunctionType, seen: set[int]) -> Any:
    """What decides the behaviour of a function: its code, defaults, and what it has closed over."""
    if id(function) in seen:
        return _name(function)
    seen.add(id(function))
    closed = [_content(cell) for cell in function.__closure__ or ()]
    names = _names(function.__code__)
    called = {}
    for name in sorted(names):
        part = function.__globals__.get(name)
        if is_of_library(part):
            continue
        if isinstance(part, type):
            called[name] = _class(part, seen)
        elif isinstance(part, types.FunctionType):
            called[name] = _function(part, seen)
    return [
        _code(function.__code__),
        [_value(value, seen) for value in function.__defaults__ or ()],
        {name: _value(value, seen) for name, value in (function.__kwdefaults__ or {}).items()},
        [_value(value, seen) for value in closed],
        called,
    ]


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        # A name that the enclosing function has not set yet.
        return None


def _value(value: Any, seen: set[int]) -> Any:
    if isinstance(value, _SCALAR):
        return repr(value)
    if isinstance(value, (list, tuple)) and _is_written_out(value):
        return [_value(item, seen) for item in value]
    if isinstance(value, types.FunctionType) and not is_of_library(value):
        return _function(value, seen)
    if isinstance(value, type):
        return _name(value)
    return type(value).__qualname__


def _is_written_out(value: Any) -> bool:
    """Whether a list is of a size and depth to be written out; one that contains itself is not."""
    waiting, number = [(value, 0)], 0
    while waiting:
        item, depth = waiting.pop()
        number += 1
        if isinstance(item, (list, tuple)):
            if depth > _DEEPEST or number + len(waiting) + len(item) > _MOST_ITEMS:
                return False
            waiting.extend((one, depth + 1) for one in item)
    return True


def _names(code: types.CodeType) -> set[str]:
    inner = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*(_names(part) for part in inner))


def _code(code: types.CodeType) -> list[Any]:
    """The instructions of a function, with what they name and load instead of numbers."""
    return [
        code.co_argcount,
        code.co_kwonlyargcount,
        code.co_flags,
        [
            [step.opname, _argument(step)]
            for step in dis.get_instructions(code)
            if step.opname not in _WITHOUT_EFFECT
        ],
    ]


def _argument(step: dis.Instruction) -> Any:
    if step.opcode in dis.hasconst:
        return _constant(step.argval)
    by_name = (
        step.opcode in dis.hasname or step.opcode in dis.haslocal or step.opcode in dis.hasfree
    )
    return str(step.argval) if by_name else step.arg


def _constant(constant: Any) -> Any:
    if isinstance(constant, types.CodeType):
        return _code(constant)
    if isinstance(constant, tuple):
        return [_constant(item) for item in constant]
    # The order of a set of texts differs from process to process.
    if isinstance(constant, frozenset):
        return sorted(map(repr, constant))
    return repr(constant)
