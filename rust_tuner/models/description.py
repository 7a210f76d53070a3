"""Facts of the study's frozen model, defined once and without Keras.

The networks in `architectures`, the identity of cached features and the reporting checklists all
use these values.
"""

from rust_tuner.labels import NUM_LABELS

BACKBONE = "InceptionV3"
NUM_FEATURES = 2048
POOLING = "global maximum pooling"
HEAD_UNITS = (1024, 512, 256)
HEAD_ACTIVATION = "relu"
OUTPUT_ACTIVATION = "sigmoid"

_ACTIVATION_NAMES = {"relu": "ReLU"}


def describe_model(*, pretrained: bool) -> str:
    """The frozen model in words, as a paper's methods section has them.

    Args:
        pretrained: whether the backbone's weights are pretrained, or random.

    Examples:
        >>> print(describe_model(pretrained=True).partition(",")[0])
        pretrained InceptionV3 without top
    """
    *first, last = (str(units) for units in HEAD_UNITS)
    activation = _ACTIVATION_NAMES[HEAD_ACTIVATION]
    weights = "pretrained" if pretrained else "randomly initialised"
    return (
        f"{weights} {BACKBONE} without top, frozen (batch normalisation in inference mode), "
        f"{POOLING}, dense layers of {', '.join(first)} and {last} units with {activation} and "
        f"dropout, and {NUM_LABELS} {OUTPUT_ACTIVATION} outputs"
    )
