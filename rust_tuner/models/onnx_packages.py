"""The optional packages that compute features with onnxruntime: are they there, which version."""

from rust_tuner.extras import require_package
from rust_tuner.tensorflow_notices import without_notices


def require_onnx() -> None:
    """Check that the packages of the extra `onnx` are installed; nothing is imported.

    Raises:
        ExtraError: if one is missing; the message says how to install it.
    """
    for package in ("onnxruntime", "onnx"):
        require_package(package, what="extractor='onnxruntime' needs", extra="onnx")


def onnxruntime_version() -> str:
    """The version of onnxruntime, which decides the last digits of the features.

    Raises:
        ExtraError: if a package of the extra `onnx` is missing.
    """
    require_onnx()
    with without_notices():
        import onnxruntime

    return str(onnxruntime.__version__)
