"""Reads what each place of a study tells of a figure: page, terminal, drawings and files."""

import re
from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from narrowing import not_none

from rust_tuner.analysis.answer import answer
from rust_tuner.analysis.export import best_hyperparameters
from rust_tuner.analysis.study_figures import holdout_figures
from rust_tuner.analysis.summary_scores import summary_scores
from rust_tuner.analysis.verdict import summary
from rust_tuner.labels import CORTICES
from rust_tuner.records.folder import StudyRecords
from rust_tuner.report.checklist.facts import facts_of
from rust_tuner.report.page import PageTable, Section
from rust_tuner.terminal.holdout import holdout_table
from rust_tuner.terminal.searches import best_trials_table
from rust_tuner.words import FIGURES

INTERVAL = re.compile(r"(-?\d+\.\d+) \((?:95 % interval )?(-?\d+\.\d+) to (-?\d+\.\d+)\)")
NAMES = {words: name for name, words in FIGURES.items()}
OF_PAGE = {"18 labels": "labels", "cortices where visible": "cortices"}
OF_PAGE["visits with all four cortices"] = "visits"
ROUNDING = 0.51


@dataclass
class Told:
    """What the places of a study tell of its figures.

    Attributes:
        values: by figure, each value, lower and upper end with the place that tells it; as text
            where it is rounded.
        counts: by figure, each count of what it is over, with its place.
    """

    values: dict[Any, list[tuple[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    counts: dict[Any, list[tuple[str, Any]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, place: str, key: tuple[Any, ...], *numbers: Any) -> None:
        """Add a value, and both ends of its interval where the place shows them.

        An end that is NaN says that the figure has none; None says nothing of it.
        """
        for part, number in zip(("value", "low", "high"), numbers, strict=False):
            if number is not None and (part != "value" or not pd.isna(number)):
                self.values[*key, part].append((place, number))

    def disagreements(self) -> list[Any]:
        """The figures that have different values in different places."""
        found: list[Any] = []
        for key, text in self.values.items():
            exact = [float(number) for _, number in text if not isinstance(number, str)]
            if not exact:
                found.append((key, "no file has it", text))
                continue
            for place, number in text:
                digits = len(number.partition(".")[2]) if isinstance(number, str) else 12
                # Half a last digit, and what rounding to it in two ways leaves.
                margin = ROUNDING * 10.0**-digits
                if not np.isclose(float(number), exact[0], rtol=0, atol=margin, equal_nan=True):
                    found.append((key, place, number, exact[0]))
        found += [(key, text) for key, text in self.counts.items() if len({n for _, n in text}) > 1]
        return found


def key_of(scope: str, row: dict[Hashable, Any]) -> tuple[str, Any, Any, Any, Any]:
    return scope, row["figure"], row["of"], row["average"], row["counted"]


def macro(scope: str, figure: str, of: str) -> tuple[str, ...]:
    average = "" if of == "visits" or of in CORTICES else "macro"
    return scope, figure, of, average, "all" if of == "labels" else "visible"


def tell_files(
    told: Told, files: dict[str, pd.DataFrame], pictures: dict[str, tuple[pd.DataFrame, str]]
) -> None:
    for scope in ("holdout", "out_of_fold"):
        table = files[f"{scope}_figures"]
        for row in table.to_dict("records"):
            told.add(f"{scope}_figures.csv", key_of(scope, row), *map(row.get, _ENDS))
            if row["average"] == "macro" and not pd.isna(row["defined"]):
                told.counts[key_of(scope, row)].append(("figures.csv", row["defined"]))
        for row in files[f"{scope}_label_figures"].to_dict("records"):
            for name in ("auroc", "recall", "brier"):
                key = (scope, name, row["label"], "", row["counted"])
                ends = (row[name], row[f"{name}_low"], row[f"{name}_high"])
                told.add("label_figures.csv", key, *ends)
        labels = files[f"{scope}_label_figures"]
        for counted, of in (("all", "labels"), ("visible", "cortices")):
            own = labels[labels["counted"] == counted]
            for name in ("auroc", "precision", "recall"):
                number = int(own[name].notna().sum())
                told.counts[macro(scope, name, of)].append(("label_figures.csv", number))
        bins = files[f"{scope}_reliability"]
        error = _error_of(bins[bins["label"] == "all"])
        key = (scope, "expected_calibration_error", "cortices", "micro", "visible")
        told.add("reliability.csv", key, error)
    for row in files["auroc_two_ways"].to_dict("records"):
        scope = "holdout" if row["evaluation"].startswith("Hold-out") else "out_of_fold"
        told.add("auroc_two_ways.csv", macro(scope, "auroc", "labels"), row["exact"])
        told.counts[macro(scope, "auroc", "labels")].append(("two ways", row["defined"]))
    for row in files["holdout_labels"].to_dict("records"):
        for name in ("auroc", "precision", "recall", "f1"):
            told.add("holdout_labels.csv", ("holdout", name, row["label"], "", "all"), row[name])
    if "holdout_totals" in pictures:
        data, words = pictures["holdout_totals"]
        key = macro("holdout", "icc", "visits")  # type: ignore[assignment]
        told.add("totals.csv", key, *(data[f"icc{end}"].iloc[0] for end in ("", "_low", "_high")))
        for found in INTERVAL.findall(words.partition("ICC ")[2] and words[words.rindex("ICC") :]):
            told.add("drawn totals", key, *found)
        data, _ = pictures["holdout_bland_altman"]
        for name in ("bias", "lower_limit", "upper_limit"):
            ends = (data[f"{name}{end}"].iloc[0] for end in ("", "_low", "_high"))  # type: ignore[assignment]
            told.add("bland_altman.csv", macro("holdout", name, "visits"), *ends)
    data, words = pictures["holdout_calibration"]
    key = ("holdout", "expected_calibration_error", "cortices", "micro", "visible")
    told.add("calibration.csv", key, data["expected_calibration_error"].iloc[0], None, None)
    told.add("calibration.csv, bins", key, _error_of(data))
    told.add(
        "drawn calibration", key, not_none(re.search(r"calibration error (\d\.\d+)", words))[1]
    )
    # It is drawn where a score has ten positives.
    roc = pictures["holdout_roc"][0] if "holdout_roc" in pictures else pd.DataFrame()
    for row in roc.drop_duplicates(["cortex", "score"][: len(roc.columns)]).to_dict("records"):
        label = f"{row['cortex']}_{row['score']}"
        told.add("roc.csv", ("holdout", "auroc", label, "", "visible"), row["auroc"])


def _error_of(bins: pd.DataFrame) -> float:
    gap = (bins["mean_probability"] - bins["share_positive"]).abs()
    return float(np.average(gap, weights=bins["rows"]))


_ENDS = ("value", "low", "high")


def tell_page(told: Told, tables: list[PageTable], search: Section) -> None:
    for table in tables:
        scope = "holdout" if table.caption.startswith("Hold-out") else "out_of_fold"
        if table.header[:3] == ("figure", "of", "average"):
            for cells in table.rows:
                name, of, average, value, low, high, count, _ = (cell[0] for cell in cells)
                name = NAMES[name.removesuffix(" (as published)")]
                of = OF_PAGE.get(of, of)
                key = (scope, name, of, average, "all" if of == "labels" else "visible")
                told.add("page", key, *(text or None for text in (value, low, high)))
                if count and average == "macro":
                    told.counts[key].append(("page", int(count.split()[0])))
        elif table.caption == "The tuned model":
            for cells in table.rows:
                evaluation, _, words, value, *_ = (cell[0] for cell in cells)
                name = NAMES.get(re.sub(r",.*| \(as.*", "", words))  # type: ignore[assignment]
                if name is not None and value:
                    scope = "holdout" if evaluation == "hold-out set" else "out_of_fold"
                    of = "labels" if "18 labels" in words else "cortices"
                    told.add("page, tuned model", macro(scope, name, of), value)
    (trials,) = search.tables
    (cells,) = trials.rows
    row = dict(zip(trials.header, (cell[0] for cell in cells), strict=True))
    key = ("regime_1", "auroc", "labels", "macro", "all")
    low, high = row["95 % interval of the score, over folds"].split(" to ")
    told.add("page, trials", key, row["AUROC, 18 labels"], low, high)
    for line in search.lead:
        for words, of in (("AUROC, 18 labels", "labels"), ("AUROC, visible cortices", "cortices")):
            if "interval over folds" in line:
                (found,) = INTERVAL.findall(line[line.index(words) :])[:1]
                told.add("page, lead", macro("regime_1", "auroc", of), *found)


def tell_answer(told: Told, records: StudyRecords) -> None:
    sentence = answer(records).sentence
    for name, words in (
        ("mae", "RUST total was off by"),
        ("kappa", "kappa of the scores was"),
        ("auroc", "AUROC of visible cortices was"),
    ):
        of = "visits" if name == "mae" else "cortices"
        number = r"(-?\d+\.\d+)"
        found = re.search(
            rf"{words} \*\*{number}[a-z ]*\*\*[a-z ]*\((?:95 % interval {number} to {number})?",
            sentence,
        )
        if found:
            told.add("answer", macro("holdout", name, of), *found.groups())


def cells_of(table: Any) -> list[tuple[Any, ...]]:
    return list(zip(*(column.cells for column in table.columns), strict=True))


def tell_terminal(told: Told, records: StudyRecords) -> None:
    shown = holdout_table(not_none(records.holdout), figures=holdout_figures(records))
    titles = {"most likely": (*["cortices"], *CORTICES), "probabilities": ("labels", "cortices")}
    titles["RUST totals"] = ("visits",)
    short = {"weighted kappa": "kappa", "within one": "within_one", "ICC(2,1)": "icc"}
    short |= {"bias, predicted minus true": "bias", "mean absolute error, points": "mae"}
    for table in getattr(shown, "renderables", [shown]):
        (scopes,) = (of for start, of in titles.items() if start in str(table.title))
        for heading, *cells in cells_of(table):
            words = re.sub(r" \(as published\)", "", str(heading).replace("\n", " "))
            name = short.get(words) or NAMES.get(words) or NAMES.get(f"RUST total: {words}")
            for of, cell in zip(scopes, cells, strict=True):
                text = str(cell).replace("\n", " ")
                if name is None or text == "undefined":
                    continue
                key = macro("holdout", name, of)
                found = INTERVAL.match(text)
                told.add("terminal", key, *(found.groups() if found else [text.split()[0]]))
                if count := re.search(r"(\d+) of \d+$", text):
                    told.counts[key].append(("terminal", int(count[1])))
    caption = str(best_trials_table(not_none(records.regime_1)).caption)
    line = next(line for line in caption.splitlines() if line.startswith("Best, 95 %"))
    for words, of in (("18 labels", "labels"), ("cortices", "cortices")):
        low, high = not_none(re.search(rf"{words} (\d\.\d+) to (\d\.\d+)", line)).groups()
        told.add("terminal, caption", macro("regime_1", "auroc", of), None, low, high)


def tell_checklists(told: Told, records: StudyRecords) -> None:
    facts = facts_of(records)
    for line in [
        line for name in ("headline", "agreement", "union") for line in facts.get(name, [])
    ]:
        title, rest = not_none(re.match(r"(.*?): (-?\d.*)", line)).groups()
        title = title.removeprefix("hold-out ")
        words = re.sub(r" of 18 labels|, .*", "", title) if "RUST" not in title else title
        of = "labels" if "18 labels" in title else "cortices"
        if words.startswith(("RUST", "union")):
            words, of = title.replace("union, ", "union: "), "visits"
        name = "kappa" if words == "weighted kappa" else NAMES.get(words)
        if name is None:
            continue
        key = macro("holdout", name, of)
        found = INTERVAL.match(rest)
        told.add("claim.md", key, *(found.groups() if found else [rest.split()[0].rstrip(",")]))
        if count := re.search(r"over (\d+) of", rest):
            told.counts[key].append(("claim.md", int(count[1])))


def tell_summary(told: Told, records: StudyRecords) -> None:
    parts = {
        "Regime I:": "regime_1",
        "tuned model, cross": "out_of_fold",
        "tuned model, hold": "holdout",
    }
    ofs = {"auroc": "labels", "cortex_auroc": "cortices"}
    for row in summary_scores(records).to_dict("records"):
        (scope,) = (scope for start, scope in parts.items() if row["part"].startswith(start))
        key = macro(scope, "auroc", ofs[row["metric"]])
        told.add("summary.csv", key, *map(row.get, _ENDS))
    for entry in summary(records).rows:
        starts = {
            "Regime I": "regime_1",
            "Tuned model, cross": "out_of_fold",
            "Tuned model, hold": "holdout",
        }
        for start, scope in starts.items():
            if entry.what.startswith(start):
                for text, of in ((entry.auroc, "labels"), (entry.cortex_auroc, "cortices")):
                    if text != "undefined":
                        told.add("summary", macro(scope, "auroc", of), text.split()[0])
    exported = best_hyperparameters(not_none(records.regime_1))
    key = macro("regime_1", "auroc", "labels")
    told.add("export", key, exported["score"], *exported["score_interval"])  # type: ignore[misc]
