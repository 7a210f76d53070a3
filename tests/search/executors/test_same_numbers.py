"""A worker with other packages or kernels than the search is refused, by name."""

import platform
import re

import pytest
from report_searches import write_regime_1

from rust_tuner.errors import SearchError
from rust_tuner.models.runtime import versions
from rust_tuner.records.run import RunManifest, read_run
from rust_tuner.search.executors import same_numbers
from rust_tuner.search.executors.same_numbers import require_same_numbers


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> RunManifest:
    folder = write_regime_1(tmp_path_factory.mktemp("search") / "regime_1", count=1)
    return read_run(folder).with_changes(versions=versions() | {"optuna": "1"}, onednn=None)


def test_a_worker_like_the_coordinator_is_accepted(manifest: RunManifest) -> None:
    assert require_same_numbers(manifest) is None


def test_other_packages_are_named_with_both_versions_and_the_machine(manifest: RunManifest) -> None:
    changed = manifest.with_changes(versions=manifest.versions | {"numpy": "1.0"})
    here, installed = platform.node(), versions()["numpy"]
    expected = f"the worker on {here} has numpy {installed} (the search: 1.0); install"
    with pytest.raises(SearchError, match=re.escape(expected)):
        require_same_numbers(changed)


@pytest.mark.parametrize("begun", [True, False])
def test_other_kernels_are_refused_where_they_can_be_chosen_and_said_where_not(
    begun: bool, manifest: RunManifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = manifest.with_changes(onednn=begun)
    monkeypatch.setattr(same_numbers, "onednn_enabled", lambda: not begun)
    monkeypatch.setattr(same_numbers, "can_switch_onednn", lambda: True)
    with pytest.raises(SearchError, match=f"TF_ENABLE_ONEDNN_OPTS={int(begun)} where"):
        require_same_numbers(run)
    monkeypatch.setattr(same_numbers, "can_switch_onednn", lambda: False)
    note = require_same_numbers(run)
    assert note is not None and "agree within 1e-3" in note
    monkeypatch.setattr(same_numbers, "onednn_enabled", lambda: begun)
    assert require_same_numbers(run) is None
