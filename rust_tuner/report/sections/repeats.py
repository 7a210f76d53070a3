"""The sections of the page on nested cross-validation and on the noise floor."""

from rust_tuner.analysis.columns import (
    NOISE_COLUMNS,
    REPEAT_COLUMNS,
    STABILITY_COLUMNS,
    SUMMARY_COLUMNS,
    outer_columns,
)
from rust_tuner.analysis.nested import SUMMARY_CAPTION, outer_table, stability_table, summary_table
from rust_tuner.analysis.next_step import command
from rust_tuner.analysis.noise import noise_caption, noise_spread
from rust_tuner.analysis.verdict import SEARCH_NAMES
from rust_tuner.records.folder import StudyRecords
from rust_tuner.records.nested import Nested
from rust_tuner.records.noise import NoiseFloor
from rust_tuner.report.page import Room, Section, attempt, results, short
from rust_tuner.words import words


def nested_section(records: StudyRecords, room: Room) -> Section:
    """Selection score against estimate for each outer fold, and the values chosen in each."""
    section = Section("nested", "Nested cross-validation")
    nested = records.nested
    if nested is None:
        section.missing.append(
            "Nested cross-validation has not been run, or cannot be read: "
            f"{command('nested', records.directory)}"
        )
        return section
    run = nested.run
    section.lead.append(
        f"{run.outer_folds} outer folds of the development patients. Inside each, both regimes "
        f"({run.trials['regime_1']} and {run.trials['regime_2']} trials) saw only its training "
        "patients. Their best score is a selection score. The chosen configuration was trained "
        "again and scored once on the patients that the outer fold left out. This gives two "
        "estimates: one with the models of the inner folds, whose difference from the selection "
        "score is the optimism of the search, and one refitted on all outer training patients, "
        "which is the estimate for the whole tuning procedure."
    )
    if len(nested.outer) < nested.outer_folds:
        section.missing.append(
            f"{len(nested.outer)} of {nested.outer_folds} outer folds are finished: "
            f"{command('nested', records.directory)}"
        )
    attempt(section, "The summary", lambda: _summary(section, room, nested))
    attempt(section, "The table of outer folds", lambda: _outer(section, room, nested))
    attempt(section, "The table of chosen values", lambda: _stability(section, room, nested))
    return section


def noise_section(records: StudyRecords, room: Room) -> Section:
    """How much the score of one configuration varies between repeats."""
    section = Section("noise", "Noise floor")
    floor = records.noise
    if floor is None:
        section.missing.append(
            "The noise floor has not been measured, or cannot be read: "
            f"{command('noise', records.directory)}"
        )
        return section
    run = floor.run
    values = ", ".join(
        f"{name.replace('_', ' ')} {short(value)[0]}" for name, value in run.configuration.items()
    )
    regime = SEARCH_NAMES.get(run.regime, run.regime)
    section.lead.append(
        f"The best configuration of {regime}, trial {run.trial} ({values}), was repeated; each "
        "repeat is scored by the rule of the search."
    )
    section.lead.append(noise_caption(floor))
    section.missing.extend(floor.failures)
    attempt(section, "The table of the noise floor", lambda: _noise(section, room, floor))
    return section


def _summary(section: Section, room: Room, nested: Nested) -> None:
    if nested.summary is None:
        return
    table = summary_table(nested)
    files = {"CSV": room.table("nested_summary", table)}
    section.lead.append(SUMMARY_CAPTION)
    title, rows = "Selection score and estimate", table.to_dict("records")
    section.tables.append(results(title, rows, SUMMARY_COLUMNS, files))


def _outer(section: Section, room: Room, nested: Nested) -> None:
    table = outer_table(nested)
    if table.empty:
        return
    files = {"CSV": room.table("nested", table)}
    values = list(nested.outer[0].hyperparameters)
    columns = outer_columns(values)
    section.tables.append(results("Outer folds", table.to_dict("records"), columns, files))


def _stability(section: Section, room: Room, nested: Nested) -> None:
    table = stability_table(nested)
    if table.empty:
        return
    files = {"CSV": room.table("nested_stability", table)}
    rows = table.to_dict("records")
    for row in rows:
        # The page counts epochs from 1.
        if row["hyperparameter"] == "epoch":
            row["value"] += 1
        row["hyperparameter"] = words(row["hyperparameter"])
    title = "How often each value was chosen"
    section.tables.append(results(title, rows, STABILITY_COLUMNS, files))


def _noise(section: Section, room: Room, floor: NoiseFloor) -> None:
    spread = noise_spread(floor.values)
    files = {"CSV": room.table("noise_floor", spread)}
    rows = spread.to_dict("records")
    for metric, value in floor.run.selection_score.items():
        rows.append({"metric": metric, "kind": "selection score of the search", "mean": value})
    section.tables.append(results("The noise floor", rows, NOISE_COLUMNS, files))
    files = {"CSV": room.table("noise", floor.values)}
    each = floor.values.to_dict("records")
    section.tables.append(results("Each repeat", each, REPEAT_COLUMNS, files))
