"""What decides a feature vector beside the image: backbone, preprocessing, precision and engine."""

from dataclasses import dataclass

from rust_tuner.data.reading import WHOLE, Framing
from rust_tuner.files import sha256_of_json
from rust_tuner.models.description import POOLING
from rust_tuner.models.onnx_packages import onnxruntime_version
from rust_tuner.models.weights import NAMED_WEIGHTS, BackboneWeights
from rust_tuner.protocol import Extractor, Flips, Precision, Resize

_FORMAT_VERSION = 1


@dataclass(frozen=True)
class FeatureRecipe:
    """Everything except the image that determines a feature vector.

    Attributes:
        weights: the backbone's weights.
        image_size: side of the square input in pixels.
        resize: how a radiograph becomes square.
        flips: which variants are extracted.
        precision: of the backbone's convolutions; features are float32.
        framing: which part of a radiograph is used.
        extractor: what computes the features.
    """

    weights: BackboneWeights
    image_size: int
    resize: Resize
    flips: Flips
    precision: Precision = "float32"
    framing: Framing = WHOLE
    extractor: Extractor = "keras"

    @property
    def described(self) -> dict[str, object]:
        """The recipe for people, without a path."""
        name = self.weights.asked if self.weights.asked in NAMED_WEIGHTS else "a file"
        if self.weights.path is not None and name == "a file":
            name = self.weights.path.name
        return {
            "backbone": self.weights.backbone,
            "weights": name,
            "image_size": self.image_size,
            "resize": self.resize,
            "flips": self.flips,
            "precision": self.precision,
            **self.framing.to_json(),
        }

    @property
    def sha256(self) -> str:
        """The recipe's identity, in which no version and no machine appears."""
        return sha256_of_json(
            {
                "format": _FORMAT_VERSION,
                "backbone": f"{self.weights.backbone}, {POOLING}",
                "weights": self.weights.sha256,
                "image_size": self.image_size,
                "resize": self.resize,
                "flips": self.flips,
                "precision": self.precision,
                # Nothing for the whole picture and for Keras, so that earlier features are used
                # again.
                **self.framing.to_json(),
                **({} if self.extractor == "keras" else {"extractor": self.extractor}),
            }
        )

    @property
    def engine(self) -> dict[str, str]:
        """The package that computes in place of Keras, with its version; empty for Keras.

        Raises:
            ExtraError: if it is not installed.
        """
        return {} if self.extractor == "keras" else {self.extractor: onnxruntime_version()}
