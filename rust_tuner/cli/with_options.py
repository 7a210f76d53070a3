"""Gives commands the options that dataclasses describe."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each field of the dataclasses among its parameters."""
    parameters: list[inspect.Parameter] = []
    groups: dict[str, type[Any]] = {}
    signature = inspect.signature(command)
    for parameter in signature.parameters.values():
        group = parameter.annotation
        if not dataclasses.is_dataclass(group):
            parameters.append(parameter)
            continue
        assert isinstance(group, type)
        groups[parameter.name] = group
        parameters += [
            inspect.Parameter(
                field.name, parameter.kind, default=field.default, annotation=field.type
            )
            for field in dataclasses.fields(group)
        ]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        for name, group in groups.items():
            options = {field.name: given.pop(field.name) for field in dataclasses.fields(group)}
            given[name] = group(**options)
        command(**given)

    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {item.name: item.annotation for item in parameters}
    return run
