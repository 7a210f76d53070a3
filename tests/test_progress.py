"""Progress: bars on a terminal, spaced lines in a log, nothing by default."""

import io
import re
import time
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from rust_tuner.console_progress import ConsoleProgress
from rust_tuner.progress import Part, Progress, Running, Silent, duration, show_running


class Clock:
    """A clock that the test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("rust_tuner.console_progress.time.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def log() -> tuple[ConsoleProgress, io.StringIO]:
    stream = io.StringIO()
    return ConsoleProgress(Console(file=stream, width=60)), stream


def terminal() -> tuple[ConsoleProgress, io.StringIO]:
    stream = io.StringIO()
    return on_terminal(stream, "xterm"), stream


def on_terminal(stream: io.StringIO, term: str) -> ConsoleProgress:
    console = Console(
        file=stream, force_terminal=True, width=160, color_system=None, _environ={"TERM": term}
    )
    return ConsoleProgress(console)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (40, "40 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (60, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 0 min"),
        (7500, "2 h 5 min"),
        (172_800, "48 h 0 min"),
    ],
)
def test_a_duration_is_said_as_a_person_says_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_silence_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    silent: Progress = Silent()
    with silent.task("trials", 3) as outer, silent.task("folds", 2, done=1) as inner:
        inner.advance(note="x")
        outer.advance(2)
        outer.skip(1)
    silent.say("x")
    silent.recorded(Path("regime_1"), "0000")
    assert capfd.readouterr() == ("", "")


def test_a_log_gets_a_line_now_and_then_and_one_at_the_end(clock: Clock) -> None:
    progress, stream = log()
    with progress.task("features", 100) as task:
        for _ in range(100):
            clock.now += 0.4
            task.advance()
    assert stream.getvalue().splitlines() == [
        "features: 38/100, about 25 s left",
        "features: 76/100, about 10 s left",
        "features: 100/100 in 40 s",
    ]


def test_short_work_gets_one_line(clock: Clock) -> None:
    progress, stream = log()
    with progress.task("features", 2) as task:
        clock.now += 1
        task.advance(2)
    assert stream.getvalue() == "features: 2/2 in 1 s\n"


def test_the_time_left_is_judged_by_the_steps_of_this_run_alone(clock: Clock) -> None:
    progress, stream = log()
    with progress.task("trials", 100, done=90) as task:
        clock.now += 100
        task.advance(5)
        clock.now += 100
        task.advance(5)
    assert stream.getvalue().splitlines() == [
        "trials: 95/100, about 1 min 40 s left",
        "trials: 100/100 in 3 min 20 s",
    ]


def test_steps_that_took_no_work_say_nothing_of_the_pace(clock: Clock) -> None:
    progress, stream = log()
    with progress.task("epochs", 100) as task:
        task.skip(60)
        clock.now += 100
        task.advance(10)
        task.skip(10)
        clock.now += 100
        task.advance(10)
        task.skip(10)
    assert stream.getvalue().splitlines() == [
        "epochs: 70/100, about 5 min 0 s left",
        "epochs: 90/100, about 1 min 40 s left",
        "epochs: 100/100 in 3 min 20 s",
    ]


def test_a_terminal_shows_the_time_left_however_long_a_step_takes(clock: Clock) -> None:
    progress, stream = terminal()
    with progress.task("epochs", 4) as task:
        clock.now += 3600
        task.advance()
        # In the midst of the second.
        clock.now += 1800
    assert "1/4" in stream.getvalue()
    assert "about 2 h 30 min left" in stream.getvalue()


def test_a_terminal_shows_no_time_left_before_the_first_step(clock: Clock) -> None:
    progress, stream = terminal()
    with progress.task("epochs", 4) as task:
        task.skip(2)
        clock.now += 60
    assert "2/4" in stream.getvalue()
    assert "left" not in stream.getvalue()


def test_a_note_stays_until_another_replaces_it(clock: Clock) -> None:
    progress, stream = log()
    with progress.task("trials", 4) as task:
        for note in ("best 0.7", None, "best [0.8]", None):
            clock.now += 20
            task.advance(note=note)
    assert [line.rpartition(" best ")[2] for line in stream.getvalue().splitlines()] == [
        "0.7",
        "0.7",
        "[0.8]",
        "[0.8]",
    ]


def test_work_that_fails_is_not_said_to_be_finished(clock: Clock) -> None:
    progress, stream = log()
    with pytest.raises(ValueError, match="damaged"), progress.task("features", 2) as task:
        task.advance()
        raise ValueError("damaged")
    assert stream.getvalue() == ""


def test_a_log_line_is_not_wrapped_nor_read_as_markup() -> None:
    progress, stream = log()
    text = "[bold]a message with a path /x/" + "y" * 100
    progress.say(text)
    assert stream.getvalue() == text + "\n"


def test_a_terminal_shows_name_count_and_note() -> None:
    progress, stream = terminal()
    with progress.task("trials", 4, done=1) as task:
        task.advance(note="best 0.81")
    shown = stream.getvalue()
    for part in ("trials", "2/4", "best 0.81"):
        assert part in shown


def test_nested_work_shows_two_bars_and_what_is_said_stands_above_them() -> None:
    progress, stream = terminal()
    with progress.task("trials", 2) as trials:
        with progress.task("folds", 6) as folds:
            folds.advance(5)
            progress.say("trial 0 [failed]")
        trials.advance()
    shown = stream.getvalue()
    for part in ("trials", "folds", "0/6", "1/2"):
        assert part in shown
    assert shown.index("trial 0 [failed]") < shown.rindex("folds")


def test_after_an_error_the_next_work_has_bars_again() -> None:
    progress, stream = terminal()
    with pytest.raises(ValueError, match="inner"), progress.task("trials", 2):
        with progress.task("folds", 6):
            raise ValueError("inner")
    with progress.task("final", 3) as task:
        task.advance(3)
    assert "3/3" in stream.getvalue()


def test_progress_goes_to_standard_error_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    ConsoleProgress().say("hello")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "hello\n")


def test_a_part_moves_the_whole_by_the_steps_of_the_tasks_that_count(clock: Clock) -> None:
    progress, stream = log()
    with progress.task("all", 10, done=2) as whole:
        part = Part(progress, whole, name="fold 1", counted=("search",))
        with part.task("features", 7) as other:
            other.advance(7)
        with part.task("search, epochs of folds", 5, done=1) as search:
            search.advance(3, note="best 0.8")
            search.skip(1)
        part.say("hello")
        assert part.advanced == 4
    lines = stream.getvalue().splitlines()
    assert lines == [
        "fold 1, features: 7/7 in 0 s",
        "fold 1, search, epochs of folds: 5/5 in 0 s best 0.8",
        "fold 1: hello",
        "all: 6/10 in 0 s",
    ]


def test_a_terminal_that_cannot_move_its_cursor_gets_lines() -> None:
    stream = io.StringIO()
    with on_terminal(stream, "dumb").task("trials", 2) as task:
        task.advance(2, note="done")
    assert stream.getvalue() == "trials: 2/2 in 0 s done\n"


def test_a_terminal_shows_what_several_processes_do_below_the_task(clock: Clock) -> None:
    progress, stream = terminal()
    with progress.task("search", 12) as task:
        rows = [Running("trial 0000, here:1", 0, 6), Running("trial 0001, here:2", 2, 6)]
        show_running(progress, rows)
        clock.now += 10
        show_running(progress, [Running("trial 0000, here:1", 3, 6), rows[1]])
        search, first, second = drawn(progress, stream, until=" 3/6 ")
        assert re.search("search .* 0/12 ", search)
        # Of the three that are left, three take ten seconds.
        assert re.search(r"trial 0000, here:1 .* 3/6 .* about 10 s left", first)
        assert re.search(r"trial 0001, here:2 .* 2/6 ", second)
        show_running(progress, [Running("trial 0001, here:3", 0, 6)])
        assert len(drawn(progress, stream, until="here:3")) == 2
        task.advance(6)
    with progress.task("another", 1):
        assert len(drawn(progress, stream, until="another")) == 1
        show_running(progress, [Running("trial 0001, here:3", 1, 6)])
        assert len(drawn(progress, stream, until="here:3")) == 2


def drawn(progress: ConsoleProgress, stream: io.StringIO, *, until: str) -> list[str]:
    """The bars once they show a text; a note that is printed above them has them drawn again."""
    for _ in range(1_000):
        start = len(stream.getvalue())
        progress.say("a note")
        text = Text.from_ansi(stream.getvalue()[start:]).plain.partition("a note")[2]
        if until in text:
            return [line for line in text.splitlines() if line.strip()]
        time.sleep(0.05)
    raise AssertionError(f"{until!r} is never shown: {stream.getvalue()}")


def test_more_processes_than_rows_are_counted_together() -> None:
    progress, stream = terminal()
    progress.console.height = 10
    with progress.task("search", 12):
        show_running(progress, [Running(f"trial {number:04d}", 1, 2) for number in range(7)])
        lines = drawn(progress, stream, until="more")
    names = [re.split(r"  |━", line.strip())[0].strip() for line in lines]
    assert names == ["search", "trial 0000", "trial 0001", "trial 0002", "4 more"]


def test_a_log_gets_a_line_of_what_several_processes_do_now_and_then(clock: Clock) -> None:
    progress, stream = log()
    rows = [Running(f"trial {number:04d}, here:{number}", 1, 6) for number in range(6)]
    with progress.task("search", 1):
        for _ in range(10):
            clock.now += 2
            show_running(Part(progress, Silent(), name="p", counted=()), rows)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0] == (
        "running: trial 0000, here:0 (1/6); trial 0001, here:1 (1/6); "
        "trial 0002, here:2 (1/6); trial 0003, here:3 (1/6); and 2 more"
    )
