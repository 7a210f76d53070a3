"""Fifty times the same configuration on phantoms: chance alone, and every table says so."""

import io
import re
from pathlib import Path

import pytest
from narrowing import as_json
from report_studies import write_unrendered_report
from rich.console import Console

from rust_tuner import load_manifest, regime_1, split_holdout
from rust_tuner.analysis.export import best_hyperparameters
from rust_tuner.analysis.tables import trials_table
from rust_tuner.protocol import Protocol
from rust_tuner.records.project import read_project
from rust_tuner.terminal.searches import best_trials_table

TRIALS = 50


@pytest.mark.slow
def test_fifty_times_the_same_configuration_is_called_tied(
    tmp_path: Path, phantom_manifest: Path, tiny_protocol: Protocol, feature_cache: Path
) -> None:
    development, _ = split_holdout(load_manifest(phantom_manifest), seed=tiny_protocol.seed)
    tuner = regime_1(
        development,
        tmp_path,
        trials=TRIALS,
        # Alike but for what no training could tell; trials differ by their seeds.
        batch_size_range=(8, 8),
        dropout_rate_range=(0.3, 0.300001),
        protocol=tiny_protocol,
        cache=feature_cache,
    )
    results = tuner.results()
    assert len(results) == TRIALS
    assert results["score"].nunique() > TRIALS / 2
    assert results["tied_with_best"].all()
    project = read_project(tuner.project_folder)
    assert trials_table(project)["tied_with_best"].all()
    assert len(as_json(best_hyperparameters(project))["tied_trials"]) == TRIALS
    written = io.StringIO()
    console = Console(file=written, width=80)
    console.print(best_trials_table(project))
    assert "best 5 of 50 trials, 50 tied for the best" in written.getvalue()
    page = write_unrendered_report(tmp_path).read_text()
    # The word is a link to its entry in the glossary.
    assert "49 other trials are tied with it" in re.sub(r"<[^>]+>", "", page)
    alone = results["p_against_best"] < 0.05
    print(f"\none by one {alone.sum()} of {TRIALS} would have been called worse")
