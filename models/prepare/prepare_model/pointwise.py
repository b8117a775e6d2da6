"""What the server computes of a token's numbers in one go: the layer norm of a sum, and GELU."""

import onnx
from onnx import helper

from .graph import DOMAIN, Graph, Refused, attribute, other
from .probe import Probe
from .replacement import Replacement


def normalization(graph: Graph, probe: Probe, kinds: dict[str, str], node: onnx.NodeProto) -> Replacement | None:
    """The node for a layer norm of a sum, of which this is the last part; None where it isn't one.

    `kinds` is what values have a row for: each token or each text.
    """
    if node.op_type == "LayerNormalization" and len(node.input) == 3 and len(node.output) == 1:
        (total, scale, bias), epsilon = node.input, attribute(node, "epsilon", 1e-5)
        if not is_last_axis(probe, node, attribute(node, "axis", -1)):
            return None
    else:
        # Add(Mul(Div(centred, Sqrt(Add(ReduceMean(Pow(centred, 2)), epsilon))), scale), bias)
        if (
            not (scaled := graph.operand(node, "Mul"))
            or not (divided := graph.operand(scaled, "Div"))
            or not (root := graph.made_by(divided.input[1], "Sqrt"))
            or not (shifted := graph.made_by(root.input[0], "Add"))
            or not (variance := graph.operand(shifted, "ReduceMean"))
            or not (square := graph.made_by(variance.input[0], "Pow", "Mul"))
            or not (centred := graph.made_by(square.input[0], "Sub"))
            or not (mean := graph.made_by(centred.input[1], "ReduceMean"))
        ):
            return None
        if divided.input[0] != square.input[0] or mean.input[0] != centred.input[0]:
            return None
        is_square = (
            square.input[1] == square.input[0] if square.op_type == "Mul" else graph.scalar(square.input[1]) == 2.0
        )
        total, epsilon = centred.input[0], graph.scalar(other(shifted, variance.output))
        scale, bias = other(scaled, divided.output), other(node, scaled.output)
        if epsilon is None or not is_square:
            return None
    added = graph.made_by(total, "Add")
    widths = [graph.shape(name) for name in (scale, bias)]
    if added is None or any(width is None or len(width) != 1 for width in widths):
        return None
    # Both have to have all rows: one that all tokens have in common doesn't.
    if any(kinds.get(name) != kinds.get(total) or probe.sides(name) != probe.sides(total) for name in added.input):
        return None
    inputs = [*added.input, scale, bias]
    new = helper.make_node("AddLayerNorm", inputs, list(node.output), name=node.name, domain=DOMAIN, epsilon=epsilon)
    return Replacement(new, list(added.input))


def is_last_axis(probe: Probe, node: onnx.NodeProto, axis: int) -> bool:
    """Whether an axis of a node's input is the last one."""
    return axis in (-1, probe.values(node.input[0])[0].ndim - 1)


def gelu(graph: Graph, erf: onnx.NodeProto) -> Replacement | None:
    """The node for x (1 + erf(x / √2)) / 2, of which this is the erf; None where it isn't that."""
    try:
        return _gelu(graph, erf)
    except Refused:
        # Something else is made of it, number by number.
        return None


def _gelu(graph: Graph, erf: onnx.NodeProto) -> Replacement | None:
    x, factor = graph.scaled(erf.input[0])
    added = graph.only_reader(erf.output[0], "Add")
    if graph.scalar(other(added, erf.output)) != 1.0 or abs(factor - 0.5**0.5) > 1e-6:
        return None
    # What that is multiplied by, in some order: a half, and x once.
    name, half, times = added.output[0], 1.0, 0
    while times == 0 or half != 0.5:
        product = graph.only_reader(name, "Mul")
        by = other(product, [name])
        number = graph.scalar(by)
        whole, more = (by, number) if number is not None else graph.scaled(by)
        if number is None:
            times += 1
            if whole != x or times > 1:
                return None
        half, name = half * more, product.output[0]
    return Replacement(helper.make_node("Gelu", [x], [name], name=erf.name, domain=DOMAIN), [x])


def own_gelu(node: onnx.NodeProto) -> Replacement | None:
    """The node for the `Gelu` of opset 20 or of ONNX Runtime; None for its approximation by tanh."""
    if attribute(node, "approximate", b"none") != b"none":
        return None
    inputs, outputs = list(node.input), list(node.output)
    return Replacement(helper.make_node("Gelu", inputs, outputs, name=node.name, domain=DOMAIN), inputs)
