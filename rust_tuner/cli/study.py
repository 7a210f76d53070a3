"""The command `study`; what it does belongs to `whole_study`, which is imported when it runs."""

from rust_tuner.cli.early import refuse_unprepared
from rust_tuner.cli.options import (
    Preparing,
    RadImageNet,
    Scale,
    Searching,
    Skip,
    StudyDirectory,
    with_options,
)
from rust_tuner.cli.support import reporting


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
        refuse_unprepared(study, preparing.manifest)
        from rust_tuner.cli.whole_study import run_whole_study

        run_whole_study(
            study,
            scale=scale,
            skip=skip or (),
            radimagenet_weights=radimagenet_weights,
            preparing=preparing,
            running=running,
        )
