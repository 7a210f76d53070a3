"""What the report of a study costs: CPU seconds of the first one, and of one where all is drawn.

    python -m experiments.benchmarks.report STUDY [--repeats 5] [--against CHECKOUT]

STUDY is a finished study; it is copied. CPU seconds of `write_report` alone, without imports, since
other work on the machine does not change them much; the median of repeats that take turns.
CHECKOUT is another version of this repository, which is measured in the same turns.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from experiments.benchmarks.common import print_table

_CODE = """
import sys, time
from rust_tuner.report.html import write_report
import seaborn, rust_tuner.figures.published
start = time.process_time()
write_report(sys.argv[1])
print(time.process_time() - start)
"""
_HERE = Path(__file__).resolve().parents[2]


def cpu_seconds(checkout: Path, study: Path) -> float:
    """The CPU seconds that a version of this package needs for the report of a study."""
    paths = [str(checkout), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-c", _CODE, str(study)],
        # Python looks for modules in the folder that it is started in first.
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def measure(study: Path, checkouts: list[Path], repeats: int) -> dict[tuple[str, str], list[float]]:
    """The times of each version's first report and of the one after it."""
    times: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        for _ in range(repeats):
            for place, checkout in enumerate(checkouts):
                copy = Path(name) / str(place)
                shutil.rmtree(copy, ignore_errors=True)
                shutil.copytree(study, copy, ignore=shutil.ignore_patterns("report"))
                for what in ("first", "again"):
                    times.setdefault((str(checkout), what), []).append(cpu_seconds(checkout, copy))
    return times


def main() -> None:
    """Time the report and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("study", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--against", type=Path)
    arguments = parser.parse_args()
    checkouts = [_HERE] if arguments.against is None else [arguments.against.resolve(), _HERE]
    times = measure(arguments.study, checkouts, arguments.repeats)
    medians = {key: statistics.median(seconds) for key, seconds in times.items()}
    first = medians[str(checkouts[0]), "first"]
    rows = [
        (
            "this version" if checkout == str(_HERE) else "the other one",
            {"first": "first report", "again": "report of unchanged records"}[what],
            f"{medians[checkout, what]:.2f}",
            f"{medians[checkout, what] / first:.2f}",
        )
        for checkout, what in times
    ]
    print_table("Report: CPU seconds", ["version", "what", "median", "ratio"], rows)


if __name__ == "__main__":
    main()
