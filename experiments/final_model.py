"""The tuned model: 10 folds, 40 epochs, refitted, then one look at the hold-out set.

    python experiments/final_model.py STUDY

After both regimes of the same study. Run again, it shows what was found and computes nothing.
Writes the published columns `model,split,epoch,fold,auroc` to STUDY/final_model_kfold.csv.
"""

import argparse

from rust_tuner import Study
from rust_tuner.analysis.tables import write_published_curves
from rust_tuner.console_progress import ConsoleProgress
from rust_tuner.records.looks import FINAL
from rust_tuner.records.project import read_project
from rust_tuner.steps.final import CROSS_VALIDATION


def main() -> None:
    """Fit and evaluate the final model, or show what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("study", help="the study's folder")
    arguments = parser.parse_args()

    study = Study(arguments.study, progress=ConsoleProgress())
    found = study.final()
    print(f"hold-out set, looked at on {found.date}")
    for name, value in found.metrics.by_name.items():
        print(name, "undefined" if value is None else f"{value:.3f}")
    project = read_project(study.directory / FINAL / CROSS_VALIDATION)
    write_published_curves({FINAL: project}, study.directory / "final_model_kfold.csv")


if __name__ == "__main__":
    main()
