"""How the numerical backend is started, so that the same trial twice is bitwise the same.

And how memory is shared with it and given back.
"""

import contextlib
import gc
import importlib.metadata
import logging
import math
import os
import platform
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from rust_tuner.onednn import ONEDNN_VARIABLE, can_switch_onednn, onednn_is_chosen

_log = logging.getLogger(__name__)

# Bytes, the width of the widest vectors; TensorFlow ends the process over what starts elsewhere.
_ALIGNMENT = 64


# What the log has said once in this process.
_logged: set[str] = set()


def start_backend() -> None:
    """Set TensorFlow's inter-op threads to 1 before it runs its first operation.

    With more, the order in which gradients are summed changes from run to run. Where TensorFlow
    runs already with another setting, the log says so once and the setting stays as it is. It
    also says once where TensorFlow was imported first, without the oneDNN kernels that
    `rust_tuner` switches on.
    """
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow

    threading = tensorflow.config.threading
    _mention_slow_kernels()
    told = os.environ.get("TF_NUM_INTEROP_THREADS")
    if threading.get_inter_op_parallelism_threads() == 1 or told == "1":
        return
    try:
        # Asking for the devices starts what logs about them, here where a caller may expect it.
        tensorflow.config.list_physical_devices()
        threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        _warn_once(
            "TensorFlow was started with more than one inter-op thread before rust_tuner could "
            "set it to 1; results repeat within 1e-3 only, not bitwise. Call "
            "tensorflow.config.threading.set_inter_op_parallelism_threads(1) first thing."
        )


def _mention_slow_kernels() -> None:
    # Where somebody has chosen, they know; on a GPU the processor's kernels decide nothing.
    if onednn_enabled() is not False or onednn_is_chosen() or not can_switch_onednn():
        return
    import tensorflow

    if not tensorflow.config.list_physical_devices("GPU"):
        _warn_once(
            "TensorFlow was imported before rust_tuner, and computes without oneDNN; training "
            "takes two to three times as long on this processor. Import rust_tuner first, or set "
            f"the environment variable {ONEDNN_VARIABLE}=1 (0 to keep it off without this note)."
        )


def _warn_once(message: str) -> None:
    if message not in _logged:
        _logged.add(message)
        _log.warning(message)


def onednn_enabled() -> bool | None:
    """Whether TensorFlow computes by oneDNN in this process; it decided when it was imported.

    The variable may have changed since, and defaults differ between processors and systems, so
    TensorFlow itself is asked. None where another backend computes, or where TensorFlow no longer
    answers.
    """
    if keras.backend.backend() != "tensorflow":
        return None
    try:
        # TensorFlow has no public name for it; its own tests ask here.
        from tensorflow.python.util import _pywrap_util_port

        return bool(_pywrap_util_port.IsMklEnabled())
    except (ImportError, AttributeError):
        return None


def describe_backend() -> dict[str, Any]:
    """Which backend trains, on how many threads and on which devices, as JSON values.

    Threads are None where the backend decides by itself, or does not tell; `onednn` is None where
    the backend is not TensorFlow.
    """
    name = keras.backend.backend()
    found: dict[str, Any] = {
        "backend": name,
        "inter_op_threads": None,
        "intra_op_threads": None,
        "onednn": onednn_enabled(),
        "devices": [],
    }
    if name == "tensorflow":
        import tensorflow

        threading = tensorflow.config.threading
        told = os.environ.get("TF_NUM_INTEROP_THREADS", "")
        known = int(told) if told.isdecimal() else 0
        found |= {
            "inter_op_threads": threading.get_inter_op_parallelism_threads() or known or None,
            "intra_op_threads": threading.get_intra_op_parallelism_threads() or None,
            "devices": [
                f"{device.device_type} {_device_name(device)}".strip()
                for device in tensorflow.config.list_physical_devices()
            ],
        }
    return found


def _device_name(device: Any) -> str:
    import tensorflow

    if device.device_type == "CPU":
        return ""
    return str(tensorflow.config.experimental.get_device_details(device).get("device_name", ""))


def release(variables: Iterable[keras.Variable]) -> None:
    """Give back the memory of variables, such as a model's; they are of no use afterwards.

    TensorFlow 2.21 keeps the variables that a traced function used, for as long as the process
    lives and whoever has let go of the model: a gigabyte a fold for a LeNet of the study's size.
    """
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    for variable in variables:
        value = variable.value
        parts = value.values if isinstance(value, tf.distribute.DistributedValues) else (value,)
        for part in parts:
            nothing = tf.zeros((0,), part.dtype)
            tf.raw_ops.AssignVariableOp(resource=part.handle, value=nothing)


def empty_aligned(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Room for float32 values that `shared_tensor` can hand over without a copy."""
    size = 4 * math.prod(shape)
    raw = np.empty(size + _ALIGNMENT, dtype=np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + size].view(np.float32).reshape(shape)


def shared_tensor(values: npt.NDArray[np.float32]) -> Any:
    """The values as the backend's tensor, in the same memory where backend and device can do that.

    Args:
        values: nobody changes them afterwards; those that are read-only, or do not start where
            `empty_aligned` lets them start, are copied.
    """
    can_share = values.flags.writeable and values.flags.c_contiguous
    is_aligned = values.ctypes.data % _ALIGNMENT == 0
    if keras.backend.backend() != "tensorflow" or not can_share or not is_aligned:
        return keras.ops.convert_to_tensor(values)
    import tensorflow as tf

    return tf.experimental.dlpack.from_dlpack(values.__dlpack__())


@contextlib.contextmanager
def new_garbage_collected() -> Iterator[None]:
    """Collect what the block makes and drops, without a walk through all that was there before.

    Keras's models refer to themselves, a search makes hundreds of them, and a walk through all of
    TensorFlow takes a quarter of a second.
    """
    is_own = gc.get_freeze_count() == 0
    if is_own:
        gc.freeze()
    try:
        yield
        gc.collect()
    finally:
        if is_own:
            gc.unfreeze()


def clear_session() -> None:
    """Let Keras forget what was built, and keep the precision that the user has set for it."""
    policy = keras.config.dtype_policy()
    keras.utils.clear_session()
    keras.config.set_dtype_policy(policy)


def number_names_from_scratch() -> None:
    """Let Keras number layers and metrics without a name as if nothing had been built before.

    Else the same model has a metric `auc` here and `auc_2` there. Keras offers this only together
    with forgetting all else; a version that has moved it is made up for where records are read.
    """
    with contextlib.suppress(ImportError):
        from keras.src.utils.naming import reset_uids

        reset_uids()


def versions() -> dict[str, str]:
    """The versions that decide a score's last digits."""
    names = ["rust-tuner", "keras", "keras-tuner", "numpy", keras.backend.backend()]
    found = {name: importlib.metadata.version(name) for name in names}
    return {"python": platform.python_version(), "backend": keras.backend.backend()} | found
