"""The HyperModels of the study: the models that the hyperparameters of `space` make.

Every hyperparameter is declared up front; one that a regime does not search is fixed, so that
each trial records all four.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import keras
import keras_tuner

from rust_tuner.data.images import PREPROCESSING
from rust_tuner.data.reading import WHOLE, Framing
from rust_tuner.errors import ProtocolError
from rust_tuner.models.architectures import (
    LeNet1998,
    TransferLearningModel,
    classifier_head,
    masked_binary_crossentropy,
)
from rust_tuner.models.backbones import IMAGE_SIZE, find_weights
from rust_tuner.models.description import NUM_FEATURES
from rust_tuner.models.features import FeatureRecipe
from rust_tuner.models.runtime import jit_compiled
from rust_tuner.models.space import SearchSpace as SearchSpace
from rust_tuner.models.weights import BackboneWeights
from rust_tuner.protocol import Extractor, Flips, Precision, Protocol, Resize

ImageModel = Literal["lenet1998", "inceptionv3_end2end"]


class TransferLearningHyperModel(keras_tuner.HyperModel):  # type: ignore[misc]
    """The frozen-InceptionV3 transfer-learning model as KerasTuner sees it.

    A search on radiographs uses the frozen backbone and the head separately, so that the backbone
    sees each image once; `build` returns the whole model.
    """

    def __init__(
        self,
        space: SearchSpace | None = None,
        *,
        weights: str | Path = "imagenet",
        flips: Flips = "horizontal_and_vertical",
        image_size: int = IMAGE_SIZE,
        resize: Resize = "squash",
        masked_loss: bool = False,
        precision: Precision = "float32",
        framing: Framing = WHOLE,
        extractor: Extractor = "keras",
    ) -> None:
        """Set the options that all trials share.

        Args:
            space: the search space; None for the study's Regime I.
            weights: `imagenet`, `random` or a path.
            flips: random flips of the training images.
            image_size: side of the square input in pixels.
            resize: how a radiograph becomes square.
            masked_loss: leave labels of invisible cortices out of the loss.
            precision: of the frozen backbone and the head used separately; `build` is float32.
            framing: which part of a radiograph is used.
            extractor: what computes the features of the frozen backbone.
        """
        super().__init__()
        protocol = Protocol.study()
        self.space = space or SearchSpace(
            batch_size=protocol.batch_size_range, dropout_rate=protocol.dropout_rate_range
        )
        self.weights = weights
        self.flips = flips
        self.image_size = image_size
        self.resize: Resize = resize
        self.masked_loss = masked_loss
        self.precision: Precision = precision
        self.framing = framing
        self.extractor: Extractor = extractor

    @classmethod
    def from_protocol(cls, protocol: Protocol, space: SearchSpace) -> "TransferLearningHyperModel":
        """The hypermodel that a protocol describes, on a search space."""
        return cls(
            space,
            weights=protocol.weights,
            flips=protocol.flips,
            image_size=protocol.image_size,
            resize=protocol.resize,
            masked_loss=protocol.masked_loss,
            precision=protocol.precision,
            framing=Framing.of(protocol.crop, protocol.remove_borders),
            extractor=protocol.extractor,
        )

    # Tells a tuner that it need not build a model to find hyperparameters.
    declares_everything = True

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        """Declare every hyperparameter, without building anything."""
        self.space.declare(hp)

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Build and compile the whole model, backbone included."""
        self.declare_hyperparameters(hp)
        model = TransferLearningModel(
            dropout_rate=hp.get("dropout_rate"),
            weights=self.weights,
            flips=self.flips,
            image_size=self.image_size,
        )
        self.compile(model, hp)
        return model

    def build_head(
        self,
        hp: keras_tuner.HyperParameters,
        num_features: int = NUM_FEATURES,
        metrics: list[Any] | None = None,
    ) -> keras.Model:
        """Build and compile the head alone, for features of the frozen backbone."""
        self.declare_hyperparameters(hp)
        head = classifier_head(hp.get("dropout_rate"), num_features, self.precision)
        self.compile(head, hp, metrics)
        return head

    def feature_recipe(self) -> FeatureRecipe:
        """The recipe of the features: the frozen backbone and its preprocessing.

        Raises:
            WeightsError: if the weights are unavailable.
        """
        return FeatureRecipe(
            find_weights(self.weights),
            self.image_size,
            self.resize,
            self.flips,
            self.precision,
            self.framing,
            self.extractor,
        )

    def compile(
        self, model: keras.Model, hp: keras_tuner.HyperParameters, metrics: list[Any] | None = None
    ) -> None:
        """Compile with the study's loss and Adam at the trial's learning rate and epsilon."""
        _compile(model, hp, masked_loss=self.masked_loss, metrics=metrics)


@dataclass(frozen=True)
class ImageRecipe:
    """How radiographs become the input of a model that is trained on images.

    Attributes:
        weights: the initial weights.
        image_size: side of the square input in pixels.
        resize: how a radiograph becomes square.
        flips: random flips of the training images, made by the model itself.
        precision: of the model's convolutions and products.
        preprocessing: how intensities are scaled.
        framing: which part of a radiograph is used.
    """

    weights: BackboneWeights
    image_size: int
    resize: Resize
    flips: Flips
    precision: Precision = "float32"
    preprocessing: str = PREPROCESSING
    framing: Framing = WHOLE


class ImageHyperModel(keras_tuner.HyperModel):  # type: ignore[misc]
    """A model that is trained on images from scratch, as KerasTuner sees it.

    Its initial weights come from Keras's global seed, with one exception: the convolutions of
    `inceptionv3_end2end` are drawn from a fixed seed (`backbones.find_weights`), the same ones in
    every fold, so that a record can name them; its classifier is seeded like everything else.

    Where the machine has several GPUs, the model is built for all of them (TensorFlow's
    `MirroredStrategy`); BatchNormalization then sees each GPU's share of a batch.
    """

    def __init__(
        self,
        kind: ImageModel,
        space: SearchSpace | None = None,
        *,
        flips: Flips = "horizontal_and_vertical",
        image_size: int = IMAGE_SIZE,
        resize: Resize = "squash",
        masked_loss: bool = False,
        precision: Precision = "float32",
        framing: Framing = WHOLE,
    ) -> None:
        """Set the options that all trials share.

        Args:
            kind: `lenet1998`, or `inceptionv3_end2end` (InceptionV3 with the study's classifier,
                all of it trained).
            space: the search space; None for the batch size of the study's first models, its
                dropout rate if the model has dropout, and Adam's defaults.
            flips: random flips of the training images.
            image_size: side of the square input in pixels.
            resize: how a radiograph becomes square.
            masked_loss: leave labels of invisible cortices out of the loss.
            precision: of convolutions and products; bfloat16 is Keras's `mixed_bfloat16`.
            framing: which part of a radiograph is used.

        Raises:
            ProtocolError: for an unknown kind.
        """
        super().__init__()
        if kind not in get_args(ImageModel):
            raise ProtocolError(f"kind={kind!r}; expected {' or '.join(get_args(ImageModel))}")
        protocol = Protocol.study()
        self.kind: ImageModel = kind
        self.space = space or self._fixed(protocol)
        self.flips = flips
        self.image_size = image_size
        self.resize: Resize = resize
        self.masked_loss = masked_loss
        self.precision: Precision = precision
        self.framing = framing

    @classmethod
    def from_protocol(cls, protocol: Protocol, kind: ImageModel) -> "ImageHyperModel":
        """The hypermodel that a protocol describes, every hyperparameter fixed."""
        made = cls(
            kind,
            flips=protocol.flips,
            image_size=protocol.image_size,
            resize=protocol.resize,
            masked_loss=protocol.masked_loss,
            precision=protocol.precision,
            framing=Framing.of(protocol.crop, protocol.remove_borders),
        )
        made.space = made._fixed(protocol)
        return made

    # Tells a tuner that it need not build a model to find hyperparameters.
    declares_everything = True

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        """Declare every hyperparameter, without building anything."""
        self.space.declare(hp)

    def build(
        self, hp: keras_tuner.HyperParameters, metrics: list[Any] | None = None
    ) -> keras.Model:
        """Build and compile the model, on all GPUs of the machine where there are several."""
        self.declare_hyperparameters(hp)
        with _on_all_gpus():
            if self.kind == "lenet1998":
                model = LeNet1998(self.flips, self.image_size, precision=self.precision)
            else:
                model = TransferLearningModel(
                    dropout_rate=hp.get("dropout_rate"),
                    weights="random",
                    trainable=True,
                    flips=self.flips,
                    image_size=self.image_size,
                    precision=self.precision,
                )
            _compile(model, hp, masked_loss=self.masked_loss, metrics=metrics)
            # The optimiser's state must be on the same devices as the weights.
            model.optimizer.build(model.trainable_variables)
        return model

    def image_recipe(self) -> ImageRecipe:
        """How radiographs become the model's input."""
        return ImageRecipe(
            find_weights("random"),
            self.image_size,
            self.resize,
            self.flips,
            self.precision,
            framing=self.framing,
        )

    @property
    def num_replicas(self) -> int:
        """The number of devices that train a model together."""
        return max(1, _num_gpus())

    def _fixed(self, protocol: Protocol) -> SearchSpace:
        has_dropout = self.kind != "lenet1998"
        return SearchSpace(
            batch_size=protocol.baseline_batch_size,
            dropout_rate=protocol.baseline_dropout_rate if has_dropout else None,
        )


def _compile(
    model: keras.Model,
    hp: keras_tuner.HyperParameters,
    *,
    masked_loss: bool,
    metrics: list[Any] | None,
) -> None:
    model.compile(
        optimizer=keras.optimizers.Adam(
            learning_rate=hp.get("learning_rate"), epsilon=hp.get("epsilon")
        ),
        loss=masked_binary_crossentropy if masked_loss else "binary_crossentropy",
        metrics=metrics,
        jit_compile=jit_compiled(),
    )


def _num_gpus() -> int:
    """GPUs that a model can be built for at once; 0 on any backend but TensorFlow."""
    if keras.backend.backend() != "tensorflow":
        return 0
    import tensorflow as tf

    return len(tf.config.list_logical_devices("GPU"))


def _on_all_gpus() -> contextlib.AbstractContextManager[Any]:
    if _num_gpus() < 2:
        return contextlib.nullcontext()
    import tensorflow as tf

    scope: contextlib.AbstractContextManager[Any] = tf.distribute.MirroredStrategy().scope()
    return scope
