"""How often `check` flags one person under two ids: where there is none, and where there are some.

    python experiments/same_person.py [--patients 300] [--sample 100] [--repeats 200]

Phantoms, compared by their pictures; with `--weights` by features of a backbone too. From one large
set, samples of patients are drawn; in some of them a few patients with several visits get a second
id for their last visit. Phantoms of one patient share the geometry of the leg exactly.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from rust_tuner.console_progress import ConsoleProgress
from rust_tuner.data.likeness import likeness_of_features, likeness_of_pictures
from rust_tuner.data.manifest import load_manifest
from rust_tuner.data.near_duplicates import fingerprint
from rust_tuner.data.phantoms import write_phantoms
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.steps.checks.same_person import check_same_person


def with_second_ids(radiographs: Radiographs, count: int, rng: np.random.Generator) -> Radiographs:
    """The last visit of `count` patients with several visits under another id."""
    table = radiographs.table.copy()
    visits = table.groupby("patient_id")["visit"].nunique()
    chosen = rng.choice(visits.index[visits > 1].to_numpy(), count, replace=False)
    for patient in chosen:
        mine = table["patient_id"] == patient
        last = table.loc[mine, "visit"].max()
        table.loc[mine & (table["visit"] == last), "patient_id"] = f"{patient}-again"
    return Radiographs(table)


def main() -> None:
    """Draw, compare once, then judge samples and print one line for each number of second ids."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--patients", type=int, default=300)
    parser.add_argument("--sample", type=int, default=100, help="patients in each sample")
    parser.add_argument("--repeats", type=int, default=200, help="samples")
    parser.add_argument("--weights", help="also compare features: imagenet, random or a file")
    parser.add_argument("--image-size", type=int, default=150, help="of the backbone's input")
    arguments = parser.parse_args()
    progress = ConsoleProgress()
    with tempfile.TemporaryDirectory() as folder:
        manifest = write_phantoms(Path(folder), patients=arguments.patients, seed=11)
        radiographs = load_manifest(manifest)
        views = radiographs.table["view"].to_numpy().astype(str)
        prints = fingerprint(radiographs, progress=progress)
        alike = {"pictures": likeness_of_pictures(prints, views, progress=progress)}
        if arguments.weights:
            from rust_tuner.models.backbones import find_weights
            from rust_tuner.models.features import FeatureRecipe, extract_features

            recipe = FeatureRecipe(
                find_weights(arguments.weights), arguments.image_size, "squash", "none"
            )
            features = extract_features(radiographs.images, recipe, progress=progress)
            alike["features"] = likeness_of_features(features.values[:, 0], views)
        print(check_same_person(radiographs, alike, None).reason)
        rng = np.random.default_rng(0)
        owners = radiographs.patient_ids.astype(str)
        for planted in (0, 1, 3):
            alarms = found = 0
            for _ in range(arguments.repeats):
                who = rng.choice(np.unique(owners), arguments.sample, replace=False)
                rows = np.flatnonzero(np.isin(owners, who))
                sample = with_second_ids(radiographs.subset(rows), planted, rng)
                part = {name: full[np.ix_(rows, rows)] for name, full in alike.items()}
                findings = check_same_person(sample, part, None).findings
                pairs = {
                    tuple(sorted(p.split(" (")[0] for p in line.split("patient ")[1:]))
                    for line in findings
                }
                true = {pair for pair in pairs if f"{pair[0]}-again" == pair[-1]}
                found += len(true)
                alarms += bool(pairs - true)
            print(
                f"{planted} planted: {found} of {planted * arguments.repeats} found, a false alarm "
                f"in {alarms} of {arguments.repeats} samples of {arguments.sample} patients"
            )


if __name__ == "__main__":
    main()
