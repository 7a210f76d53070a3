"""The command `study`: all steps in order, within one plan and one bar."""

import dataclasses
from pathlib import Path
from typing import Any

from rust_tuner.analysis.finished_steps import baselines_are_done, share_done
from rust_tuner.cli.options import (
    Preparing,
    RadImageNet,
    Scale,
    Scales,
    Searching,
    Skip,
    StudyDirectory,
    with_options,
)
from rust_tuner.cli.steps import run_baselines, run_final
from rust_tuner.cli.support import (
    ending_in_time,
    err,
    fetch_weights,
    open_study,
    out,
    reporting,
    say,
    say_next_step,
    start_tensorflow,
)
from rust_tuner.interrupts import end_if_time_is_up, note_recorded_work
from rust_tuner.progress import ConsoleProgress, duration
from rust_tuner.protocol import SMALL_SCALE, Protocol
from rust_tuner.records.baselines import BASELINES_FOLDER, available_baselines
from rust_tuner.records.looks import FINAL, HOLDOUT_FILE
from rust_tuner.records.project import REGIME_1, REGIME_2, read_project
from rust_tuner.records.run import RUN_FILE
from rust_tuner.records.study import SEARCH_FIELDS
from rust_tuner.records.study_record import STUDY_FILE
from rust_tuner.steps.plan import REPORT_AGAIN, PlannedStep, plan_study
from rust_tuner.steps.speed import Speed
from rust_tuner.study import Study
from rust_tuner.terminal.searches import best_trials_table, plan_table
from rust_tuner.terminal.whole_study import WholeStudy
from rust_tuner.words import listed


@with_options
def whole_study(
    study: StudyDirectory,
    *,
    scale: Scale = None,
    skip: Skip = None,
    radimagenet_weights: RadImageNet = None,
    preparing: Preparing,
    running: Searching,
) -> None:
    """Run all steps in order, from prepare to report.

    These are prepare, both searches, final and report; then the first models, which take by far the
    longest, and the report again. The plan is printed first, with times that follow from a few
    steps on this machine; they are revised after each step. Finished steps are skipped. If
    interrupted, run the same command again to resume. The steps nested, noise and check are not
    part of it; run them afterwards.
    """
    with reporting():
        given = {name: value for name, value in vars(preparing).items() if value is not None}
        # A scale is chosen when a study is prepared; its steps may have been started otherwise.
        scaled = _scaled(scale)
        if (study / STUDY_FILE).exists():
            scaled = {name: value for name, value in scaled.items() if name not in SEARCH_FIELDS}
        whole = WholeStudy(ConsoleProgress(err))
        opened = open_study(study, progress=whole, **vars(running), **(scaled | given))
        skipped = tuple(step.value for step in skip or ())
        run = _WholeRun(opened, whole, skipped, radimagenet_weights)
        with ending_in_time(study, running.time_budget, run.show_what_is_there):
            run.run()
            say_next_step(study, after="report")


class _WholeRun:
    """The steps of a study in order, with their plan."""

    def __init__(
        self, study: Study, whole: WholeStudy, skip: tuple[str, ...], radimagenet: Path | None
    ) -> None:
        self._study = study
        self._whole = whole
        self._skip = skip
        self._radimagenet = radimagenet
        self._models = available_baselines(
            study.protocol.weights, has_radimagenet=radimagenet is not None
        )
        self._speed: Speed | None = None
        self._trials: str | None = None

    def run(self) -> None:
        study, whole = self._study, self._whole
        study.require_enough_patients(skip=self._skip)
        start_tensorflow()
        self._measure()
        # On standard error: results alone, which never differ, go to standard output.
        err.print(plan_table(self._plan()))
        whole.plan(self._plan())
        with whole.step("prepare"):
            study.prepare()
        fetch_weights(study.protocol.weights)
        self._search("regime1", REGIME_1)
        self._search("regime2", REGIME_2)
        if "final" not in self._skip:
            end_if_time_is_up()
            with whole.step("final"):
                study.final()
            run_final(study)
            note_recorded_work()
        self._report("report")
        if "baselines" not in self._skip:
            end_if_time_is_up()
            with whole.step("baselines"):
                run_baselines(study, None, self._radimagenet)
            note_recorded_work()
            self._report(REPORT_AGAIN)

    def show_what_is_there(self) -> None:
        """Show the search that was ended, and what is left."""
        folder = self._study.directory
        if self._trials is not None and (folder / self._trials / RUN_FILE).is_file():
            project = read_project(folder / self._trials)
            if project.best is not None:
                out.print(best_trials_table(project))
        if self._whole.names_left:
            left = duration(self._whole.seconds_left())
            say(f"left: {listed(self._whole.names_left)}, about {left}")

    def _search(self, name: str, regime: str) -> None:
        if self._done().get(name, 0.0) < 1:
            end_if_time_is_up()
        self._trials = regime
        with self._whole.step(name):
            self._study.regime_1() if regime == REGIME_1 else self._study.regime_2()
        self._trials = None
        out.print(best_trials_table(read_project(self._study.directory / regime)))
        self._whole.plan(self._plan())

    def _report(self, name: str) -> None:
        if "report" in self._skip:
            return
        with self._whole.step(name):
            path = self._study.report()
        say(f"report -> {path}")

    def _measure(self) -> None:
        """Time a few steps on this machine, of what is not finished."""
        from rust_tuner.steps.speed import measure_speed

        done = self._done()
        models = () if "baselines" in self._skip or done.get("baselines") else self._models
        say("measuring how fast this machine is, for the plan")
        self._speed = measure_speed(
            self._protocol(),
            self._study.radiographs(),
            models=models,
            with_search=any(done.get(name, 0.0) < 1 for name in ("regime1", "regime2", "final")),
        )

    def _plan(self) -> list[PlannedStep]:
        study = self._study
        batch_size = None
        if share_done(study.directory, REGIME_1) == 1:
            best = read_project(study.directory / REGIME_1).best
            batch_size = None if best is None else int(best.values["batch_size"])
        return plan_study(
            self._protocol(),
            study.count_radiographs(),
            self._models,
            num_sites=study.count_sites(),
            speed=self._speed,
            skip=self._skip,
            batch_size=batch_size,
            done=self._done(),
        )

    def _done(self) -> dict[str, float]:
        """The share of each step that earlier runs have done."""
        folder = self._study.directory
        searched = {
            "regime1": share_done(folder, REGIME_1),
            "regime2": share_done(folder, REGIME_2),
        }
        done = {name: share for name, share in searched.items() if share is not None}
        done["prepare"] = float((folder / STUDY_FILE).exists())
        # A search begins once all features are there.
        done["features"] = float(bool(searched["regime1"]))
        done["final"] = float((folder / FINAL / HOLDOUT_FILE).exists())
        done["baselines"] = float(baselines_are_done(folder, self._models))
        return done

    def _protocol(self) -> Protocol:
        """The choices of all steps of a study together, each as its step uses it."""
        return dataclasses.replace(
            self._study.protocol_of(REGIME_1),
            **{
                name: getattr(self._study.protocol_of(step), name)
                for step in (BASELINES_FOLDER, FINAL)
                for name in Protocol.own_to(step)
            },
        )


def _scaled(scale: Scales | None) -> dict[str, Any]:
    if scale is None:
        return {}
    return dict(SMALL_SCALE) if scale is Scales.small else {"scale": "full"}
