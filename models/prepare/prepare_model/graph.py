"""An ONNX graph, with what is asked of it by name."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

# The domain of the server's own operators.
DOMAIN = "kubesentiment"

# Names of the inputs, and others under which TensorFlow's exporters have them.
IDS = ("input_ids", "input_word_ids")
MASK = ("attention_mask", "input_mask")
TYPES = ("token_type_ids", "input_type_ids", "segment_ids")
POSITIONS = ("position_ids",)


class Refused(Exception):
    """A graph that isn't understood; the message says which node is in the way."""


def called(node: onnx.NodeProto) -> str:
    """A node by what it makes, since not all have names."""
    return f"the {node.op_type} that makes {node.output[0]}"


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """The value of an attribute."""
    found = (one for one in node.attribute if one.name == name)
    return next((onnx.helper.get_attribute_value(one) for one in found), default)


def other(node: onnx.NodeProto, names: Iterable[str]) -> str:
    """The input of a node with two that isn't one of these."""
    names = list(names)
    return next(name for name in node.input if name not in names)


class Graph:
    """A graph whose values are found by their names."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.graph = model.graph
        self.producer = {output: node for node in self.graph.node for output in node.output if output}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        self.constants = {tensor.name: tensor for tensor in self.graph.initializer}
        for node in self.graph.node:
            for name in dict.fromkeys(reads(node)):
                self.readers.setdefault(name, []).append(node)
            if node.op_type == "Constant" and node.attribute[0].HasField("t"):
                self.constants[node.output[0]] = node.attribute[0].t
        self.inputs = [value.name for value in self.graph.input if value.name not in self.constants]
        # Values that are the same for all texts.
        self.fixed = set(self.constants)
        for node in self.graph.node:
            if self.fixed.issuperset(reads(node)):
                self.fixed.update(node.output)

    @property
    def opset(self) -> int:
        """The version of ONNX's own operators."""
        return next((known.version for known in self.model.opset_import if known.domain in ("", "ai.onnx")), 1)

    def input(self, names: tuple[str, ...]) -> str | None:
        """The graph's input that has one of these names."""
        return next((name for name in names if name in self.inputs), None)

    def constant(self, name: str) -> np.ndarray | None:
        """The value of a constant."""
        return numpy_helper.to_array(self.constants[name]) if name in self.constants else None

    def shape(self, name: str) -> tuple[int, ...] | None:
        """The shape of a constant."""
        return tuple(self.constants[name].dims) if name in self.constants else None

    def scalar(self, name: str) -> float | None:
        """A constant of one element."""
        if name not in self.constants or np.prod(self.constants[name].dims) != 1:
            return None
        return float(numpy_helper.to_array(self.constants[name]).reshape(()))

    def made_by(self, name: str, *operators: str) -> onnx.NodeProto | None:
        """The node that makes a value, if it is one of these operators."""
        node = self.producer.get(name)
        return node if node is not None and node.op_type in operators else None

    def operand(self, node: onnx.NodeProto, operator: str) -> onnx.NodeProto | None:
        """The operand of a node with two that this operator made."""
        made = (self.made_by(name, operator) for name in node.input) if len(node.input) == 2 else ()
        return next(filter(None, made), None)

    def read_by(self, name: str) -> list[onnx.NodeProto]:
        """The nodes that read a value's content, not only its shape."""
        return [node for node in self.readers.get(name, []) if node.op_type not in ("Shape", "Size")]

    def only_reader(self, name: str, *operators: str) -> onnx.NodeProto:
        """The one node that reads a value's content, which has to be one of these operators."""
        readers = self.read_by(name)
        if len(readers) != 1 or readers[0].op_type not in operators:
            kinds = [node.op_type for node in readers]
            raise Refused(f"{name} should go to one {' or '.join(operators)}, and goes to {kinds}")
        return readers[0]

    def depends_on(self, name: str, sources: Iterable[str]) -> bool:
        """Whether a value is computed from the content, not only the shape, of one of others."""
        sources, seen, names = set(sources), set(), [name]
        while names:
            name = names.pop()
            if name in sources:
                return True
            node = self.producer.get(name)
            if node is not None and name not in seen and node.op_type not in ("Shape", "Size", "Constant"):
                seen.add(name)
                names.extend(reads(node))
        return False

    def same(self, name: str) -> str:
        """The value that this one is, but for its type or its name."""
        while node := self.made_by(name, "Cast", "Identity", "Dropout"):
            name = node.input[0]
        return name

    def scaled(self, name: str) -> tuple[str, float]:
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


def reads(node: onnx.NodeProto) -> Iterator[str]:
    """All values that a node takes, those of its branches included."""
    yield from (name for name in node.input if name)
    for branch in (one.g for one in node.attribute if one.type == onnx.AttributeProto.GRAPH):
        made = {name for inner in branch.node for name in inner.output}
        yield from (name for inner in branch.node for name in reads(inner) if name not in made)


def live(nodes: Iterable[onnx.NodeProto], outputs: Iterable[str]) -> list[onnx.NodeProto]:
    """The nodes that outputs are computed from, in their order."""
    wanted, kept = set(outputs), []
    for node in reversed(list(nodes)):
        if wanted.intersection(node.output):
            wanted.update(reads(node))
            kept.append(node)
    return kept[::-1]
