"""The command `study`: all steps in order, within one plan and one bar."""

from typing import Any

from rust_tuner.cli.early import refuse_unprepared
from rust_tuner.cli.option_values import Scales
from rust_tuner.cli.options import (
    Preparing,
    RadImageNet,
    Scale,
    Skip,
    StudyDirectory,
    TuningInWorkers,
)
from rust_tuner.cli.support import ending_in_time, err, open_study, reporting, say_next_step
from rust_tuner.cli.with_options import with_options
from rust_tuner.console_progress import ConsoleProgress


@with_options
def whole_study(
    study: StudyDirectory,
    *,
    scale: Scale = None,
    skip: Skip = None,
    radimagenet_weights: RadImageNet = None,
    preparing: Preparing,
    running: TuningInWorkers,
) -> None:
    """Run all steps in order, from prepare to report.

    These are prepare, both searches, final and report; then the first models, which take by far
    longest, and the report again. The plan is printed first, with times that are estimated from a
    few steps on this machine and revised after each step. Finished steps are skipped. If
    interrupted, run the same command again to resume. The steps nested, noise and check are not
    part of it; run them afterwards.
    """
    with reporting():
        refuse_unprepared(study, preparing.manifest)
        from rust_tuner.records.study import SEARCH_FIELDS
        from rust_tuner.records.study_record import STUDY_FILE
        from rust_tuner.terminal.whole_study import WholeStudy

        given = {name: value for name, value in vars(preparing).items() if value is not None}
        # A scale is chosen when a study is prepared; its steps may have been started otherwise.
        scaled = _scaled(scale)
        if (study / STUDY_FILE).exists():
            scaled = {name: value for name, value in scaled.items() if name not in SEARCH_FIELDS}
        whole = WholeStudy(ConsoleProgress(err))
        opened = open_study(study, progress=whole, **vars(running), **(scaled | given))
        skipped = tuple(step.value for step in skip or ())
        from rust_tuner.cli.whole_run import WholeRun

        run = WholeRun(opened, whole, skipped, radimagenet_weights)
        with ending_in_time(study, running.time_budget, run.show_what_is_there):
            run.run()
            say_next_step(study, after="report")


def _scaled(scale: Scales | None) -> dict[str, Any]:
    if scale is None:
        return {}
    from rust_tuner.protocol import SMALL_SCALE

    return dict(SMALL_SCALE) if scale is Scales.small else {"scale": "full"}
