"""Regime I: random search over batch size (16-2048, or what a fold holds) and dropout rate (0-0.5).

    python experiments/regime_1.py MANIFEST.csv STUDY

Run it again after an interruption to resume. At the published scale: 100 trials,
6 folds, 20 epochs. `Protocol.study(batch_size_range=(16, 2048))` keeps the published range on
smaller folds too.
"""

import argparse

from rust_tuner import Study, export_best_hyperparameters
from rust_tuner.analysis.tables import write_published_regime_1
from rust_tuner.console_progress import ConsoleProgress
from rust_tuner.records.project import read_project


def main() -> None:
    """Launch or resume the search, then export its best hyperparameters."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("manifest", help="CSV of the radiographs")
    parser.add_argument("study", help="the study's folder")
    arguments = parser.parse_args()

    study = Study(arguments.study, arguments.manifest, progress=ConsoleProgress())
    tuner = study.regime_1()
    print(tuner.results().nlargest(10, "score").to_string(index=False))
    project = read_project(tuner.project_folder)
    write_published_regime_1(project, study.directory / "regime_1.csv")
    best = export_best_hyperparameters(tuner.project_folder, f"{arguments.study}/regime_1.json")
    print(best["hyperparameters"])


if __name__ == "__main__":
    main()
