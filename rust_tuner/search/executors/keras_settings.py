"""Keras's settings of a process, which decide what a model computes and which code does not show.

A script sets them once, and workers do not run the script.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cloudpickle
import keras

# What an earlier search registered in this process.
_registered: set[str] = set()


@dataclass(frozen=True, eq=False)
class KerasSettings:
    """Keras's settings, as they are sent to workers.

    Attributes:
        floatx: the type of weights and inputs.
        epsilon: what keeps denominators from zero.
        image_data_format: where images have their channels.
        dtype_policy: of layers that have none of their own, as Keras writes it.
        custom_objects: what the script itself has registered with Keras, by name; modules register
            theirs as they are imported.
    """

    floatx: str
    epsilon: float
    image_data_format: str
    dtype_policy: Mapping[str, Any]
    custom_objects: Mapping[str, Any]

    @classmethod
    def here(cls) -> "KerasSettings":
        """The settings of this thread."""
        config = keras.config
        return cls(
            config.floatx(),
            config.epsilon(),
            config.image_data_format(),
            keras.dtype_policies.serialize(config.dtype_policy()),
            {
                name: value
                for name, value in keras.saving.get_custom_objects().items()
                if _is_of_a_script(value) and _can_be_sent(value)
            },
        )

    def apply(self) -> None:
        """Set them in this thread."""
        config = keras.config
        config.set_floatx(self.floatx)
        config.set_epsilon(self.epsilon)
        config.set_image_data_format(self.image_data_format)
        registered = keras.saving.get_custom_objects()
        for name, value in self.custom_objects.items():
            # The process that searches has its own already.
            if name in registered and name not in _registered:
                continue
            _registered.add(name)
            package, divider, short = name.rpartition(">")
            if divider:
                keras.saving.register_keras_serializable(package, short)(value)
            else:
                registered[name] = value
        config.set_dtype_policy(keras.dtype_policies.deserialize(self.dtype_policy))


def _is_of_a_script(value: Any) -> bool:
    return getattr(value, "__module__", None) == "__main__" or "<locals>" in str(
        getattr(value, "__qualname__", "")
    )


def _can_be_sent(value: Any) -> bool:
    try:
        cloudpickle.dumps(value)
    except Exception:
        # Whether the search needs it is not known; if it does, its model says so.
        return False
    return True
