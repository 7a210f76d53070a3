"""Forks one child for each line on standard input, so that TensorFlow is imported only once.

A line is JSON: `{"do": one of TASKS, ...}`, with the arguments of that task.
It answers with the child's process id, and with its exit status once it has ended.
"""

import json
import os
import sys
import traceback

import hundred_trials
import search_problems

from rust_tuner import Protocol, Study


def study(folder: str, manifest: str, cache: str) -> None:
    protocol = Protocol.study(
        weights="random",
        image_size=75,
        num_folds=3,
        epochs=2,
        trials=16,
        batch_size_range=(4, 16),
        learning_rates=(1e-2, 1e-3),
        epsilons=(1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8),
    )
    opened = Study(folder, manifest, protocol, cache=cache)
    opened.regime_1()
    opened.regime_2()


def baselines(folder: str, manifest: str, cache: str) -> None:
    protocol = Protocol.study(
        weights="random", image_size=75, baseline_folds=3, baseline_epochs=2, baseline_batch_size=8
    )
    Study(folder, manifest, protocol, cache=cache).baselines(models=["lenet1998"])


TASKS = {
    "study": study,
    "baselines": baselines,
    "arrays": search_problems.run_search,
    "growing": search_problems.grow,
    "callbacks": search_problems.run_search_with_callbacks,
    "own fit": search_problems.run_search_with_own_fit,
    "memory": hundred_trials.search_with_memory,
}


def main() -> None:
    for line in sys.stdin:
        task = json.loads(line)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                TASKS[task.pop("do")](**task)  # type: ignore[operator]
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        print(child, flush=True)
        print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    main()
