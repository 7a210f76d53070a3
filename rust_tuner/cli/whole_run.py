"""A study as a whole: its steps in order, within one plan and one bar.

Apart from the command `study`, whose help must come before anything slow is imported.
"""

import dataclasses
from pathlib import Path

from rust_tuner.analysis.finished_steps import baselines_are_done, share_done
from rust_tuner.cli.steps import run_baselines, run_final
from rust_tuner.cli.support import err, fetch_weights, out, say, start_tensorflow
from rust_tuner.interrupts import end_if_time_is_up, note_recorded_work
from rust_tuner.progress import duration
from rust_tuner.protocol import Protocol
from rust_tuner.records.baselines import BASELINES_FOLDER, available_baselines
from rust_tuner.records.looks import FINAL, HOLDOUT_FILE
from rust_tuner.records.project import REGIME_1, REGIME_2, read_project
from rust_tuner.records.run import RUN_FILE
from rust_tuner.records.study_record import STUDY_FILE
from rust_tuner.steps.plan import REPORT_AGAIN, PlannedStep, plan_study
from rust_tuner.steps.speed import Speed
from rust_tuner.study import Study
from rust_tuner.terminal.searches import best_trials_table, plan_table
from rust_tuner.terminal.whole_study import WholeStudy
from rust_tuner.words import listed


class WholeRun:
    """The steps of a study in order, with their plan."""

    def __init__(
        self, study: Study, whole: WholeStudy, skip: tuple[str, ...], radimagenet: Path | None
    ) -> None:
        """Nothing is run yet.

        Args:
            study: the study.
            whole: the bar over all steps.
            skip: names of steps that are left out.
            radimagenet: RadImageNet's file, or None.
        """
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
        """Run all steps; finished ones are skipped."""
        study, whole = self._study, self._whole
        study.require_enough_patients(skip=self._skip)
        start_tensorflow()
        self.measure()
        # On standard error: results alone, which never differ, go to standard output.
        err.print(plan_table(self._plan(), is_measured=self._speed is not None))
        whole.plan(self._plan())
        with whole.step("prepare"):
            study.prepare()
        fetch_weights(study.protocol.weights, study.directory)
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

    def measure(self) -> None:
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
