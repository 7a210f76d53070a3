"""How long commands take to answer: CPU seconds of whole processes, and their ratio to a bare one.

    python -m experiments.benchmarks.startup [--repeats 3] [--image-size 299]

CPU seconds, since other work on the machine does not change them much; the median of repeats that
take turns. The bare process only imports what draws the command line, `import typer, rich`. The
study that `status`, `export` and `predict` read is a small one on phantoms, made first.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from experiments.benchmarks.common import print_table

BARE = "python -c 'import typer, rich'"
# What is tried, and the most CPU seconds that it should take; None where TensorFlow's import or
# another package's decides.
COMMANDS: dict[str, tuple[list[str], float | None]] = {
    BARE: (["-c", "import typer, rich"], None),
    "import rust_tuner": (["-c", "import rust_tuner"], 0.5),
    "rust-tuner --version": (["-m", "rust_tuner", "--version"], 0.5),
    "rust-tuner --help": (["-m", "rust_tuner", "--help"], 0.5),
    "rust-tuner regime1 --help": (["-m", "rust_tuner", "regime1", "--help"], 0.5),
    "a wrong option": (["-m", "rust_tuner", "regime1", "STUDY", "--folds", "1"], 1.0),
    "a wrong path": (["-m", "rust_tuner", "regime1", "NEW", "--manifest", "none.csv"], 1.0),
    "a wrong choice": (["-m", "rust_tuner", "regime1", "STUDY", "--batch-sizes", "9,3"], 1.0),
    "not a study": (["-m", "rust_tuner", "report", "phantoms"], 1.0),
    "rust-tuner status": (["-m", "rust_tuner", "status", "STUDY"], 1.2),
    "rust-tuner export": (["-m", "rust_tuner", "export", "STUDY", "best.json"], 1.2),
    "import tensorflow": (["-c", "import tensorflow"], None),
    "rust-tuner predict, one image": (
        ["-m", "rust_tuner", "predict", "STUDY/final/model.keras", "IMAGE"],
        8.0,
    ),
}


def make_study(folder: Path, *, image_size: int, weights: str) -> None:
    """Write phantoms and a study of them with a final model, both small."""
    from rust_tuner import Protocol, Study
    from rust_tuner.data.phantoms import write_phantoms
    from rust_tuner.progress import Silent

    manifest = write_phantoms(folder / "phantoms", patients=10)
    protocol = Protocol.study(
        weights=weights,
        image_size=image_size,
        num_folds=2,
        epochs=1,
        trials=3,
        learning_rates=(0.01, 0.001),
        epsilons=(0.1, 1e-7),
        final_folds=2,
        final_epochs=1,
    )
    study = Study(folder / "STUDY", manifest, protocol, progress=Silent())
    study.regime_1()
    study.regime_2()
    study.final()


def cpu_seconds(arguments: list[str], folder: Path) -> float:
    """The CPU seconds of a Python process with its children, in a folder."""
    before = os.times()
    subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, check=False)
    after = os.times()
    return (
        after.children_user + after.children_system - before.children_user - before.children_system
    )


def main() -> None:
    """Time each command and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--image-size", type=int, default=299)
    parser.add_argument("--weights", default="random", help="the final model's backbone")
    options = parser.parse_args()
    repeats: int = options.repeats
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # The package may be found by a relative path.
        os.environ["PYTHONPATH"] = os.pathsep.join(
            str(Path(path).resolve()) for path in sys.path if path != ""
        )
        os.environ.setdefault("RUST_TUNER_CACHE", str(folder / "cache"))
        make_study(folder, image_size=options.image_size, weights=options.weights)
        image = str(min((folder / "phantoms" / "images").iterdir()))
        times: dict[str, list[float]] = {what: [] for what in COMMANDS}
        for _ in range(repeats):
            for what, (arguments, _) in COMMANDS.items():
                own = [image if item == "IMAGE" else item for item in arguments]
                times[what].append(cpu_seconds(own, folder))
    medians = {what: statistics.median(seconds) for what, seconds in times.items()}
    rows = [
        (
            what,
            f"{medians[what]:.2f}",
            f"{max(times[what]):.2f}",
            f"{medians[what] / medians[BARE]:.1f}x",
            "" if limit is None else f"{limit:.1f}",
        )
        for what, (_, limit) in COMMANDS.items()
    ]
    print_table(
        "Start-up: CPU seconds of a whole process",
        ["what", "median", "worst", "of the bare one", "limit"],
        rows,
    )


if __name__ == "__main__":
    main()
