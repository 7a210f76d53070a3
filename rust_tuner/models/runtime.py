"""Starts the numerical backend so that results repeat bitwise, and shares memory with it."""

import contextlib
import functools
import gc
import importlib.metadata
import logging
import math
import os
import platform
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from rust_tuner.environment import objects_are_frozen
from rust_tuner.onednn import ONEDNN_VARIABLE, can_switch_onednn, onednn_is_chosen
from rust_tuner.tensorflow_notices import without_notices

_log = logging.getLogger(__name__)

# In bytes, the width of the widest vectors; TensorFlow aborts the process for other alignments.
_ALIGNMENT = 64


# Read once, as the first operation of a GPU begins.
_GROWING_MEMORY = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}

# Of XLA on a GPU.
_REPEATABLE = "xla_gpu_deterministic_ops"

# The warnings that this process has logged.
logged_messages: set[str] = set()


def start_backend() -> None:
    """Set what makes results repeat bitwise, before the backend runs its first operation.

    Of TensorFlow, the inter-op threads are set to 1. With more, the order in which gradients are
    summed changes from run to run. If TensorFlow already runs with another setting, this is logged
    once and the setting stays. It is also logged once if TensorFlow was imported first, without the
    oneDNN kernels that `rust_tuner` switches on.

    The memory of a GPU is taken as needed, unless the user has set another way: other processes of
    the search may share it.

    For JAX on a GPU, `XLA_FLAGS` asks for kernels whose results repeat, unless it says something
    about them or names a file. It has no effect where JAX has computed before. It also spares the
    timing of several kernels for each product, which takes longer than many trials.
    """
    for variable, value in _GROWING_MEMORY.items():
        os.environ.setdefault(variable, value)
    flags = os.environ.get("XLA_FLAGS", "").strip()
    is_list = not flags or flags.startswith("-")
    if keras.backend.backend() == "jax" and is_list and _REPEATABLE not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --{_REPEATABLE}=true".strip()
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow

    find_devices()
    threading = tensorflow.config.threading
    _mention_slow_kernels()
    setting = os.environ.get("TF_NUM_INTEROP_THREADS")
    if threading.get_inter_op_parallelism_threads() == 1 or setting == "1":
        return
    try:
        threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        _warn_once(
            "TensorFlow was started with more than one inter-op thread before rust_tuner could "
            "set this to 1; results repeat only within 1e-3, not bitwise. Call "
            "tensorflow.config.threading.set_inter_op_parallelism_threads(1) before anything else."
        )


@functools.cache
def find_devices() -> None:
    """Let TensorFlow look for its devices, without its notices.

    It does so before its first operation in any case; call this where that may be ours.
    """
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow

    with without_notices():
        tensorflow.config.list_physical_devices()


@functools.cache
def run_first_operation() -> None:
    """Run an operation whose first use makes oneDNN say that it lacks integer kernels.

    Call it where computation begins. On a GPU it is left out: it would take the GPU's memory.
    """
    find_devices()
    if onednn_enabled() and not uses_gpu():
        import tensorflow

        with without_notices():
            tensorflow.transpose(tensorflow.zeros((1, 1), tensorflow.int32))


def jit_compiled() -> str | bool:
    """What the package's own models are compiled with as `jit_compile`.

    On TensorFlow it is off: XLA would draw other dropout masks. JAX always compiles with XLA, and
    without it a model would train operation by operation. PyTorch has Keras's default.
    """
    return False if keras.backend.backend() == "tensorflow" else "auto"


def _mention_slow_kernels() -> None:
    # No warning if someone has chosen; on a GPU the processor's kernels do not matter.
    if onednn_enabled() is not False or onednn_is_chosen() or not can_switch_onednn():
        return
    if not uses_gpu():
        _warn_once(
            "TensorFlow was imported before rust_tuner, and computes without oneDNN; training "
            "takes two to three times as long on this processor. Import rust_tuner first, or set "
            f"the environment variable {ONEDNN_VARIABLE}=1 (0 to keep it off without this note)."
        )


def _warn_once(message: str) -> None:
    if message not in logged_messages:
        logged_messages.add(message)
        _log.warning(message)


def onednn_enabled() -> bool | None:
    """Whether TensorFlow uses oneDNN in this process, as it decided when it was imported.

    The variable may have changed since, and defaults differ between processors and systems, so
    TensorFlow itself is queried. None for another backend, or if TensorFlow no longer offers the
    query.
    """
    if keras.backend.backend() != "tensorflow":
        return None
    try:
        # TensorFlow has no public function for this; its own tests use this one.
        from tensorflow.python.util import _pywrap_util_port

        return bool(_pywrap_util_port.IsMklEnabled())
    except (ImportError, AttributeError):
        return None


def uses_gpu() -> bool:
    """Whether TensorFlow computes on a GPU; False for another backend."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow

    return bool(tensorflow.config.get_visible_devices("GPU"))


def describe_backend() -> dict[str, Any]:
    """Which backend trains, on how many threads and on which devices, as JSON values.

    Threads are None if the backend chooses their number or does not report it; `onednn` is None if
    the backend is not TensorFlow.
    """
    name = keras.backend.backend()
    facts: dict[str, Any] = {
        "backend": name,
        "inter_op_threads": None,
        "intra_op_threads": None,
        "onednn": onednn_enabled(),
        "devices": [],
    }
    if name == "tensorflow":
        import tensorflow

        threading = tensorflow.config.threading
        setting = os.environ.get("TF_NUM_INTEROP_THREADS", "")
        num_threads = int(setting) if setting.isdecimal() else 0
        facts |= {
            "inter_op_threads": threading.get_inter_op_parallelism_threads() or num_threads or None,
            "intra_op_threads": threading.get_intra_op_parallelism_threads() or None,
            "devices": [
                f"{device.device_type} {_device_name(device)}".strip()
                for device in tensorflow.config.list_physical_devices()
            ],
        }
    return facts


def _device_name(device: Any) -> str:
    import tensorflow

    if device.device_type == "CPU":
        return ""
    return str(tensorflow.config.experimental.get_device_details(device).get("device_name", ""))


def release(variables: Iterable[keras.Variable]) -> None:
    """Free the memory of variables, such as a model's; they cannot be used afterwards."""
    MemoryOf(variables).release()


class MemoryOf:
    """The memory of variables, such as those of a model.

    TensorFlow 2.21 keeps the variables of a traced function as long as the process lives, even if
    the model is deleted: a gigabyte per fold for a LeNet of the study's size. Other backends
    release them.
    """

    def __init__(self, variables: Iterable[keras.Variable]) -> None:
        """Remember where the variables are, without keeping them alive."""
        self._parts: list[tuple[weakref.ref[Any], tuple[tuple[Any, Any], ...]]] = []
        if keras.backend.backend() != "tensorflow":
            return
        import tensorflow as tf

        for variable in {id(v): v for v in variables}.values():
            value = variable.value
            parts = value.values if isinstance(value, tf.distribute.DistributedValues) else (value,)
            handles = tuple((part.handle, part.dtype) for part in parts)
            self._parts.append((weakref.ref(variable), handles))

    def release(self) -> None:
        """Free all of it; the model cannot be used afterwards."""
        for _, handles in self._parts:
            _empty(handles)
        self._parts.clear()

    def release_unused(self) -> None:
        """Free the memory of variables that no part of the program refers to any more."""
        for variable, handles in self._parts:
            if variable() is None:
                _empty(handles)
        self._parts.clear()


def variables_of(model: keras.Model) -> Iterator[keras.Variable]:
    """The variables of a model and of its optimizers."""
    yield from model.variables
    for part in vars(model).values():
        if isinstance(part, keras.Optimizer):
            yield from part.variables


def is_plain_variable(variable: keras.Variable) -> bool:
    """Whether the value is one variable of TensorFlow, not one of several devices."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    value = variable.value
    return isinstance(value, tf.Variable) and not isinstance(value, tf.distribute.DistributedValues)


def _empty(handles: Iterable[tuple[Any, Any]]) -> None:
    import tensorflow as tf

    for handle, dtype in handles:
        tf.raw_ops.AssignVariableOp(resource=handle, value=tf.zeros((0,), dtype))


def empty_aligned(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """An empty float32 array that `shared_tensor` can share without a copy."""
    size = 4 * math.prod(shape)
    raw = np.empty(size + _ALIGNMENT, dtype=np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + size].view(np.float32).reshape(shape)


def shared_tensor(values: npt.NDArray[Any]) -> Any:
    """The values as the backend's tensor, in the same memory if backend and device support that.

    Args:
        values: must not be changed afterwards; read-only views of what may change, and arrays that
            are not aligned as by `empty_aligned`, are copied.
    """
    is_fixed = is_unchangeable(values)
    can_share = (values.flags.writeable or is_fixed) and values.flags.c_contiguous
    is_aligned = values.ctypes.data % _ALIGNMENT == 0
    if keras.backend.backend() != "tensorflow" or not can_share or not is_aligned:
        return keras.ops.convert_to_tensor(values)
    import tensorflow as tf

    shared = np.asarray(_Memory(values)) if is_fixed else values
    return tf.experimental.dlpack.from_dlpack(shared.__dlpack__())


def is_unchangeable(values: npt.NDArray[Any]) -> bool:
    """Whether no array can write to the memory of this one, such as that of a file mapped to read.

    Processes may share such memory.
    """
    base: Any = values
    while isinstance(base, np.ndarray):
        if base.flags.writeable:
            return False
        base = base.base
    try:
        with memoryview(base) as memory:
            return memory.readonly
    except TypeError:
        return False


class _Memory:
    """The memory of a read-only array, which DLPack's first version cannot describe.

    TensorFlow does not write to it: it is that of a variable which is read alone.
    """

    def __init__(self, values: npt.NDArray[Any]) -> None:
        # As long as the tensor lives, so does the array.
        self._values = values
        self.__array_interface__ = values.__array_interface__ | {
            "data": (values.ctypes.data, False)
        }


# Whether a block of `new_garbage_collected` has frozen what existed before it. To ask Python, whose
# answer is a count, takes tens of milliseconds within a block.
_is_frozen = False


@contextlib.contextmanager
def new_garbage_collected() -> Iterator[None]:
    """Collect the garbage of the block, without scanning the objects that existed before.

    Keras's models contain reference cycles, a search makes hundreds of them, and scanning all of
    TensorFlow takes a quarter of a second.
    """
    global _is_frozen
    is_own = not _is_frozen and not objects_are_frozen()
    try:
        if is_own:
            _is_frozen = True
            gc.freeze()
        yield
        gc.collect()
    finally:
        if is_own:
            _is_frozen = False
            gc.unfreeze()


def collect_all_garbage() -> None:
    """Collect garbage of before a block of `new_garbage_collected`, too."""
    was_frozen = _is_frozen or objects_are_frozen()
    gc.unfreeze()
    gc.collect()
    if was_frozen:
        gc.freeze()


def versions() -> dict[str, str]:
    """The versions that affect the last digits of a score."""
    names = ["rust-tuner", "keras", "keras-tuner", "numpy", keras.backend.backend()]
    installed = {name: importlib.metadata.version(name) for name in names}
    return {"python": platform.python_version(), "backend": keras.backend.backend()} | installed
