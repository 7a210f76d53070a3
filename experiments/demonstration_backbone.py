"""Trains the small backbone that `rust-tuner demo` uses where no weights can be downloaded.

python experiments/demonstration_backbone.py FOLDER rust_tuner/models/phantoms.weights.h5

Draws 3,000 synthetic patients in FOLDER, whose seed no demonstration uses, trains the backbone with
one linear layer on their scores, and writes its weights with their origin beside them
(phantoms.json). About 25 minutes on two cores; the drawings are kept and not repeated. Prints the
AUROC of visible cortices on 300 other patients.
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from rust_tuner import Radiographs, __version__, load_manifest
from rust_tuner.console_progress import ConsoleProgress
from rust_tuner.data.images import load_image
from rust_tuner.data.phantoms import write_phantoms
from rust_tuner.files import sha256_of_file
from rust_tuner.metrics import macro_auroc
from rust_tuner.models.demonstration_backbone import build_layers

# Seeds of drawings, far from those that people give to `rust-tuner phantoms` and `demo`.
TRAINING_SEED, VALIDATION_SEED = 2_900_000_001, 2_900_000_002
TRAINING_PATIENTS, VALIDATION_PATIENTS = 3_000, 300
IMAGE_SIZE = 149
BATCH_SIZE = 32


def main() -> None:
    """Draw, train, validate and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--patients", type=int, default=TRAINING_PATIENTS)
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()
    training = read(arguments.folder / "training", arguments.patients, TRAINING_SEED)
    validation = read(arguments.folder / "validation", VALIDATION_PATIENTS, VALIDATION_SEED)
    keras.utils.set_random_seed(0)
    backbone, score = train(*training, epochs=arguments.epochs, validation=validation)
    backbone.save_weights(arguments.weights)
    origin = {
        "sha256": sha256_of_file(arguments.weights),
        "script": "experiments/demonstration_backbone.py",
        "training": f"{arguments.patients} phantom patients of seed {TRAINING_SEED}",
        "validation": f"{VALIDATION_PATIENTS} phantom patients of seed {VALIDATION_SEED}",
        "image_size": IMAGE_SIZE,
        "epochs": arguments.epochs,
        "cortex_auroc": round(score, 4),
        "weights": backbone.count_params(),
        "versions": {
            "rust_tuner": __version__,
            **{name: version(name) for name in ("keras", "tensorflow")},
        },
    }
    described = arguments.weights.with_name("phantoms.json")
    described.write_text(json.dumps(origin, indent=2) + "\n")
    print(f"{backbone.count_params():,} weights -> {arguments.weights}, {described}")


def read(folder: Path, patients: int, seed: int) -> tuple[Radiographs, npt.NDArray[np.uint8]]:
    """Phantoms and their pixels (n, 149, 149); what is drawn is not drawn again."""
    manifest, pixels = folder / "manifest.csv", folder / "pixels.npy"
    with ConsoleProgress().task("drawing", 1):
        if not manifest.exists():
            write_phantoms(folder, patients=patients, seed=seed)
    radiographs = load_manifest(manifest)
    if not pixels.exists():
        images = [load_image(path, size=IMAGE_SIZE)[..., 0] for path in radiographs.images]
        np.save(pixels, np.rint((np.stack(images) + 1) * 127.5).astype(np.uint8))
    return radiographs, np.load(pixels, allow_pickle=False)


def train(
    radiographs: Radiographs,
    pixels: npt.NDArray[np.uint8],
    *,
    epochs: int,
    validation: tuple[Radiographs, npt.NDArray[np.uint8]],
) -> tuple[keras.Model, float]:
    """Train the backbone and a linear layer on flipped images; a label counts where it is visible.

    Returns:
        The backbone alone, and the AUROC of visible cortices on the other patients at the end.
    """
    backbone = build_layers(IMAGE_SIZE)
    pooled = keras.layers.GlobalMaxPooling2D()(backbone.output)
    pooled = keras.layers.Dropout(0.3)(pooled)
    model = keras.Model(backbone.input, keras.layers.Dense(18, activation="sigmoid")(pooled))
    steps = -(-len(pixels) // BATCH_SIZE)
    rate = keras.optimizers.schedules.CosineDecay(2e-3, epochs * steps)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=1e-3), masked_loss)
    targets = np.concatenate([radiographs.labels, weights_of(radiographs)], axis=1)
    data = (
        tf.data.Dataset.from_tensor_slices((pixels, targets.astype(np.float32)))
        .shuffle(len(pixels), seed=0)
        .map(flipped)
        .batch(BATCH_SIZE)
        .prefetch(2)
    )
    others, other_pixels = validation
    score = Score(others, other_pixels)
    model.fit(data, epochs=epochs, verbose=2, callbacks=[score])
    return backbone, score.value


def weights_of(radiographs: Radiographs) -> npt.NDArray[np.float32]:
    """1 for the view and the labels of visible cortices, else 0: (n, 18)."""
    views = np.ones((len(radiographs), 2), dtype=np.float32)
    return np.concatenate([views, radiographs.visible.astype(np.float32)], axis=1)


def masked_loss(targets: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """Binary cross-entropy, mean over the labels that count."""
    labels, weights = targets[:, :18], targets[:, 18:]
    scores = tf.clip_by_value(scores, 1e-6, 1 - 1e-6)
    entropy = -(labels * tf.math.log(scores) + (1 - labels) * tf.math.log(1 - scores))
    return tf.reduce_sum(entropy * weights, axis=1) / tf.reduce_sum(weights, axis=1)


def flipped(image: tf.Tensor, target: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """A random flip of one image, scaled to [-1, 1], with three equal channels."""
    image = tf.cast(image, tf.float32)[..., None] / 127.5 - 1
    image = tf.image.random_flip_up_down(tf.image.random_flip_left_right(image))
    return tf.repeat(image, 3, axis=2), target


class Score(keras.callbacks.Callback):  # type: ignore[misc]  # Keras publishes no types
    """Prints the AUROC of visible cortices on other patients after each epoch."""

    def __init__(self, radiographs: Radiographs, pixels: npt.NDArray[np.uint8]) -> None:
        """Keep the patients."""
        super().__init__()
        self.value = float("nan")
        self._radiographs = radiographs
        self._images = np.repeat(pixels[..., None].astype(np.float32) / 127.5 - 1, 3, axis=3)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Predict and print."""
        scores = self.model.predict(self._images, verbose=0)[:, 2:]
        labels, visible = self._radiographs.labels[:, 2:], self._radiographs.visible
        self.value = macro_auroc(labels, scores, mask=visible)
        print(f"epoch {epoch + 1}: cortex AUROC {self.value:.3f} on other patients", flush=True)


if __name__ == "__main__":
    main()
