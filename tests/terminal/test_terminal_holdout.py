"""The one look at the hold-out set in the terminal: every figure with its interval."""

import io
from pathlib import Path
from typing import Any

from narrowing import not_none
from report_predictions import holdout_record, holdout_record_of, make_predictions, plain
from report_studies import write_study
from rich.console import Console

from rust_tuner.analysis.against_view import Standing, holdout_standings
from rust_tuner.analysis.assessment import as_predictions, figures_table, overall_figures
from rust_tuner.records.folder import read_study
from rust_tuner.records.holdout import Holdout
from rust_tuner.terminal.holdout import holdout_table


def holdout_shown(
    record: dict[str, Any], width: int = 80, standings: tuple[Standing, ...] = ()
) -> str:
    written = io.StringIO()
    console = Console(file=written, width=width)
    console.print(holdout_table(Holdout.of(record), standings=standings))
    return written.getvalue()


def test_the_hold_out_figures_stand_with_their_intervals_in_80_columns() -> None:
    figures = overall_figures(figures_table(as_predictions(make_predictions(60))))
    rows = [{k: plain(v) for k, v in row.items()} for row in figures.to_dict("records")]
    record = holdout_record_of(make_predictions(60), figures=rows)
    text = holdout_shown(record)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for name, of, digits in (
        ("auroc", "cortices", 3),
        ("auroc", "labels", 3),
        ("brier", "labels", 3),
    ):
        chosen = (figures["figure"] == name) & (figures["of"] == of)
        (row,) = figures[chosen & (figures["average"] != "micro")].to_dict("records")
        interval = f"({row['low']:.{digits}f} to {row['high']:.{digits}f})"
        assert f"{row['value']:.{digits}f} {interval}" in text
    # Fifteen patients are too few for a mean average precision, and the table says so.
    precision = figures[(figures["figure"] == "average_precision") & (figures["of"] == "labels")]
    (row,) = precision[precision["average"] == "macro"].to_dict("records")
    assert f"{row['value']:.3f} *" in text
    assert f"* No interval for average precision: {row['reason']}" in " ".join(text.split())
    icc = figures[figures["figure"] == "icc"]
    assert f"{icc['value'].item():.2f} *" in text
    kappa = figures[(figures["figure"] == "kappa") & (figures["of"] == "medial")]
    assert f"{kappa['value'].item():.2f}" in text
    words = " ".join(text.split())
    assert "Union: a true total of at least 13, a predicted one of at least 13 (not chosen" in words
    order = [text.index(name) for name in ("accuracy", "weighted", "AUROC", "RUST totals")]
    assert order == sorted(order)
    assert text.count("(as published)") == 3


def test_an_older_record_is_shown_without_intervals() -> None:
    text = holdout_shown(holdout_record())
    assert "0.810" in text
    assert "interval" not in text


def test_whether_it_beats_the_view_alone_stands_with_its_interval(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study")
    standings = holdout_standings(read_study(study))
    text = " ".join(holdout_shown(holdout_record(), standings=standings).split())
    assert "beats it yes yes" in text
    (_, cortices) = standings
    gain = not_none(cortices.gain).gain
    assert f"{gain.value:+.3f} ({gain.low:.3f} to {gain.high:.3f})" in text
    (study / "final" / "predictions.csv").unlink()
    text = holdout_shown(holdout_record(), standings=holdout_standings(read_study(study)))
    assert text.count("cannot be decided") == 2
    assert "Not decided: no predictions by patient." in text
    assert max(map(len, text.splitlines())) <= 80
