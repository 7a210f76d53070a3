"""A frozen Keras backbone with its global maximum pooling, written as an ONNX graph.

Only layers that such backbones consist of are known. Running the graph belongs to
`onnx_extractor`.
"""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from rust_tuner.errors import ProtocolError

INPUT, OUTPUT = "radiograph", "features"
# Old enough for every onnxruntime that the package supports; `onnx` itself writes the newest.
_OPSET, _IR_VERSION = 17, 8

Attributes = dict[str, Any]


def onnx_graph(backbone: keras.Model) -> bytes:
    """Write a backbone and its global maximum pooling as an ONNX model.

    Args:
        backbone: a functional model from float32 (n, height, width, channels) to maps of features
            (n, h, w, features), as `build_backbone` gives it; each layer is used once.

    Returns:
        The serialised model, from `INPUT` (n, height, width, channels) to `OUTPUT` (n, features).

    Raises:
        ProtocolError: for a layer that has no ONNX operation here, or one of another precision.
    """
    from onnx import TensorProto, helper

    graph = _Graph()
    for layer in backbone.layers:
        _add_layer(graph, layer, backbone.name)
    maps = graph.names[id(backbone.outputs[0])]
    pooled = graph.add("GlobalMaxPool", [maps])
    graph.add("Flatten", [pooled], output=OUTPUT, axis=1)
    shape = list(backbone.input_shape)
    made = helper.make_model(
        helper.make_graph(
            graph.nodes,
            backbone.name,
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", *shape[1:]])],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", None])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
    )
    return bytes(made.SerializeToString())


class _Graph:
    """Nodes and constants of a graph, and the name of each of the backbone's tensors."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.names: dict[int, str] = {}

    def before(self, layer: keras.Layer) -> list[str]:
        """The names of the tensors that a layer takes."""
        tensors = layer.input if isinstance(layer.input, list) else [layer.input]
        return [self.names[id(tensor)] for tensor in tensors]

    def add(
        self,
        kind: str,
        inputs: list[str],
        *constants: Any,
        output: str | None = None,
        **attributes: Any,
    ) -> str:
        """Add an operation on tensors, followed by constants; returns the name of its result."""
        from onnx import helper, numpy_helper

        for constant in constants:
            name = f"constant_{len(self.constants)}"
            values = np.ascontiguousarray(constant, dtype=np.float32)
            self.constants.append(numpy_helper.from_array(values, name))
            inputs = [*inputs, name]
        name = output or f"tensor_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name


def _add_layer(graph: _Graph, layer: keras.Layer, backbone: str) -> None:
    kind = type(layer).__name__
    if kind not in _LAYERS or getattr(layer, "compute_dtype", "float32") != "float32":
        raise ProtocolError(
            f"extractor='onnxruntime' cannot compute the layer {layer.name} of {backbone} ({kind} "
            f"in {layer.compute_dtype}); use extractor='keras'"
        )
    graph.names[id(layer.output)] = _LAYERS[kind](graph, layer)


def _input(graph: _Graph, layer: keras.Layer) -> str:
    # ONNX has channels first.
    return graph.add("Transpose", [INPUT], perm=[0, 3, 1, 2])


def _convolution(graph: _Graph, layer: keras.Layer) -> str:
    constants = [np.transpose(np.asarray(layer.kernel), (3, 2, 0, 1))]
    if layer.use_bias:
        constants.append(np.asarray(layer.bias))
    maps = graph.add(
        "Conv",
        graph.before(layer),
        *constants,
        auto_pad=_PADDING[layer.padding],
        strides=list(layer.strides),
        dilations=list(layer.dilation_rate),
        group=layer.groups,
    )
    return _activated(graph, layer, maps)


def _normalisation(graph: _Graph, layer: keras.Layer) -> str:
    mean, variance = (np.asarray(values) for values in (layer.moving_mean, layer.moving_variance))
    scale = np.asarray(layer.gamma) if layer.scale else np.ones_like(mean)
    shift = np.asarray(layer.beta) if layer.center else np.zeros_like(mean)
    # onnxruntime folds it into the convolution before it.
    return graph.add(
        "BatchNormalization",
        graph.before(layer),
        scale,
        shift,
        mean,
        variance,
        epsilon=layer.epsilon,
    )


def _pooling(graph: _Graph, layer: keras.Layer) -> str:
    attributes: Attributes = {
        "auto_pad": _PADDING[layer.padding],
        "kernel_shape": list(layer.pool_size),
        "strides": list(layer.strides),
    }
    if isinstance(layer, keras.layers.AveragePooling2D):
        # As in Keras, the average is over the pixels inside the picture.
        return graph.add("AveragePool", graph.before(layer), count_include_pad=0, **attributes)
    return graph.add("MaxPool", graph.before(layer), **attributes)


def _concatenation(graph: _Graph, layer: keras.Layer) -> str:
    return graph.add("Concat", graph.before(layer), axis=1)


def _activated(graph: _Graph, layer: keras.Layer, maps: str) -> str:
    """The result of a layer's own activation."""
    name = layer.activation.__name__
    if name == "linear":
        return maps
    if name != "relu":
        raise ProtocolError(
            f"extractor='onnxruntime' cannot compute the activation {name} of the layer "
            f"{layer.name}; use extractor='keras'"
        )
    return graph.add("Relu", [maps])


def _activation(graph: _Graph, layer: keras.Layer) -> str:
    return _activated(graph, layer, *graph.before(layer))


def _relu(graph: _Graph, layer: keras.Layer) -> str:
    return graph.add("Relu", graph.before(layer))


_PADDING = {"valid": "VALID", "same": "SAME_UPPER"}
_LAYERS: Mapping[str, Callable[[_Graph, keras.Layer], str]] = {
    "InputLayer": _input,
    "Conv2D": _convolution,
    "BatchNormalization": _normalisation,
    "Activation": _activation,
    "ReLU": _relu,
    "MaxPooling2D": _pooling,
    "AveragePooling2D": _pooling,
    "Concatenate": _concatenation,
}
