"""Of several notes of processes, the one that says how the last work ended."""

import dataclasses
import datetime

from rust_tuner.last_run import LastRun
from rust_tuner.records.noted_runs import last_of

BEGUN = datetime.datetime(2026, 3, 2, 9, tzinfo=datetime.UTC)
STEP = LastRun("Regime I", 7, "here", BEGUN, None, "killed", None)
SEARCH = dataclasses.replace(
    STEP, purpose="searching hyperparameters", since=BEGUN + datetime.timedelta(minutes=1)
)


def test_of_a_step_and_the_search_in_it_the_step_is_named() -> None:
    assert last_of([STEP, SEARCH]).purpose == "Regime I"


def test_a_search_that_finished_before_its_step_was_killed_does_not_hide_that() -> None:
    finished = dataclasses.replace(
        SEARCH, state="finished", ended=BEGUN + datetime.timedelta(minutes=9)
    )
    assert last_of([STEP, finished]) == STEP


def test_a_later_process_counts_and_not_an_earlier_one_that_was_killed() -> None:
    later = LastRun(
        *("report", 8, "here", BEGUN + datetime.timedelta(hours=1)),
        *(BEGUN + datetime.timedelta(hours=2), "finished", None),
    )
    assert last_of([STEP, SEARCH, later]) == later
