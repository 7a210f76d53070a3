"""Reads TensorBoard's logs with TensorFlow's own reader, and changes the records behind them."""

import json
from pathlib import Path
from typing import Any

from report_searches import write_json
from tensorboard.plugins.hparams import metadata


def events(run: Path) -> list[Any]:
    """The events of a run's folder, file after file, checksums verified."""
    from tensorflow.compat.v1.train import summary_iterator

    return [
        event for path in sorted(run.glob("*tfevents*")) for event in summary_iterator(str(path))
    ]


def hparams(run: Path) -> dict[str, Any]:
    """tag -> what the HParams plugin keeps there, each once."""
    parsers = {
        metadata.EXPERIMENT_TAG: metadata.parse_experiment_plugin_data,
        metadata.SESSION_START_INFO_TAG: metadata.parse_session_start_info_plugin_data,
        metadata.SESSION_END_INFO_TAG: metadata.parse_session_end_info_plugin_data,
    }
    found = {}
    for event in events(run):
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == "hparams":
                assert value.tag not in found
                found[value.tag] = parsers[value.tag](value.metadata.plugin_data.content)
    return found


def change_trial(folder: Path, number: int, **changes: Any) -> None:
    path = folder / f"trial_{number:04d}" / "trial.json"
    write_json(path, json.loads(path.read_text()) | changes)


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".lock")
    }
