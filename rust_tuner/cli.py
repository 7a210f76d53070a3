"""The `rust-tuner` command: parse, call, print. What it does is done by the rooms below."""

import dataclasses
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from rust_tuner import __version__
from rust_tuner.errors import RustTunerError
from rust_tuner.progress import ConsoleProgress
from rust_tuner.protocol import PUBLISHED_VIEWS, Protocol
from rust_tuner.study import DEFAULT_CACHE, Study

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help=(
        "Cross-validated hyperparameter search for a frozen-InceptionV3 model that reads RUST "
        "scores from radiographs.\n\n"
        "New here: `rust-tuner demo` runs everything on synthetic radiographs in a few minutes. "
        "With your own: `rust-tuner prepare STUDY --manifest M.csv`, then `regime1`, `regime2` "
        "and `export`. A command that was interrupted goes on when it is typed again."
    ),
)
