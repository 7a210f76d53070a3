"""Builds TensorBoard event files as bytes: scalars, texts and the HParams plugin.

It needs the package `tensorboard` (the extra of that name) and no TensorFlow. Which run has which
content belongs to `logs`.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import metadata, summary_v2
from tensorboard.plugins.hparams.api_pb2 import Status
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.record_writer import RecordWriter

_VERSION = "brain.Event:2"


@dataclass(frozen=True)
class Moment:
    """A summary at one moment.

    Attributes:
        seconds: when, since 1970.
        step: the epoch, from 0.
        summary: what, a TensorBoard `Summary`.
    """

    seconds: float
    step: int
    summary: Any


def event_file(moments: Iterable[Moment]) -> bytes:
    """The content of an event file."""
    stream = io.BytesIO()
    writer = RecordWriter(stream)
    shown = list(moments)
    first = min((moment.seconds for moment in shown), default=0.0)
    writer.write(Event(wall_time=first, file_version=_VERSION).SerializeToString())
    for moment in shown:
        event = Event(wall_time=moment.seconds, step=moment.step, summary=moment.summary)
        writer.write(event.SerializeToString())
    return stream.getvalue()


def scalars(values: Mapping[str, float]) -> Summary:
    """Scalars by tag; TensorBoard stores them in float32."""
    return _joined(scalar_pb(tag, value) for tag, value in values.items())


def text(tag: str, words: str) -> Summary:
    """A text with its tag."""
    return text_pb(tag, words)


def experiment(
    spaces: Sequence[Mapping[str, Any]], metrics: Mapping[str, str], seconds: float
) -> Summary:
    """What searches vary, over which domains, and what they measure.

    Args:
        spaces: the `space` of the run manifest of each search: KerasTuner's hyperparameters by
            name.
        metrics: tag of each metric -> what it is.
        seconds: when the first one began.
    """
    items: dict[str, list[Mapping[str, Any]]] = {}
    # One that a search declares under several conditions has no single domain.
    without_domain = set()
    for space in spaces:
        names = [item["config"]["name"] for item in space.values()]
        without_domain |= {name for name in names if names.count(name) > 1}
        for name, item in zip(names, space.values(), strict=True):
            items.setdefault(name, []).append(item)
    return summary_v2.hparams_config_pb(
        [
            summary_v2.HParam(name, None if name in without_domain else _common_domain(declared))
            for name, declared in items.items()
        ],
        [
            summary_v2.Metric(
                tag, display_name=tag, description=what, dataset_type=summary_v2.Metric.VALIDATION
            )
            for tag, what in metrics.items()
        ],
        time_created_secs=seconds,
    )


def session_start(name: str, values: Mapping[str, Any], seconds: float) -> Summary:
    """The start of a trial.

    Args:
        name: unique among all trials in the folder that TensorBoard reads.
        values: its hyperparameters.
        seconds: when.
    """
    return summary_v2.hparams_pb(values, trial_id=name, start_time_secs=seconds)


def session_end(seconds: float, *, is_success: bool) -> Summary:
    """The end of a trial."""
    status = Status.Value("STATUS_SUCCESS" if is_success else "STATUS_FAILURE")
    end = HParamsPluginData(session_end_info=SessionEndInfo(status=status, end_time_secs=seconds))
    summary = Summary()
    summary.value.add(
        tag=metadata.SESSION_END_INFO_TAG,
        metadata=metadata.create_summary_metadata(end),
        tensor=metadata.NULL_TENSOR,
    )
    return summary


def _common_domain(items: Sequence[Mapping[str, Any]]) -> Any:
    """The domain that holds those of a hyperparameter in every search; None for an unknown kind."""
    domains = [_domain(item) for item in items]
    if any(domain is None for domain in domains):
        return None
    if len({repr(domain) for domain in domains}) == 1:
        return domains[0]
    # An interval of one point is a value like those of a discrete domain.
    values = [
        value
        for domain in domains
        for value in (
            domain.values
            if isinstance(domain, summary_v2.Discrete)
            else (domain.min_value, domain.max_value)
        )
    ]
    is_listed = all(
        isinstance(domain, summary_v2.Discrete) or domain.min_value == domain.max_value
        for domain in domains
    )
    kinds = {bool if isinstance(v, bool) else str if isinstance(v, str) else float for v in values}
    if len(kinds) > 1:
        return None
    if is_listed or kinds != {float}:
        kind = kinds.pop()
        return summary_v2.Discrete(sorted({kind(value) for value in values}))
    return summary_v2.RealInterval(float(min(values)), float(max(values)))


def _domain(item: Mapping[str, Any]) -> Any:
    """The domain of a KerasTuner hyperparameter, None for an unknown kind."""
    config = item["config"]
    match item["class_name"]:
        case "Int":
            return summary_v2.IntInterval(config["min_value"], config["max_value"])
        case "Float":
            return summary_v2.RealInterval(float(config["min_value"]), float(config["max_value"]))
        case "Choice":
            return summary_v2.Discrete(config["values"])
        case "Boolean":
            return summary_v2.Discrete([False, True])
        case "Fixed" if isinstance(config["value"], str | bool):
            return summary_v2.Discrete([config["value"]])
        case "Fixed":
            # An interval of one point, since TensorBoard hides values outside a discrete domain.
            return summary_v2.RealInterval(float(config["value"]), float(config["value"]))
    return None


def _joined(summaries: Iterable[Summary]) -> Summary:
    joined = Summary()
    for summary in summaries:
        joined.MergeFrom(summary)
    return joined
