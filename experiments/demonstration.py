"""The figure that the README opens with: Regime I on phantoms beside the view-only baseline.

python experiments/demonstration.py FOLDER docs/demonstration

Makes 200 synthetic patients in FOLDER and searches 40 trials at small scale, about 10 minutes on
two cores. Run it again to resume; it draws anew.
"""

import argparse
from pathlib import Path

from rust_tuner import Protocol, Study
from rust_tuner.analysis.tables import trials_table
from rust_tuner.console_progress import ConsoleProgress
from rust_tuner.data.phantoms import write_phantoms
from rust_tuner.figures.regimes import draw_regime_1
from rust_tuner.figures.slices import draw_slices
from rust_tuner.figures.style import DOUBLE_WIDTH, new_figure, save_figure, styled
from rust_tuner.protocol import SMALL_SCALE
from rust_tuner.records.project import REGIME_1, read_project

PATIENTS, TRIALS = 200, 40


def main() -> None:
    """Search, and draw what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("picture", type=Path, help="without suffix")
    arguments = parser.parse_args()
    study = arguments.folder / "study"
    run(arguments.folder / "radiographs", study)
    for file in draw(study, arguments.picture):
        print(file)


def run(radiographs: Path, folder: Path) -> None:
    """Regime I on phantoms; what is done is skipped."""
    manifest = write_phantoms(radiographs, patients=PATIENTS)
    protocol = Protocol.study(**(SMALL_SCALE | {"trials": TRIALS}))
    Study(folder, manifest, protocol, progress=ConsoleProgress()).regime_1()


@styled
def draw(folder: Path, picture: Path) -> list[Path]:
    """The search, and every trial's score by both counts against what the view alone gives."""
    project = read_project(folder / REGIME_1)
    trials = trials_table(project)
    figure = new_figure(width=DOUBLE_WIDTH, height=2.9)
    left, *parts = figure.subfigures(1, 3, squeeze=False, width_ratios=(1.25, 1, 1))[0]
    draw_regime_1(trials, axes=left.subplots(), num_folds=project.run.subject.num_folds)
    for part, metric in zip(parts, ("auroc", "cortex_auroc"), strict=True):
        draw_slices(
            trials,
            figure=part,
            names=("dropout_rate",),
            score=f"val_{metric}",
            metric=metric,
            view_only=project.run.view_only[f"val_{metric}"],
            best=int(trials["score"].argmax()),
        )
        # One scale for both, so that the two baselines can be seen apart.
        part.axes[0].set_ylim(0.45, 0.95)
    return save_figure(figure, picture, trials)


if __name__ == "__main__":
    main()
