"""Facts of the study's frozen model, defined once and without Keras.

The networks in `architectures`, the identity of cached features and the reporting checklists all
use these values.
"""

from rust_tuner.labels import NUM_LABELS

BACKBONE = "InceptionV3"
# Eight convolutions, for the demonstration where InceptionV3 has no weights.
DEMONSTRATION_BACKBONE = "small demonstration network"
NUM_FEATURES = 2048
POOLING = "global maximum pooling"
HEAD_UNITS = (1024, 512, 256)
HEAD_ACTIVATION = "relu"
OUTPUT_ACTIVATION = "sigmoid"

_ACTIVATION_NAMES = {"relu": "ReLU"}


def describe_backbone(weights: str) -> str:
    """The frozen backbone in words, with what its weights come from.

    Args:
        weights: those asked for: `imagenet`, `random`, `phantoms` or a path.

    Examples:
        >>> describe_backbone("imagenet")
        'pretrained InceptionV3'
    """
    if weights == "random":
        return f"randomly initialised {BACKBONE}"
    if weights == "phantoms":
        return f"{DEMONSTRATION_BACKBONE} (trained on synthetic radiographs)"
    return f"pretrained {BACKBONE}"


def describe_model(weights: str) -> str:
    """The frozen model in words, as a paper's methods section has them.

    Args:
        weights: those asked for: `imagenet`, `random`, `phantoms` or a path.

    Examples:
        >>> print(describe_model("imagenet").partition(",")[0])
        pretrained InceptionV3 without top
    """
    *first, last = (str(units) for units in HEAD_UNITS)
    activation = _ACTIVATION_NAMES[HEAD_ACTIVATION]
    return (
        f"{describe_backbone(weights)} without top, frozen (batch normalisation in inference "
        f"mode), {POOLING}, dense layers of {', '.join(first)} and {last} units with "
        f"{activation} and dropout, and {NUM_LABELS} {OUTPUT_ACTIVATION} outputs"
    )
