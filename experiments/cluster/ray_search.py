"""A search whose trials run in a Ray cluster.

    python experiments/cluster/ray_search.py FOLDER [--workers ray] [--trials 32]

FOLDER is on a file system that every node sees under the same path. The variable RAY_ADDRESS names
the cluster; without it, Ray looks for one on this machine, and starts one if there is none. Run the
same command again to resume, with any number of workers.
"""

import argparse
from pathlib import Path

import keras
import keras_tuner
import numpy as np

from rust_tuner import CrossValidationTuner, RandomSearchOracle


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    """A small classifier."""
    model = keras.Sequential([keras.Input((64,))])
    model.add(keras.layers.Dense(hp.Int("units", 16, 128, step=16), activation="relu"))
    model.add(keras.layers.Dropout(hp.Float("dropout_rate", 0.0, 0.5)))
    model.add(keras.layers.Dense(1, activation="sigmoid"))
    rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log")
    model.compile(keras.optimizers.Adam(rate), "binary_crossentropy", metrics=["accuracy"])
    return model


def main() -> None:
    """Search, and print the trials."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", default="ray")
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2_000, 64)).astype("float32")
    y = (x[:, :8].sum(axis=1) + rng.normal(size=len(x)) > 0).astype("float32")
    tuner = CrossValidationTuner(
        build,
        RandomSearchOracle("val_accuracy", max_trials=options.trials),
        cv=5,
        directory=options.folder,
        project_name="in_ray",
    )
    tuner.search(x, y, epochs=options.epochs, workers=options.workers)
    print(tuner.results().to_string())


if __name__ == "__main__":
    main()
