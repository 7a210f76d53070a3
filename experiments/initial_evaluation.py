"""The four first models: LeNet, InceptionV3 end to end, frozen with RadImageNet's and ImageNet's.

    python experiments/initial_evaluation.py MANIFEST.csv STUDY [--radimagenet-weights FILE.h5]

10 folds, 50 epochs, Adam at its defaults, as published. Run it again after an interruption
to resume. Writes the published columns `model,split,epoch,fold,auroc` to
STUDY/initial_evaluation.csv.
"""

import argparse

from rust_tuner import Study
from rust_tuner.analysis.tables import write_published_curves
from rust_tuner.console_progress import ConsoleProgress
from rust_tuner.records.baselines import read_baselines, suggested_backbone


def main() -> None:
    """Run or resume the models, print their table and write their curves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("manifest", help="CSV of the radiographs")
    parser.add_argument("study", help="the study's folder")
    parser.add_argument("--radimagenet-weights", help="RadImageNet-InceptionV3_notop.h5")
    arguments = parser.parse_args()

    study = Study(arguments.study, arguments.manifest, progress=ConsoleProgress())
    table = study.baselines(radimagenet_weights=arguments.radimagenet_weights)
    print(table.to_string(index=False))
    write_published_curves(
        read_baselines(study.directory), study.directory / "initial_evaluation.csv"
    )
    print(suggested_backbone(table))


if __name__ == "__main__":
    main()
