"""Passes images through a frozen backbone with onnxruntime, an optional package.

The graph belongs to `onnx_graph`.
"""

import os
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from rust_tuner.environment import usable_cores
from rust_tuner.models.onnx_graph import INPUT, OUTPUT, onnx_graph
from rust_tuner.models.onnx_packages import require_onnx
from rust_tuner.tensorflow_notices import LEVEL_VARIABLE, without_notices

FloatArray = npt.NDArray[np.float32]

_ERRORS, _WARNINGS = 3, 2


class OnnxExtractor:
    """A frozen backbone with global maximum pooling, computed in float32 on the processor."""

    def __init__(self, backbone: keras.Model, *, threads: int | None = None) -> None:
        """Translate a backbone.

        Args:
            backbone: from `build_backbone`, in float32.
            threads: how many compute; as many as this process may use cores if None.

        Raises:
            ExtraError: if a package of the extra `onnx` is missing.
            ProtocolError: for a layer that cannot be translated.
        """
        require_onnx()
        graph = onnx_graph(backbone)
        with without_notices():
            self._session = _session(graph, threads or _threads())

    def __call__(self, images: FloatArray) -> FloatArray:
        """The features (n, features) of float32 images (n, size, size, 3) in [-1, 1]."""
        (features,) = self._session.run([OUTPUT], {INPUT: np.ascontiguousarray(images)})
        return np.asarray(features, np.float32)


def _threads() -> int:
    """As many as TensorFlow is given for one operation."""
    given = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    return int(given) if given.isdecimal() and int(given) > 0 else usable_cores() or 1


def _session(graph: bytes, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    # Threads that wait leave the cores to the decoding of the next images.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = _WARNINGS if os.environ.get(LEVEL_VARIABLE) == "0" else _ERRORS
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
