"""What the report of a study costs: the first one, and one of unchanged records.

    python -m experiments.benchmarks.report STUDY [--repeats 5] [--against CHECKOUT]

STUDY is a finished study; it is copied. `write_report` alone is measured, without imports: seconds
of the processors, of all its processes, and seconds of the clock. Other work on the machine changes
the first less. Both are medians of repeats that take turns. CHECKOUT is another version of this
repository, which is measured in the same turns. Figures of the two that differ in a pixel of a PNG
or a byte of an SVG are named.
"""

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from experiments.benchmarks.common import print_table

_CODE = """
import json, os, sys, time
from rust_tuner.report.html import write_report
import seaborn, rust_tuner.figures.published
def spent():
    times = os.times()
    return sum(times[:4]), times.elapsed
start = spent()
write_report(sys.argv[1])
print(json.dumps([end - begin for end, begin in zip(spent(), start)]))
"""
_HERE = Path(__file__).resolve().parents[2]
_WHAT = {"first": "first report", "again": "report of unchanged records"}


@dataclass(frozen=True)
class Spent:
    """What a report took, in seconds.

    Attributes:
        processor: of all processes.
        clock: from beginning to end.
    """

    processor: float
    clock: float


def spent(checkout: Path, study: Path) -> Spent:
    """What a version of this package needs for the report of a study."""
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
    return Spent(*json.loads(done.stdout))


def pictures(report: Path) -> dict[str, str]:
    """The name of each figure's files, and the hash of what they show."""
    shown = {}
    for path in sorted((report / "figures").glob("*.*g")):
        content = path.read_bytes()
        if path.suffix == ".png":
            with Image.open(path) as image:
                content = (
                    f"{image.size} {image.mode} {image.info['dpi']}".encode() + image.tobytes()
                )
        shown[path.name] = hashlib.sha256(content).hexdigest()
    return shown


def measure(
    study: Path, checkouts: list[Path], repeats: int
) -> tuple[dict[tuple[str, str], list[Spent]], list[dict[str, str]]]:
    """What each version's first report and the one after it took, and what their figures show."""
    times: dict[tuple[str, str], list[Spent]] = {}
    with tempfile.TemporaryDirectory() as name:
        copies = [Path(name) / str(place) / study.name for place in range(len(checkouts))]
        for _ in range(repeats):
            for copy, checkout in zip(copies, checkouts, strict=True):
                shutil.rmtree(copy, ignore_errors=True)
                shutil.copytree(study, copy, ignore=shutil.ignore_patterns("report"))
                for what in _WHAT:
                    times.setdefault((str(checkout), what), []).append(spent(checkout, copy))
        return times, [pictures(copy / "report") for copy in copies]


def main() -> None:
    """Time the report and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("study", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--against", type=Path)
    arguments = parser.parse_args()
    checkouts = [_HERE] if arguments.against is None else [arguments.against.resolve(), _HERE]
    times, shown = measure(arguments.study.resolve(), checkouts, arguments.repeats)
    medians = {
        key: [
            statistics.median(getattr(one, name) for one in all_) for name in ("processor", "clock")
        ]
        for key, all_ in times.items()
    }
    first = medians[str(checkouts[0]), "first"]
    rows = [
        (
            "this version" if checkout == str(_HERE) else "the other one",
            _WHAT[what],
            *(
                text
                for value, whole in zip(medians[checkout, what], first, strict=True)
                for text in (f"{value:.2f}", f"{value / whole:.2f}")
            ),
        )
        for checkout, what in times
    ]
    header = ["version", "what", "processor", "ratio", "clock", "ratio"]
    print_table("Report: median seconds", header, rows)
    if len(shown) > 1:
        names = sorted(shown[0].keys() | shown[1].keys())
        changed = [name for name in names if shown[0].get(name) != shown[1].get(name)]
        print(f"figures that differ: {len(changed)} of {len(names)} files {' '.join(changed)}")


if __name__ == "__main__":
    main()
