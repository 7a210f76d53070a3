"""The sections of the page on nested cross-validation and on the noise floor."""

from typing import Any

from rust_tuner.analysis.columns import outer_columns
from rust_tuner.analysis.nested import (
    SUMMARY_CAPTION,
    SUMMARY_NAMES,
    outer_table,
    stability_table,
    summary_table,
)
from rust_tuner.analysis.noise import KINDS, NOISE_CAPTION, noise_spread
from rust_tuner.analysis.verdict import SEARCH_NAMES
from rust_tuner.records.folder import StudyRecords
from rust_tuner.records.nested import Nested
from rust_tuner.records.noise import NoiseFloor
from rust_tuner.report.page import (
    PageTable,
    Room,
    Section,
    attempt,
    decimal,
    results,
    short,
    text,
    whole,
)
from rust_tuner.words import METRICS


def nested_section(records: StudyRecords, room: Room) -> Section:
    """Selection score against estimate, outer fold by outer fold, and what was chosen in each."""
    section = Section("nested", "Nested cross-validation")
    nested = records.nested
    if nested is None:
        section.missing.append(
            "Nested cross-validation has not been run, or cannot be read: rust-tuner nested STUDY"
        )
        return section
    run = nested.run
    section.lead.append(
        f"{run['outer_folds']} outer folds of the development patients. Inside each, both regimes "
        f"({run['trials']['regime_1']} and {run['trials']['regime_2']} trials) saw its training "
        "patients alone. What they promise is a selection score. What they chose was trained again "
        "and scored once on the fold's own patients, which is an estimate: by the inner folds' own "
        "models, so that the difference is the optimism of the search, and refitted on all outer "
        "training patients, which is what the whole way of tuning is worth."
    )
    if len(nested.outer) < nested.outer_folds:
        section.missing.append(
            f"{len(nested.outer)} of {nested.outer_folds} outer folds are finished."
        )
    attempt(section, "The summary", lambda: _summary(section, room, nested))
    attempt(section, "The table of outer folds", lambda: _outer(section, room, nested))
    attempt(section, "The table of chosen values", lambda: _stability(section, room, nested))
    return section


def noise_section(records: StudyRecords, room: Room) -> Section:
    """What the score of one and the same configuration varies by."""
    section = Section("noise", "Noise floor")
    floor = records.noise
    if floor is None:
        section.missing.append(
            "The noise floor has not been measured, or cannot be read: rust-tuner noise STUDY"
        )
        return section
    run = floor.run
    told = ", ".join(
        f"{name.replace('_', ' ')} {short(value)[0]}"
        for name, value in run["configuration"].items()
    )
    regime = SEARCH_NAMES.get(run["regime"], run["regime"])
    section.lead.append(
        f"The best configuration of {regime}, trial {run['trial']} ({told}), was repeated; each "
        "repeat is scored by the rule of the search."
    )
    section.lead.append(NOISE_CAPTION)
    section.missing.extend(floor.failures)
    attempt(section, "The table of the noise floor", lambda: _noise(section, room, floor))
    return section


def _summary(section: Section, room: Room, nested: Nested) -> None:
    if nested.summary is None:
        return
    found = summary_table(nested)
    files = {"CSV": room.table("nested_summary", found)}
    section.lead.append(SUMMARY_CAPTION)
    rows = [
        [
            text(SUMMARY_NAMES[row["what"]]),
            text(METRICS[row["metric"]]),
            *(decimal(row[name]) for name in ("value", "std", "low", "high")),
        ]
        for row in found.to_dict("records")
    ]
    header = ("figure", "of", "value", "SD over outer folds", "95 % from", "95 % to")
    section.tables.append(PageTable("Selection score and estimate", header, rows, files))


def _outer(section: Section, room: Room, nested: Nested) -> None:
    found = outer_table(nested)
    if found.empty:
        return
    files = {"CSV": room.table("nested", found)}
    values = list(nested.outer[0].hyperparameters)
    columns = outer_columns(values)
    section.tables.append(results("Outer folds", found.to_dict("records"), columns, files))


def _stability(section: Section, room: Room, nested: Nested) -> None:
    found = stability_table(nested)
    if found.empty:
        return
    files = {"CSV": room.table("nested_stability", found)}
    rows = [
        [
            text(row["hyperparameter"].replace("_", " ")),
            whole(row["value"], plus=1)
            if row["hyperparameter"] == "epoch"
            else short(row["value"]),
            whole(row["times"]),
            whole(row["outer_folds"]),
        ]
        for row in found.to_dict("records")
    ]
    header = ("hyperparameter", "value", "chosen in outer folds", "of")
    section.tables.append(PageTable("How often each value was chosen", header, rows, files))


def _noise(section: Section, room: Room, floor: NoiseFloor) -> None:
    found = noise_spread(floor.values)
    files = {"CSV": room.table("noise_floor", found)}
    rows: list[list[Any]] = [
        [
            text(METRICS[row["metric"]]),
            text(KINDS[row["kind"]]),
            whole(row["repeats"]),
            decimal(row["mean"], digits=4),
            *(decimal(row[name], digits=4) for name in ("std", "std_low", "std_high")),
            *(decimal(row[name], digits=4) for name in ("low", "high", "difference")),
        ]
        for row in found.to_dict("records")
    ]
    for metric, value in floor.run["selection_score"].items():
        told = "the search's own selection score"
        empty = [text("")] * (len(rows[0]) - 4) if rows else []
        rows.append([text(METRICS[metric]), text(told), text(""), decimal(value, digits=4), *empty])
    header = (
        "of",
        "repeated under",
        "repeats",
        "mean",
        "SD",
        "SD, 95 % from",
        "SD, 95 % to",
        "95 % range from",
        "95 % range to",
        "difference",
    )
    section.tables.append(PageTable("The noise floor", header, rows, files))
    each = [
        [
            text(KINDS[row["kind"]]),
            whole(row["repeat"], plus=1),
            text(METRICS[row["metric"]]),
            decimal(row["value"], digits=4),
        ]
        for row in floor.values.to_dict("records")
    ]
    files = {"CSV": room.table("noise", floor.values)}
    names = ("repeated under", "repeat", "of", "value")
    section.tables.append(PageTable("Each repeat", names, each, files))
