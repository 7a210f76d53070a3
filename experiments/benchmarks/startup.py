"""Import and start-up times, each in processes of their own.

python -m experiments.benchmarks.startup [--repeats 3]
"""

import argparse
import statistics
import subprocess
import sys
from functools import partial

from experiments.benchmarks.common import print_table, timed

STATEMENTS = {
    "python": "pass",
    "import rust_tuner": "import rust_tuner",
    "rust-tuner --help": "import sys; sys.argv = ['rust-tuner', '--help']; "
    "from rust_tuner.cli.app import main; main()",
    "records and export": "from rust_tuner import export_best_hyperparameters",
    "import tensorflow": "import tensorflow",
    "the tuner": "from rust_tuner import CrossValidationTuner",
}


def main() -> None:
    """Time each statement and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    rows = []
    for name, statement in STATEMENTS.items():
        command = [sys.executable, "-c", statement]
        run = partial(subprocess.run, command, capture_output=True, check=True)
        times = [timed(run) for _ in range(arguments.repeats)]
        rows.append((name, f"{statistics.median(times):.2f}", f"{max(times):.2f}"))
    print_table("Start-up: seconds of a whole process", ["what", "median", "worst"], rows)


if __name__ == "__main__":
    main()
