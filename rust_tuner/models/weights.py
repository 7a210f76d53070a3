"""Finds the file of a backbone's weights and checks that it fits the backbone, without TensorFlow.

Downloading and loading belong to `backbones`.
"""

import hashlib
import io
import math
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rust_tuner.errors import WeightsError, private
from rust_tuner.files import sha256_of_file, sha256_of_text
from rust_tuner.models.description import BACKBONE, DEMONSTRATION_BACKBONE

WEIGHTS_VARIABLE = "RUST_TUNER_WEIGHTS"
IMAGENET, RANDOM, PHANTOMS = "imagenet", "random", "phantoms"
NAMED_WEIGHTS = (IMAGENET, RANDOM, PHANTOMS)
# A network trained on synthetic radiographs, for the demonstration where nothing can be downloaded.
PHANTOMS_FILE = Path(__file__).with_name("phantoms.weights.h5")
# What is wrong with a backbone that has seen no photographs and no radiographs of patients.
UNTRAINED = {RANDOM: "was never trained", PHANTOMS: "was trained on synthetic radiographs only"}
IMAGENET_FILE = "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"
IMAGENET_MD5 = "bcbd6486424b2319ff4ef7d526e38f63"
RANDOM_SEED = 0
# Of InceptionV3 without top (Szegedy et al., CVPR 2016), as Keras builds it.
NUM_CONVOLUTIONS = 94
NUM_KERNEL_WEIGHTS = 21_751_136

# Of the files that `save_weights` of Keras 3 writes.
_NEW_SUFFIX = ".weights.h5"
_SUFFIXES = (".h5", ".hdf5", ".keras")
_WEIGHTS_IN_KERAS_FILE = "model.weights.h5"


@dataclass(frozen=True)
class BackboneWeights:
    """A backbone's weights, and where they come from.

    Records have the name of a file and its hash; its folder is the user's own.

    Attributes:
        asked: the requested weights: `imagenet`, `random`, `phantoms` or a path.
        path: the file that holds them, or None for random ones.
        sha256: of the file's content, or of a description of the random draw.
    """

    asked: str
    path: Path | None
    sha256: str

    @property
    def backbone(self) -> str:
        """The name of the network that they belong to."""
        return DEMONSTRATION_BACKBONE if self.asked == PHANTOMS else BACKBONE

    def to_json(self) -> dict[str, str | None]:
        """The weights as JSON values for a record."""
        name = self.path.name if self.path is not None else None
        return {"asked": without_folder(self.asked), "file": name, "sha256": self.sha256}


def without_folder(weights: str) -> str:
    """Weights as records name them: `imagenet` or the like, or a file's name without its folder."""
    return weights if weights in NAMED_WEIGHTS else Path(weights).name


def find_local_weights(weights: str | Path) -> BackboneWeights | None:
    """Find a backbone's weights on this machine, without a download.

    Args:
        weights: `imagenet`, `random`, `phantoms`, or a path to an `.h5` or `.keras` file of an
            InceptionV3 without top.

    Returns:
        The weights; None where ImageNet's have not been downloaded yet.

    Raises:
        WeightsError: if a named file does not exist or cannot be read.
    """
    if str(weights) == RANDOM:
        description = f"InceptionV3 random weights, seed {RANDOM_SEED}, version 2"
        return BackboneWeights(RANDOM, None, sha256_of_text(description))
    if str(weights) == PHANTOMS:
        return describe_file(PHANTOMS, PHANTOMS_FILE)
    if str(weights) == IMAGENET:
        named = named_imagenet_file()
        path = _downloaded() if named is None else named
        if path is None:
            return None
    else:
        path = Path(weights)
        if path.suffix not in _SUFFIXES:
            raise WeightsError(
                f"weights={str(weights)!r}; expected 'imagenet', 'random', 'phantoms' or a path "
                "that ends in .h5, .hdf5 or .keras"
            )
    return describe_file(str(weights), path)


def describe_file(asked: str, path: Path) -> BackboneWeights:
    """Weights in a file, with its hash.

    Raises:
        WeightsError: if the file does not exist or cannot be read.
    """
    if not path.is_file():
        fault = "is not a regular file" if path.exists() else "does not exist"
        raise WeightsError(
            f"weights file {private(path)} {fault}; check the path, or give it (--weights)"
        )
    try:
        return BackboneWeights(asked, path, sha256_of_file(path))
    except OSError as error:
        raise WeightsError(
            f"weights file {private(path)} cannot be read ({error.strerror or error}); check its "
            "permissions"
        ) from error


def named_imagenet_file() -> Path | None:
    """The file that `RUST_TUNER_WEIGHTS` names for `imagenet`; None where it is not set.

    Raises:
        WeightsError: if it does not name a file.
    """
    named = os.environ.get(WEIGHTS_VARIABLE)
    if not named:
        return None
    if not Path(named).is_file():
        raise WeightsError(
            f"{WEIGHTS_VARIABLE}={named} is not a file; correct it, or unset it to download the "
            "ImageNet weights"
        )
    return Path(named)


def check_architecture(weights: BackboneWeights) -> None:
    """Check from the shapes in the file that it can hold InceptionV3 without its top.

    Raises:
        WeightsError: if it cannot; the message says what the file holds.
    """
    if weights.path is None or weights.backbone != BACKBONE:
        return
    try:
        shapes = _shapes(weights.path)
    except (OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        raise WeightsError(
            f"{private(weights.path)} does not hold the weights of InceptionV3 without its top: it "
            "cannot "
            f"be read as HDF5 ({str(error).replace(str(weights.path), weights.path.name)})"
        ) from error
    kernels = [shape for shape in shapes if len(shape) == 4]
    counts = (len(kernels), sum(map(math.prod, kernels)))
    if counts != (NUM_CONVOLUTIONS, NUM_KERNEL_WEIGHTS):
        raise WeightsError(
            f"{private(weights.path)} does not hold the weights of InceptionV3 without its top: it "
            "has "
            f"{counts[0]} convolutions with {counts[1]:,} weights, expected {NUM_CONVOLUTIONS} "
            f"with {NUM_KERNEL_WEIGHTS:,}"
        )
    if any(len(shape) == 2 for shape in shapes):
        raise WeightsError(
            f"{private(weights.path)} holds InceptionV3 with its top; use the file without it "
            "(notop)"
        )


def _downloaded() -> Path | None:
    """ImageNet's file where Keras keeps it; None if it is missing or incomplete."""
    home = os.environ.get("KERAS_HOME") or "~/.keras"
    path = Path(home).expanduser() / "models" / IMAGENET_FILE
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "md5").hexdigest()
    except OSError:
        return None
    return path if digest == IMAGENET_MD5 else None


def _shapes(path: Path) -> list[tuple[int, ...]]:
    """The shapes of all arrays of a model's weights, in no particular order.

    Raises:
        WeightsError: for a file of a kind that Keras recognises by another name only.
    """
    if path.suffix != ".keras":
        _refuse_misnamed(path)
        return _shapes_in(path)
    with zipfile.ZipFile(path) as archive:
        return _shapes_in(io.BytesIO(archive.read(_WEIGHTS_IN_KERAS_FILE)))


def _refuse_misnamed(path: Path) -> None:
    """Refuse what Keras 3's `save_weights` wrote under a name that Keras reads as an older kind."""
    import h5py

    with h5py.File(path, "r") as file:
        is_new = "layers" in file and "layer_names" not in file.attrs
    if is_new and not path.name.endswith(_NEW_SUFFIX):
        raise WeightsError(
            f"{private(path)} was written by save_weights of Keras 3, which reads it only if its "
            f"name ends in {_NEW_SUFFIX}; rename it to {path.stem}{_NEW_SUFFIX}"
        )


def _shapes_in(source: Path | IO[bytes]) -> list[tuple[int, ...]]:
    import h5py

    shapes: list[tuple[int, ...]] = []

    def visit(name: str, item: Any) -> None:
        # An optimizer's state has the shapes of the weights too.
        if isinstance(item, h5py.Dataset) and "optimizer" not in name:
            shapes.append(tuple(item.shape))

    with h5py.File(source, "r") as file:
        file.visititems(visit)
    return shapes
