"""Which nodes compute each token, or each text, from itself alone: where tokens stand doesn't matter to them."""

import math
from collections.abc import Iterable

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .graph import Graph, Refused, attribute, called
from .moves import RESHAPES
from .pointwise import is_last_axis
from .probe import Probe

# Number by number.
NUMBERS = {
    "Abs", "Add", "Cast", "Clip", "DequantizeLinear", "Div", "DynamicQuantizeLinear", "Elu", "Erf", "Exp", "Gelu",
    "HardSigmoid", "Identity", "LeakyRelu", "Log", "Max", "Min", "Mul", "Neg", "Pow", "QuantizeLinear", "Reciprocal",
    "Relu", "Selu", "Sigmoid", "Softplus", "Sqrt", "Sub", "Tanh",
}  # fmt: skip
PRODUCTS = {"MatMul", "MatMulInteger", "Gemm"}
# Over the numbers of a row, which stand on the last axis.
LAST_AXIS = {"LayerNormalization", "LogSoftmax", "ReduceMean", "Softmax"}

TOKENS, TEXTS, COMMON = "tokens", "texts", "all"


class Layout:
    """Rows of tokens and of texts, in place of texts of tokens."""

    def __init__(self, graph: Graph, probe: Probe) -> None:
        self.graph, self.probe = graph, probe
        # What a value has a row for; or that it is common to all.
        self.kinds: dict[str, str] = dict.fromkeys(graph.fixed, COMMON)
        # Constants that the model doesn't have.
        self.constants: dict[str, onnx.TensorProto] = {}

    def says(self, kind: str, names: Iterable[str]) -> None:
        """What values have rows for."""
        self.kinds.update(dict.fromkeys(names, kind))

    def in_rows(self, node: onnx.NodeProto) -> onnx.NodeProto:
        """A node as it computes the same in rows."""
        kinds = {self.kinds.get(name) for name in node.input if name} - {COMMON}
        if not kinds:
            self.says(COMMON, node.output)
            return node
        kind = kinds.pop()
        if kinds or kind is None or node.domain not in ("", "ai.onnx"):
            raise Refused(f"{called(node)} may mix tokens")
        self.says(kind, node.output[:1])
        self.says(COMMON, node.output[1:])
        new = self._known(node)
        sides = self.probe.sides(node.output[0])
        if sides is None or len(sides) != (2 if kind == TOKENS else 1):
            raise Refused(f"{called(node)} makes no row for each {'token' if kind == TOKENS else 'text'}")
        return new

    def _known(self, node: onnx.NodeProto) -> onnx.NodeProto:
        """A node of which it is known how it computes a row from itself alone."""
        if node.op_type in RESHAPES - {"Cast", "Identity"} or node.op_type == "Transpose":
            return self._unmoved(node)
        if node.op_type in PRODUCTS:
            return self._product(node)
        if node.op_type in LAST_AXIS:
            return self._over_the_last_axis(node)
        if node.op_type not in NUMBERS:
            raise Refused(f"{called(node)} may mix tokens")
        return self._with_flat_constants(node)

    def _unmoved(self, node: onnx.NodeProto) -> onnx.NodeProto:
        """The node for rows that stay in their order."""
        before, after = self.probe.sides(node.input[0]), self.probe.sides(node.output[0])
        if node.op_type == "Transpose":
            shape = self.probe.shape(node.input[0]) or []
            permuted = [shape[axis] for axis in attribute(node, "perm", list(range(len(shape)))[::-1])]
            before = [side for side in shape if side != 1]
            after = [side for side in permuted if side != 1]
        if before is None or before != after:
            raise Refused(f"{called(node)} may mix tokens")
        return helper.make_node("Identity", [node.input[0]], [node.output[0]], name=node.name)

    def _product(self, node: onnx.NodeProto) -> onnx.NodeProto:
        """The product of rows with constants."""
        shape = self.graph.shape(node.input[1])
        is_table = node.input[1] in self.graph.fixed and (shape is None or len(shape) == 2)
        if not is_table or attribute(node, "transA", 0):
            raise Refused(f"{called(node)} isn't a product of rows with constants")
        return node

    def _over_the_last_axis(self, node: onnx.NodeProto) -> onnx.NodeProto:
        axes: list[int] | None
        if node.op_type == "ReduceMean":
            given = self.graph.constant(node.input[1]) if len(node.input) > 1 else attribute(node, "axes")
            axes = None if given is None or not attribute(node, "keepdims", 1) else [int(axis) for axis in given]
        else:
            axes = [attribute(node, "axis", -1 if self.graph.opset >= 13 or "Norm" in node.op_type else 1)]
        if axes is None or len(axes) != 1 or not is_last_axis(self.probe, node, axes[0]):
            raise Refused(f"{called(node)} may mix tokens")
        if axes == [-1]:
            return node
        new = onnx.NodeProto()
        new.CopyFrom(node)
        if node.op_type == "ReduceMean" and len(node.input) > 1:
            new.input[1] = self._constant("last_axis", np.array([-1]))
            return new
        name, value = ("axes", [-1]) if node.op_type == "ReduceMean" else ("axis", -1)
        del new.attribute[:]
        new.attribute.extend(one for one in node.attribute if one.name != name)
        new.attribute.append(helper.make_attribute(name, value))
        return new

    def _with_flat_constants(self, node: onnx.NodeProto) -> onnx.NodeProto:
        """A node whose constants are a number, or one for each column."""
        new = node
        for index, name in enumerate(node.input):
            shape = self.graph.shape(name)
            if name not in self.graph.fixed or shape is None or len(shape) < 2:
                continue
            if math.prod(shape) != shape[-1]:
                raise Refused(f"{called(node)} takes a constant of more than one dimension")
            if new is node:
                new = onnx.NodeProto()
                new.CopyFrom(node)
            new.input[index] = self._constant(
                f"{name}/flat", numpy_helper.to_array(self.graph.constants[name]).reshape(-1)
            )
        return new

    def _constant(self, name: str, value: np.ndarray) -> str:
        self.constants[name] = numpy_helper.from_array(value, name)
        return name
