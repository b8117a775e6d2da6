#!/usr/bin/env python3
"""Prepares an ONNX model for sentiment-server, which serves it without as well: prepare-model.py MODEL.onnx

Moves the weights to MODEL.onnx.data, where ONNX Runtime maps them: of an embedding table only those rows are in memory
that texts have. And for a BERT it writes MODEL.onnx.varlen, a graph that takes a batch without padding, and that the
server then runs: the texts of a batch stand one after another in a row of tokens, and `cu_seqlens`, FlashAttention's
name for it, says where each begins. That graph is written only if it answers what the model answers; of another kind of
model the first node that is in the way is named, and its batches are padded. Needs Python's onnx and numpy.
"""

import hashlib
import math
import os
import pathlib
import sys

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

DOMAIN = "kubesentiment"
# ONNX Runtime maps no smaller part of a file.
PAGE = 4096
# Smaller ones stay in the graph: shapes and scales, which ONNX Runtime reads while it loads.
AT_LEAST = 1024
# What computes each token from itself alone, so that it doesn't matter how tokens are laid out.
FOR_EACH_TOKEN = {
    "Add", "AddLayerNorm", "Cast", "Constant", "DequantizeLinear", "Div", "DynamicQuantizeLinear", "Erf", "Gather", "Gelu",
    "Gemm", "Identity", "LayerNormalization", "MatMul", "MatMulInteger", "Mul", "Pow", "ReduceMean", "Relu", "Sqrt", "Sub",
    "Tanh", "VarlenAttention",
}  # fmt: skip


class Refused(Exception):
    """A graph that isn't understood; the message says which node."""


class VarlenAttention(OpRun):
    """As the server's own operators compute them: this, and those below."""

    op_domain = DOMAIN

    def _run(self, query, key, value, cu_seqlens, num_heads=None, scale=None):
        mixed = np.empty_like(query)
        for start, end in zip(cu_seqlens, cu_seqlens[1:]):
            q, k, v = (
                part[start:end].reshape(end - start, num_heads, -1).swapaxes(0, 1) for part in (query, key, value)
            )
            scores = q @ k.swapaxes(1, 2) * np.float32(scale)
            weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
            weights /= weights.sum(axis=-1, keepdims=True)
            mixed[start:end] = (weights @ v).swapaxes(0, 1).reshape(end - start, -1)
        return (mixed,)


class AddLayerNorm(OpRun):
    op_domain = DOMAIN

    def _run(self, a, b, scale, bias, epsilon=None):
        total = a + b
        total -= total.mean(axis=-1, keepdims=True)
        variance = (total * total).mean(axis=-1, keepdims=True)
        return (total / np.sqrt(variance + np.float32(epsilon)) * scale + bias,)


class Gelu(OpRun):
    op_domain = DOMAIN

    def _run(self, x, **_):
        return (x * (0.5 * (1.0 + np.vectorize(math.erf)(x / math.sqrt(2.0)))).astype(np.float32),)


class QuantizeTexts(OpRun):
    """DynamicQuantizeLinear of each text by itself."""

    op_domain = DOMAIN

    def _run(self, x, starts):
        quantized, scales, zero_points = np.empty(x.shape, np.uint8), [], []
        for start, end in zip(starts, starts[1:]):
            lowest, highest = np.float32(min(x[start:end].min(), 0)), np.float32(max(x[start:end].max(), 0))
            scale = (highest - lowest) / np.float32(255) if lowest < highest else np.float32(1)
            zero_point = np.rint(np.clip(-lowest / scale, 0, 255))
            quantized[start:end] = np.clip(np.rint(x[start:end] / scale) + zero_point, 0, 255)
            scales.append(scale)
            zero_points.append(zero_point)
        return quantized, np.array(scales, np.float32), np.array(zero_points, np.int32)


class DequantizeTexts(OpRun):
    """The numbers of a quantized layer, from the products of what QuantizeTexts made."""

    op_domain = DOMAIN

    def _run(self, sums, scales, zero_points, column_scales, column_sums, bias, starts):
        scales, zero_points = (np.repeat(of_texts, np.diff(starts))[:, None] for of_texts in (scales, zero_points))
        return ((sums - zero_points * column_sums).astype(np.float32) * (scales * column_scales) + bias,)


class QuantizedVarlenAttention(VarlenAttention):
    """Reads three such layers, as the two below read one."""

    def _run(self, *inputs, **attributes):
        layers = (DequantizeTexts._run(self, *inputs[at : at + 6], inputs[18])[0] for at in (0, 6, 12))
        return super()._run(*layers, inputs[18], **attributes)


class QuantizedAddLayerNorm(AddLayerNorm):
    def _run(self, *inputs, **attributes):
        return super()._run(*DequantizeTexts._run(self, *inputs[:6], inputs[9]), *inputs[6:9], **attributes)


class QuantizedGelu(Gelu):
    def _run(self, *inputs, **_):
        return super()._run(*DequantizeTexts._run(self, *inputs))


class DequantizeLinear(OpRun):
    """As of opset 10, which onnx itself doesn't evaluate."""

    op_domain = ""

    def _run(self, quantized, scale, zero_point, **_):
        return ((quantized.astype(np.int32) - zero_point.astype(np.int32)).astype(np.float32) * scale,)


def called(node):
    """A node by what it makes, since not all have names."""
    return f"the {node.op_type} that makes {node.output[0]}"


class QuantizedLayer:
    """A product of a dynamically quantized input with constants, the numbers that it makes, and their bias."""

    def __init__(self, graph, product):
        quantize = graph.made_by(product.input[0], "DynamicQuantizeLinear")
        weights = graph.constant(product.input[1])
        zero_points = [graph.constant(name) for name in product.input[3:] if name]
        if quantize is None or [*product.input[:1], *product.input[2:3]] != [quantize.output[0], quantize.output[2]]:
            raise Refused(f"{called(product)} isn't of what a DynamicQuantizeLinear made")
        if weights is None or weights.ndim != 2 or weights.dtype != np.int8 or any(map(np.any, zero_points)):
            raise Refused(f"{called(product)} has other weights than int8 around 0")
        scaled = graph.only_reader(graph.only_reader(product.output[0], "Cast").output[0], "Mul")
        scales = graph.operand(scaled, "Mul")
        scale = other_name(scales, quantize.output) if scales and quantize.output[1] in scales.input else None
        of_columns, columns = graph.constant(scale), weights.shape[1]
        if of_columns is None or of_columns.size not in (1, columns):
            raise Refused(f"{called(scaled)} multiplies by something else than the scales")
        self.output, bias = scaled.output[0], None
        readers = [node for node in graph.graph.node if self.output in node.input]
        if len(readers) == 1 and readers[0].op_type == "Add":
            added = other_name(readers[0], [self.output])
            if added in graph.constants and graph.constant(added).shape == (columns,):
                self.output, bias = readers[0].output[0], added
        self.quantize, self.product = quantize, product
        # Those that the model doesn't have.
        self.constants = []
        self.inputs = [
            product.output[0],
            *quantize.output[1:],
            scale if of_columns.shape == (columns,) else self.made("scales", np.full(columns, of_columns, np.float32)),
            self.made("column_sums", weights.sum(axis=0, dtype=np.int32)),
            bias or self.made("no_bias", np.zeros(columns, np.float32)),
        ]

    def made(self, what, value):
        """The name of a new constant."""
        self.constants.append(numpy_helper.from_array(value, f"{self.output}/{what}"))
        return self.constants[-1].name

    def dequantize(self, starts, output=None):
        """The node that makes its numbers."""
        output = output or self.output
        return helper.make_node("DequantizeTexts", [*self.inputs, starts], [output], name=output, domain=DOMAIN)


class Replacement:
    """A node that takes others' place, and what it takes to compute the same with those."""

    def __init__(self, node, takes, width=None, unmasked=None):
        self.node = node
        # Its inputs that the others have too.
        self.takes = takes
        # Of a token, where the others need a row of tokens for each text.
        self.width = width
        # What stands for a value with a mask: without padding it is the same.
        self.unmasked = unmasked or {}


class Graph:
    """A graph with what is asked of it by name."""

    def __init__(self, graph):
        self.graph = graph
        self.producer = {output: node for node in graph.node for output in node.output}
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant":
                self.constants[node.output[0]] = node.attribute[0].t

    def constant(self, name):
        """The value of a constant, or None."""
        return numpy_helper.to_array(self.constants[name]) if name in self.constants else None

    def scalar(self, name):
        """A constant of one element as a float, or None."""
        value = self.constant(name)
        return float(value.reshape(())) if value is not None and value.size == 1 else None

    def made_by(self, name, *operators):
        """The node that makes a value, if it is one of these operators."""
        node = self.producer.get(name)
        return node if node is not None and node.op_type in operators else None

    def operand(self, node, operator):
        """The operand of a node with two that this operator made, or None."""
        made = (self.made_by(name, operator) for name in node.input) if len(node.input) == 2 else ()
        return next(filter(None, made), None)

    def only_reader(self, name, operator):
        """The one node that reads a value's content, which has to be this operator."""
        readers = [node for node in self.graph.node if name in node.input and node.op_type != "Shape"]
        if len(readers) != 1 or readers[0].op_type != operator:
            raise Refused(f"{name} should go to one {operator}, and goes to {[node.op_type for node in readers]}")
        return readers[0]

    def depends_on(self, name, source):
        """Whether a value is computed from the content, not only the shape, of another."""
        seen, names = set(), [name]
        while names:
            name = names.pop()
            if name == source:
                return True
            node = self.producer.get(name)
            if node is not None and name not in seen and node.op_type not in ("Shape", "Constant"):
                seen.add(name)
                names.extend(node.input)
        return False

    def scaled(self, name):
        """A value that constants multiply or divide: what it was, and by how much."""
        factor = 1.0
        while node := self.made_by(name, "Mul", "Div"):
            by = [self.scalar(part) for part in node.input]
            if by[1] is not None:
                name, factor = node.input[0], factor * by[1] if node.op_type == "Mul" else factor / by[1]
            elif by[0] is not None and node.op_type == "Mul":
                name, factor = node.input[1], factor * by[0]
            else:
                break
        return name, factor

    def heads(self, name, order):
        """A value cut into heads and transposed to `order`: what it was, how many heads, and a scale."""
        axes = np.array([0, 1, 2, 3])
        name, factor = self.scaled(name)
        while node := self.made_by(name, "Transpose"):
            axes = np.array(helper.get_node_attr_value(node, "perm"))[axes]
            name, more = self.scaled(node.input[0])
            factor *= more
        node = self.made_by(name, "Reshape")
        if node is None or list(axes) != order:
            raise Refused(f"{name} isn't cut into heads by a Reshape, then transposed to {order}")
        shape = self.constant(node.input[1])
        if shape is None and (parts := self.made_by(node.input[1], "Concat")):
            shape = [self.scalar(part) for part in parts.input]
        if shape is None or len(shape) != 4 or shape[2] is None or shape[3] is None or min(shape[2:]) <= 0:
            raise Refused(f"{called(node)} reshapes to no known number of heads")
        return node.input[0], (int(shape[2]), int(shape[3])), factor


def attention(graph, softmax):
    """The replacement for the attention of which this is the middle."""
    masked = graph.made_by(softmax.input[0], "Add")
    unmasked = masked and next((side for side in masked.input if graph.made_by(graph.scaled(side)[0], "MatMul")), None)
    axis = next((attribute.i for attribute in softmax.attribute if attribute.name == "axis"), -1)
    if not unmasked or axis not in (-1, 3):
        raise Refused(f"{called(softmax)} isn't over the last axis of a product to which a mask was added")
    if not any(graph.depends_on(side, "attention_mask") for side in masked.input if side != unmasked):
        raise Refused(f"{called(masked)} adds something else than the mask")
    scores, scale = graph.scaled(unmasked)
    product = graph.producer[scores]
    query, (heads, size), of_query = graph.heads(product.input[0], [0, 2, 1, 3])
    key, _, of_key = graph.heads(product.input[1], [0, 2, 3, 1])
    mixed = graph.only_reader(softmax.output[0], "MatMul")
    value, _, of_value = graph.heads(mixed.input[1], [0, 2, 1, 3])
    joined = graph.only_reader(graph.only_reader(mixed.output[0], "Transpose").output[0], "Reshape")
    if of_value != 1.0:
        raise Refused(f"{called(mixed)} mixes scaled values")
    node = helper.make_node(
        "VarlenAttention",
        [query, key, value, "cu_seqlens"],
        list(joined.output),
        name=softmax.name,
        domain=DOMAIN,
        num_heads=heads,
        scale=scale * of_query * of_key,
    )
    return Replacement(node, [query, key, value], heads * size, {masked.output[0]: unmasked})


def normalization(graph, node):
    """The node for a layer norm of a sum, of which this is the last part; None where it isn't one."""
    if node.op_type == "LayerNormalization" and len(node.input) == 3:
        attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        (total, scale, bias), epsilon = node.input, attributes.get("epsilon", 1e-5)
        if attributes.get("axis", -1) != -1:
            return None
    else:
        # Add(Mul(Div(centred, Sqrt(Add(ReduceMean(Pow(centred, 2)), epsilon))), scale), bias)
        scaled = graph.operand(node, "Mul")
        divided = scaled and graph.operand(scaled, "Div")
        root = divided and graph.made_by(divided.input[1], "Sqrt")
        shifted = root and graph.made_by(root.input[0], "Add")
        variance = shifted and graph.operand(shifted, "ReduceMean")
        square = variance and graph.made_by(variance.input[0], "Pow")
        centred = square and graph.made_by(square.input[0], "Sub")
        mean = centred and graph.made_by(centred.input[1], "ReduceMean")
        if not mean or divided.input[0] != square.input[0] or mean.input[0] != centred.input[0]:
            return None
        total, epsilon = centred.input[0], graph.scalar(other(shifted, variance))
        scale, bias = other(scaled, divided), other(node, scaled)
        if epsilon is None or graph.scalar(square.input[1]) != 2.0:
            return None
    added = graph.made_by(total, "Add")
    widths = [graph.constant(name) for name in (scale, bias)]
    if added is None or any(width is None or width.ndim != 1 for width in widths):
        return None
    if any(name in graph.constants for name in added.input):
        return None
    inputs = [*added.input, scale, bias]
    node = helper.make_node("AddLayerNorm", inputs, list(node.output), name=node.name, domain=DOMAIN, epsilon=epsilon)
    return Replacement(node, list(added.input))


def gelu(graph, erf):
    """The node for x (1 + erf(x / √2)) / 2, of which this is the erf; None where it isn't that."""
    x, factor = graph.scaled(erf.input[0])
    added = graph.only_reader(erf.output[0], "Add")
    product = graph.only_reader(added.output[0], "Mul")
    whole, half = graph.scaled(other(product, added))
    if half == 1.0:
        product = graph.only_reader(product.output[0], "Mul")
        half = next((by for by in map(graph.scalar, product.input) if by is not None), None)
    if whole != x or half != 0.5 or abs(factor - 0.5**0.5) > 1e-6 or graph.scalar(other(added, erf)) != 1.0:
        return None
    return Replacement(helper.make_node("Gelu", [x], list(product.output), name=erf.name, domain=DOMAIN), [x])


def other(node, operand):
    """The input of a node with two that this operand isn't."""
    return other_name(node, operand.output)


def other_name(node, names):
    """The input of a node with two that isn't one of these."""
    return next(name for name in node.input if name not in names)


def replacement(graph, node):
    """What takes a node's place in the new graph, or None where it stays as it is."""
    if node.op_type == "Softmax":
        return attention(graph, node)
    if node.op_type in ("Add", "LayerNormalization"):
        return normalization(graph, node)
    if node.op_type == "Erf":
        return gelu(graph, node)
    if node.op_type != "Gather":
        return None
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
    table = graph.constant(node.input[0])
    if axis == 0 and table is not None and table.ndim == 2 and node.input[1] not in ("input_ids", "token_type_ids"):
        if graph.depends_on(node.input[1], "input_ids"):
            raise Refused(f"{called(node)} takes positions from the tokens themselves")
        return gather(node, "position_ids")
    if axis == 1 and graph.scalar(node.input[1]) == 0.0:
        return gather(node, "first_tokens")
    return None


def constant(name, integers):
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.array(integers, np.int64)))


def gather(node, indices):
    return Replacement(helper.make_node("Gather", [node.input[0], indices], list(node.output), name=node.name, axis=0), [])


def layers_of(graph):
    """The quantized layers by their outputs, or none where one isn't understood."""
    try:
        layers = [QuantizedLayer(graph, node) for node in graph.graph.node if node.op_type == "MatMulInteger"]
        for node in graph.graph.node:
            if node.op_type == "DynamicQuantizeLinear":
                known = {layer.product.output[0] for layer in layers if layer.quantize is node}
                for reader in graph.graph.node:
                    if node.output[0] in reader.input and reader.output[0] not in known:
                        raise Refused(f"{called(reader)} isn't of a quantized layer")
    except Refused as problem:
        print(f"texts of a batch will be quantized together: {problem}")
        return {}
    return {layer.output: layer for layer in layers}


def reading_products(node, layers, starts):
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
    rest = [name for name in inputs[read:] if name != "cu_seqlens"]
    new.input[:] = [part for name in inputs[:read] for part in layers[name].inputs] + rest + [starts]
    return new


def one_text_as_before(graph, replacement, layers, starts):
    """An If that for one text runs the model's own nodes, and the new one for more.

    Quantization makes of the smallest difference in rounding a step in a score. So a text that runs alone has the very
    score that the model gives it everywhere.
    """
    new, back = replacement.node, []
    alone = {name: f"{name}/numbers" if name in layers else name for name in replacement.takes}
    rows = [layers[name].dequantize(starts, alone[name]) for name in replacement.takes if name in layers]
    output = new.output[0]
    if replacement.width:
        numbers, alone = alone, {name: f"{name}/row" for name in replacement.takes}
        row, tokens = f"{output}/row_shape", f"{output}/tokens_shape"
        rows += [constant(row, [1, -1, replacement.width]), constant(tokens, [-1, replacement.width])]
        rows += [helper.make_node("Reshape", [numbers[name], row], [alone[name]]) for name in replacement.takes]
        back = [helper.make_node("Reshape", [f"{output}/alone", tokens], [f"{output}/alone_tokens"])]

    def source(name):
        return replacement.unmasked.get(name, name)

    needed, names = set(), [output]
    while names:
        name = source(names.pop())
        node = graph.producer.get(name)
        if name not in replacement.takes and node is not None and node.output[0] not in needed:
            needed.add(node.output[0])
            names.extend(node.input)
    own = []
    for node in graph.graph.node:
        if node.output[0] in needed:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.input[:] = [alone.get(source(name), source(name)) for name in node.input]
            alone.update({name: f"{name}/alone" for name in node.output})
            copy.output[:] = [alone[name] for name in node.output]
            own.append(copy)
    together = onnx.NodeProto()
    together.CopyFrom(reading_products(new, layers, starts))
    together.output[:] = [f"{output}/together"]
    branches = {
        name: helper.make_graph(
            nodes, name, [], [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)]
        )
        for name, nodes in (("then_branch", [*rows, *own, *back]), ("else_branch", [together]))
    }
    return helper.make_node("If", ["is_one_text"], [output], name=f"{new.name}/if", **branches)


def reads(node):
    """All values that a node takes, those of its branches included."""
    yield from node.input
    for branch in (attribute.g for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH):
        made = {name for inner in branch.node for name in inner.output}
        yield from (name for inner in branch.node for name in reads(inner) if name not in made)


def live(nodes, outputs):
    """The nodes that outputs are computed from, in their order."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            wanted.update(reads(node))
            kept.append(node)
    return kept[::-1]


def quantized(graph, nodes, replacements, layers):
    """The nodes of a quantized graph: each text is quantized by itself, and one that runs alone scores as ever."""
    quantize = {layer.quantize.output[0] for layer in layers.values()}
    products = {layer.product.output[0] for layer in layers.values()}
    rows, new = {"first_tokens"}, []
    for node in nodes:
        if rows.intersection(node.input):
            rows.update(node.output)
        output = node.output[0]
        starts = "row_starts" if output in rows else "cu_seqlens"
        if output in quantize:
            new.append(helper.make_node("QuantizeTexts", [node.input[0], starts], node.output, name=node.name, domain=DOMAIN))
        elif output in products:
            new.append(helper.make_node("MatMulInteger", node.input[:2], node.output, name=node.name))
        elif output in layers:
            new.append(layers[output].dequantize(starts))
        elif node.domain == DOMAIN:
            new.append(one_text_as_before(graph, replacements[output], layers, starts))
        else:
            new.append(node)
    return new


def rewrite(model):
    """The model's graph for tokens in a row."""
    graph = Graph(model.graph)
    replacements = {}
    for node in model.graph.node:
        if new := replacement(graph, node):
            replacements[new.node.output[0]] = new
    # Each where the last of those was that it replaces, so that what it takes comes before.
    nodes = [replacements[node.output[0]].node if node.output[0] in replacements else node for node in model.graph.node]
    nodes = live(nodes, [model.graph.output[0].name])
    for node in nodes:
        fixed = [graph.constant(name) for name in node.input]
        if node.op_type not in FOR_EACH_TOKEN:
            raise Refused(f"{called(node)} may mix tokens")
        if node.op_type not in ("Gather", "MatMul", "MatMulInteger", "Gemm") and any(
            value is not None and value.ndim > 1 for value in fixed
        ):
            raise Refused(f"{called(node)} takes a constant of more than one dimension")
    if not any(node.op_type == "VarlenAttention" for node in nodes):
        raise Refused("there is no attention")
    own = [
        constant("no_texts", [0]),
        constant("all_texts", [-1]),
        helper.make_node("Slice", ["cu_seqlens", "no_texts", "all_texts"], ["first_tokens"]),
    ]
    layers = {}
    if any(node.op_type == "DynamicQuantizeLinear" for node in nodes):
        own += [
            constant("ends_of_one_text", [2]),
            helper.make_node("Shape", ["cu_seqlens"], ["ends"]),
            helper.make_node("Equal", ["ends", "ends_of_one_text"], ["is_one_text"]),
            # For what has one row for each text.
            *(constant(name, value) for name, value in (("first", 0), ("one", 1))),
            helper.make_node("Gather", ["ends", "first"], ["rows_end"]),
            helper.make_node("Range", ["first", "rows_end", "one"], ["row_starts"]),
        ]
        layers = layers_of(graph)
        nodes = quantized(graph, nodes, replacements, layers)
    nodes = live([*own, *nodes], [model.graph.output[0].name])
    read = {name for node in nodes for name in reads(node)}
    if "attention_mask" in read:
        raise Refused("the mask is used elsewhere than in attention")
    initializers = [*model.graph.initializer, *(tensor for layer in layers.values() for tensor in layer.constants)]
    inputs = [("input_ids", "tokens"), ("token_type_ids", "tokens"), ("position_ids", "tokens"), ("cu_seqlens", "texts+1")]
    new = helper.make_graph(
        nodes,
        model.graph.name,
        [helper.make_tensor_value_info(name, TensorProto.INT64, [size]) for name, size in inputs if name in read],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["texts", None])],
        [tensor for tensor in initializers if tensor.name in read],
    )
    # The output keeps its name but for the new graph's.
    for node in new.node:
        node.output[:] = ["logits" if name == model.graph.output[0].name else name for name in node.output]
    opsets = [*model.opset_import, helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(new, opset_imports=opsets, ir_version=model.ir_version)


def check(model, varlen):
    """Raises unless both answer the same to made-up texts: each by itself, each twice at once, and all together."""
    operators = [
        *(VarlenAttention, AddLayerNorm, Gelu, QuantizeTexts, DequantizeTexts),
        *(QuantizedVarlenAttention, QuantizedAddLayerNorm, QuantizedGelu, DequantizeLinear),
    ]
    exported, packed = (ReferenceEvaluator(either, new_ops=operators) for either in (model, varlen))
    random = np.random.default_rng(3)
    texts = [random.integers(0, 1000, length) for length in (3, 17, 9)]

    def ask(evaluator, batch):
        lengths = [len(text) for text in batch]
        feeds = {
            "input_ids": np.concatenate(batch),
            "token_type_ids": np.zeros(sum(lengths), np.int64),
            "position_ids": np.concatenate([np.arange(length) for length in lengths]),
            "cu_seqlens": np.cumsum([0, *lengths]),
            "attention_mask": np.ones(sum(lengths), np.int64),
        }
        if evaluator is exported:
            feeds = {name: feed[np.newaxis] for name, feed in feeds.items()}
        return evaluator.run(None, {name: feeds[name] for name in evaluator.input_names})[0]

    expected = np.concatenate([ask(exported, [text]) for text in texts])
    quantized, by_text = (
        any(node.op_type == operator for node in either.graph.node)
        for either, operator in ((model, "DynamicQuantizeLinear"), (varlen, "QuantizeTexts"))
    )
    # Quantization makes steps of rounding, and where it isn't by text rounds by the largest number of the batch.
    for what, answers, tolerance in (
        ("alone", [ask(packed, [text]) for text in texts], 1e-3),
        ("twice", [ask(packed, [text, text])[1:] for text in texts], 0.1 if quantized else 1e-3),
        ("together", [ask(packed, texts)], 0.1 if by_text else 0.5 if quantized else 1e-3),
    ):
        difference = float(np.abs(np.concatenate(answers) - expected).max())
        print(f"texts {what}: logits differ by at most {difference:.1e}")
        if not difference < tolerance:
            raise Refused(f"logits of texts {what} may differ by no more than {tolerance}")


def places_of(graph):
    """Where in a file of weights each large initializer has its place: offset and bytes by name."""
    places, end = {}, 0
    for tensor in graph.initializer:
        weights = numpy_helper.to_array(tensor).tobytes()
        if len(weights) >= AT_LEAST:
            offset = -(-end // PAGE) * PAGE
            places[tensor.name], end = (offset, weights), offset + len(weights)
    return places


def move_weights(graph, data, places):
    """Refers initializers that have a place in the file `data` to it."""
    for tensor in graph.initializer:
        if tensor.name not in places:
            continue
        offset, weights = places[tensor.name]
        for field in ("float_data", "int32_data", "int64_data"):
            tensor.ClearField(field)
        tensor.raw_data = weights
        set_external_data(tensor, data.name, offset=offset, length=len(weights))
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL


def save(path, write):
    """Writes a file under another name first, so that there is never half of one."""
    rewritten = path.with_name(f"{path.name}.new")
    with open(rewritten, "wb") as file:
        write(file)
    os.replace(rewritten, path)


def without_padding(model):
    """The model's graph for tokens in a row, or None where it isn't understood."""
    try:
        varlen = rewrite(model)
        check(model, varlen)
    except Refused as problem:
        print(f"batches of it will be padded: {problem}")
        return None
    return varlen


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: prepare-model.py MODEL.onnx")
    path = pathlib.Path(sys.argv[1])
    try:
        # With weights that are in a file beside it already.
        model = onnx.load(path)
    except (OSError, DecodeError, onnx.checker.ValidationError) as problem:
        sys.exit(f"{path} can't be read as an ONNX model: {problem}")
    varlen = without_padding(model)
    data, places = path.with_name(f"{path.name}.data"), places_of(model.graph)
    for graph in (model.graph, *([varlen.graph] if varlen else [])):
        move_weights(graph, data, places)

    def write_weights(file):
        for offset, weights in places.values():
            file.seek(offset)
            file.write(weights)

    if places:
        save(data, write_weights)
        save(path, lambda file: file.write(model.SerializeToString()))
    print(f"{data}: {len(places)} weights")
    out = path.with_name(f"{path.name}.varlen")
    out.unlink(missing_ok=True)
    if varlen:
        helper.set_model_props(varlen, {"made_of_sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
        save(out, lambda file: file.write(varlen.SerializeToString()))
        print(f"{out}: {len(varlen.graph.node)} nodes in place of {len(model.graph.node)}")


if __name__ == "__main__":
    main()
