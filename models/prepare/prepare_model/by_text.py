"""Dynamic quantization of each text by itself.

ONNX Runtime takes a layer's scale from the whole batch, so that a text's score depends on the texts beside it. Here
each text has its own, and one that runs alone goes through the model's own nodes, so that it scores as ever.
"""

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .graph import DOMAIN, Graph, Refused, called, other
from .layout import TEXTS
from .probe import Probe
from .replacement import Distances, Replacement, constant

if TYPE_CHECKING:
    from .unpadded import Rewriting


class Layer:
    """A product of a dynamically quantized input with constants, the numbers that it makes, and their bias."""

    def __init__(self, graph: Graph, product: onnx.NodeProto) -> None:
        quantize = graph.made_by(product.input[0], "DynamicQuantizeLinear")
        weights = graph.constant(product.input[1])
        zero_points = [graph.constant(name) for name in product.input[3:] if name]
        if quantize is None or [*product.input[:1], *product.input[2:3]] != [quantize.output[0], quantize.output[2]]:
            raise Refused(f"{called(product)} isn't of what a DynamicQuantizeLinear made")
        if weights is None or weights.ndim != 2 or weights.dtype != np.int8 or any(map(np.any, zero_points)):
            raise Refused(f"{called(product)} has other weights than int8 around 0")
        scaled = graph.only_reader(graph.only_reader(product.output[0], "Cast").output[0], "Mul")
        scales = graph.operand(scaled, "Mul")
        scale = other(scales, quantize.output) if scales and quantize.output[1] in scales.input else ""
        of_columns, columns = graph.constant(scale), weights.shape[1]
        if of_columns is None or of_columns.size not in (1, columns):
            raise Refused(f"{called(scaled)} multiplies by something else than the scales")
        self.output, bias = scaled.output[0], ""
        readers = graph.readers.get(self.output, [])
        if len(readers) == 1 and readers[0].op_type == "Add":
            added = other(readers[0], [self.output])
            if graph.shape(added) == (columns,):
                self.output, bias = readers[0].output[0], added
        self.quantize, self.product = quantize, product
        # Those that the model doesn't have.
        self.constants: list[TensorProto] = []
        self.inputs = [
            product.output[0],
            *quantize.output[1:],
            scale if of_columns.shape == (columns,) else self._made("scales", np.full(columns, of_columns, np.float32)),
            self._made("column_sums", weights.sum(axis=0, dtype=np.int32)),
            bias or self._made("no_bias", np.zeros(columns, np.float32)),
        ]

    def _made(self, what: str, value: np.ndarray) -> str:
        """The name of a new constant."""
        self.constants.append(numpy_helper.from_array(value, f"{self.output}/{what}"))
        return self.constants[-1].name

    def dequantize(self, starts: str, output: str | None = None) -> onnx.NodeProto:
        """The node that makes its numbers."""
        output = output or self.output
        return helper.make_node("DequantizeTexts", [*self.inputs, starts], [output], name=output, domain=DOMAIN)


def layers_of(graph: Graph) -> tuple[dict[str, Layer], list[str]]:
    """The quantized layers by their outputs; none where one isn't understood, and why."""
    try:
        layers = [Layer(graph, node) for node in graph.graph.node if node.op_type == "MatMulInteger"]
        for node in graph.graph.node:
            if node.op_type == "DynamicQuantizeLinear":
                known = {layer.product.output[0] for layer in layers if layer.quantize is node}
                for reader in graph.readers.get(node.output[0], []):
                    if reader.output[0] not in known:
                        raise Refused(f"{called(reader)} isn't of a quantized layer")
    except Refused as problem:
        return {}, [f"texts of a batch will be quantized together: {problem}"]
    return {layer.output: layer for layer in layers}, []


def shared_nodes() -> list[onnx.NodeProto]:
    """Whether a batch is one text, and where rows of texts begin, each of which is a text of one."""
    return [
        constant("varlen/ends_of_one_text", [2]),
        helper.make_node("Shape", ["cu_seqlens"], ["varlen/ends"]),
        helper.make_node("Equal", ["varlen/ends", "varlen/ends_of_one_text"], ["varlen/is_one_text"]),
        constant("varlen/first", 0),
        constant("varlen/one", 1),
        helper.make_node("Gather", ["varlen/ends", "varlen/first"], ["varlen/rows_end"]),
        helper.make_node("Range", ["varlen/first", "varlen/rows_end", "varlen/one"], ["varlen/row_starts"]),
    ]


def of_one_text(distances: Distances) -> onnx.NodeProto:
    """What is added to scores, as the model's own nodes add it: a number for two tokens of a text that runs alone."""
    name, tensor = distances.of, helper.make_tensor_value_info
    made = [f"{name}/{what}" for what in ("tokens", "row", "column", "apart", "near", "place", "alone", "none")]
    tokens, row, column, apart, near, place, alone, none = made
    reach = distances.reach
    then = [
        constant(f"{name}/end", 1),
        helper.make_node("Gather", ["cu_seqlens", f"{name}/end"], [tokens]),
        helper.make_node("Range", ["varlen/first", tokens, "varlen/one"], [row]),
        constant(f"{column}/shape", [-1, 1]),
        helper.make_node("Reshape", [row, f"{column}/shape"], [column]),
        helper.make_node("Sub", [row, column], [apart]),
        constant(f"{near}/from", -reach),
        constant(f"{near}/to", reach),
        helper.make_node("Clip", [apart, f"{near}/from", f"{near}/to"], [near]),
        helper.make_node("Add", [near, f"{near}/to"], [place]),
        helper.make_node("Gather", [distances.name, place], [alone], axis=1),
    ]
    other = [constant(none, np.zeros((1, 1, 1)), np.float32)]
    graphs = {
        branch: helper.make_graph(nodes, branch, [], [tensor(nodes[-1].output[0], TensorProto.FLOAT, None)])
        for branch, nodes in (("then_branch", then), ("else_branch", other))
    }
    return helper.make_node("If", ["varlen/is_one_text"], [f"{name}/of_one_text"], name=f"{name}/if", **graphs)


def quantized(graph: Graph, probe: Probe, rewriting: "Rewriting", layers: dict[str, Layer]) -> list[onnx.NodeProto]:
    """The nodes of a quantized graph: each text is quantized by itself, and one that runs alone scores as ever."""
    quantize = {layer.quantize.output[0] for layer in layers.values()}
    products = {layer.product.output[0] for layer in layers.values()}
    new: list[onnx.NodeProto] = []
    for node in rewriting.nodes:
        output = node.output[0]
        starts = "varlen/row_starts" if rewriting.layout.kinds.get(output) == TEXTS else "cu_seqlens"
        if output in quantize:
            inputs = [node.input[0], starts]
            new.append(helper.make_node("QuantizeTexts", inputs, node.output, name=node.name, domain=DOMAIN))
        elif output in products:
            new.append(helper.make_node("MatMulInteger", node.input[:2], node.output, name=node.name))
        elif output in layers:
            new.append(layers[output].dequantize(starts))
        elif node.domain == DOMAIN:
            new.append(OneText(graph, probe, rewriting.replacements[output], layers, starts).branches())
        else:
            new.append(node)
    return new


def reading_products(node: onnx.NodeProto, layers: dict[str, Layer], starts: str) -> onnx.NodeProto:
    """One of the new nodes, as it reads what quantized layers made; as it is where it reads something else."""
    read = 3 if node.op_type == "VarlenAttention" else 1
    inputs = list(node.input)
    if node.op_type == "AddLayerNorm" and inputs[1] in layers:
        inputs[:2] = inputs[1::-1]
    if not all(name in layers for name in inputs[:read]):
        return node
    new = onnx.NodeProto()
    new.CopyFrom(node)
    new.op_type = f"Quantized{node.op_type}"
    layered = [part for name in inputs[:read] for part in layers[name].inputs]
    rest = [name for name in inputs[read:] if name != "cu_seqlens"]
    new.input[:] = [*layered, starts, *rest] if node.op_type == "VarlenAttention" else [*layered, *rest, starts]
    return new


class OneText:
    """A new node, and the model's own nodes for a text that runs alone.

    Quantization makes of the smallest difference in rounding a step in a score. With the same nodes such a text has the
    very score that the model gives it everywhere.
    """

    def __init__(self, graph: Graph, probe: Probe, new: Replacement, layers: dict[str, Layer], starts: str) -> None:
        self.graph, self.probe, self.new, self.layers, self.starts = graph, probe, new, layers, starts
        self.output = new.node.output[0]
        self.nodes: list[onnx.NodeProto] = []
        # What values are called inside.
        self.names: dict[str, str] = {}

    def branches(self) -> onnx.NodeProto:
        """An `If` that for one text runs the model's own nodes, and the new one for more."""
        if self.new.distances is not None:
            self.names[self.new.distances.of] = f"{self.new.distances.of}/of_one_text"
        for name in dict.fromkeys(self.new.takes):
            self._take(name)
        for node in self._own_nodes():
            self._copy(node)
        self._give_back()
        together = onnx.NodeProto()
        together.CopyFrom(reading_products(self.new.node, self.layers, self.starts))
        together.output[:] = [f"{self.output}/together"]
        graphs = {
            name: helper.make_graph(
                nodes, name, [], [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)]
            )
            for name, nodes in (("then_branch", self.nodes), ("else_branch", [together]))
        }
        return helper.make_node("If", ["varlen/is_one_text"], [self.output], name=f"{self.new.node.name}/if", **graphs)

    def _take(self, name: str) -> None:
        """Numbers of rows, in the shape in which the model has them."""
        self.names[name] = name
        if name in self.layers:
            self.names[name] = f"{name}/numbers"
            self.nodes.append(self.layers[name].dequantize(self.starts, self.names[name]))
        shape = self.probe.shape(name)
        if self.new.node.op_type == "VarlenAttention" and shape is not None and len(shape) != 2:
            self.nodes += self._reshaped(self.names[name], f"{name}/row", shape)
            self.names[name] = f"{name}/row"

    def _reshaped(self, name: str, output: str, shape: list[int]) -> list[onnx.NodeProto]:
        to = f"{output}/shape"
        return [constant(to, shape), helper.make_node("Reshape", [name, to], [output])]

    def _source(self, name: str) -> str:
        return self.new.unmasked.get(name, name)

    def _own_nodes(self) -> list[onnx.NodeProto]:
        """The nodes from what is taken to the output, but for those that only say shapes and scales."""
        needed, names = set(), [self.output]
        while names:
            name = self._source(names.pop())
            node = self.graph.producer.get(name)
            if name in self.probe.of_words and name not in self.new.takes and node is not None and name not in needed:
                needed.add(name)
                names.extend(node.input)
        return [node for node in self.graph.graph.node if needed.intersection(node.output)]

    def _copy(self, node: onnx.NodeProto) -> None:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        inputs = []
        for index, name in enumerate(map(self._source, node.input)):
            if node.op_type == "Reshape" and index == 1 and name not in self.graph.fixed:
                inputs.append(self._shape(node))
            elif name in self.names or name in self.graph.fixed or not name:
                inputs.append(self.names.get(name, name))
            else:
                inputs.append(self._fixed(node, name))
        copy.input[:] = inputs
        self.names.update({name: f"{name}/alone" for name in node.output})
        copy.output[:] = [self.names[name] for name in node.output]
        self.nodes.append(copy)

    def _shape(self, node: onnx.NodeProto) -> str:
        """The shape that a Reshape has for one text."""
        shape, name = self.probe.shape(node.output[0]), f"{node.output[0]}/shape"
        if shape is None:
            raise Refused(f"{called(node)} has a shape of its own for each text")
        self.nodes.append(constant(name, shape))
        return name

    def _fixed(self, node: onnx.NodeProto, name: str) -> str:
        """A value that is the same for all texts, however the model computes it."""
        first, second = self.probe.values(name)
        if first.shape != second.shape or not np.array_equal(first, second):
            raise Refused(f"{called(node)} takes {name}, which isn't the same for all texts")
        self.names[name] = f"{name}/fixed"
        self.nodes.append(constant(self.names[name], first, first.dtype.type))
        return self.names[name]

    def _give_back(self) -> None:
        """The output in rows."""
        shape = self.probe.shape(self.output)
        if self.new.node.op_type == "VarlenAttention" and shape is not None and len(shape) != 2:
            sides = self.probe.sides(self.output) or []
            self.nodes += self._reshaped(self.names[self.output], f"{self.output}/alone_tokens", sides)
