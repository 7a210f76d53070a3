"""Regime II: grid search over Adam's learning rate (1e-1 to 1e-4) and epsilon (1e-1 to 1e-8).

    python experiments/regime_2.py STUDY [MANIFEST.csv --batch-size B --dropout-rate D]

With Regime I's best batch size and dropout rate, from the same study, unless they are given. Run
it again after an interruption to resume.
"""

import argparse

from rust_tuner import Study, export_best_hyperparameters
from rust_tuner.analysis.tables import write_published_regime_2
from rust_tuner.console_progress import ConsoleProgress
from rust_tuner.records.project import read_project


def main() -> None:
    """Launch or resume the search, then export its best hyperparameters."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("study", help="the study's folder")
    parser.add_argument("manifest", nargs="?", help="CSV of the radiographs, for a new study")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--dropout-rate", type=float)
    arguments = parser.parse_args()

    study = Study(arguments.study, arguments.manifest, progress=ConsoleProgress())
    tuner = study.regime_2(arguments.batch_size, arguments.dropout_rate)
    print(tuner.results().nlargest(10, "score").to_string(index=False))
    project = read_project(tuner.project_folder)
    write_published_regime_2(project, study.directory / "regime_2.csv")
    best = export_best_hyperparameters(tuner.project_folder, f"{arguments.study}/regime_2.json")
    print(best["hyperparameters"])


if __name__ == "__main__":
    main()
