"""A worker that comes too late changes nothing: its executor could not end it, or runs it twice."""

from pathlib import Path
from typing import Any

import pytest
from fake_executors import SameProcess
from search_problems import arrays, make_tuner

from rust_tuner.errors import SearchError
from rust_tuner.search import trial_training
from rust_tuner.search.executors.outcome import Outcome


class Remembers(SameProcess):
    """Keeps its calls, and their arrays."""

    def __init__(self) -> None:
        super().__init__(1)
        self.kept: list[Any] = []

    def submit(self, function: Any, *arguments: Any) -> Any:  # type: ignore[override]
        self.kept.append((function, arguments))
        return super().submit(function, *arguments)

    def again(self) -> list[str]:
        outcomes: list[Outcome] = [function(*arguments) for function, arguments in self.kept]
        return [str(outcome.exception()) for outcome in outcomes]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def search(folder: Path, executor: Any, epochs: int = 1, **options: Any) -> Any:
    tuner = make_tuner(folder, "grid", max_trials=2, **options)
    tuner.search(*arrays(), epochs=epochs, batch_size=24, executor=executor)
    return tuner


@pytest.mark.slow
def test_a_call_that_is_run_again_after_its_trial_has_ended_changes_nothing(tmp_path: Path) -> None:
    executor = Remembers()
    search(tmp_path, executor)
    before = contents(tmp_path)
    errors = executor.again()
    assert [error.partition(":")[2] for error in errors] == [
        " it is COMPLETED; nothing was changed"
    ] * 2
    assert contents(tmp_path) == before


@pytest.mark.slow
def test_a_call_of_a_search_that_was_overwritten_changes_nothing(tmp_path: Path) -> None:
    executor = Remembers()
    search(tmp_path, executor)
    search(tmp_path, None, epochs=2, overwrite=True)
    before = contents(tmp_path)
    assert all("contains another search" in error for error in executor.again())
    assert contents(tmp_path) == before


class EndsMeanwhile(SameProcess):
    """While it trains a trial, another process gives that trial its end."""

    def submit(self, function: Any, *arguments: Any) -> Any:  # type: ignore[override]
        path = Path(arguments[1]) / f"trial_{arguments[3]}" / "trial.json"
        running = path.read_text()
        trained = trial_training.cross_validated

        def ended(*args: Any, **options: Any) -> Any:
            path.write_text(running.replace('"RUNNING"', '"FAILED"'))
            return trained(*args, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("rust_tuner.search.executors.contract.cross_validated", ended)
            return super().submit(function, *arguments)


def test_what_was_trained_meanwhile_is_not_recorded(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"came too late with trial 0000 .*: it is FAILED"):
        search(tmp_path, EndsMeanwhile(1))
    trial = tmp_path / "search" / "trial_0000"
    assert not list(trial.glob("fold_*"))
    assert not (trial / "out_of_fold.npz").exists()
