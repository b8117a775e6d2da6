"""Where numbers go when they are only moved: cut into heads, transposed, joined.

Exporters write that in many ways. So the moves are carried out on numbered places, and what comes out is looked at.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from .graph import Graph, Refused, attribute, called
from .probe import LENGTHS, Probe

# Those whose result has the same numbers in the same order.
RESHAPES = {"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Dropout", "Cast"}
# Those that choose some.
CHOICES = {"Slice", "Split", "Gather"}
MOVES = RESHAPES | CHOICES | {"Transpose"}


def moved(graph: Graph, probe: Probe, node: onnx.NodeProto, places: np.ndarray, run: int, output: str) -> np.ndarray:
    """What a node makes of numbered places."""
    if node.op_type in RESHAPES:
        return places.reshape(probe.values(output)[run].shape)
    if node.op_type == "Transpose":
        return places.transpose(attribute(node, "perm", list(range(places.ndim))[::-1]))
    names = [name for name in node.input if name]
    single = helper.make_model(
        helper.make_graph(
            [node],
            "one",
            [helper.make_tensor_value_info(name, onnx.TensorProto.INT64, None) for name in names],
            [helper.make_tensor_value_info(output, onnx.TensorProto.INT64, None)],
        ),
        opset_imports=graph.model.opset_import,
    )
    feeds = {name: places if name == node.input[0] else probe.values(name)[run] for name in names}
    return np.asarray(next(iter(ReferenceEvaluator(single).run([output], feeds))))


def numbered(probe: Probe, name: str, run: int) -> np.ndarray:
    """A value whose numbers are their places in it."""
    shape = probe.values(name)[run].shape
    return np.arange(np.prod(shape)).reshape(shape)


@dataclass
class Origin:
    """A value that another one is made of by moves, and by what its numbers were multiplied."""

    name: str
    path: list[tuple[onnx.NodeProto, str]]
    factor: float

    def places(self, graph: Graph, probe: Probe, run: int) -> np.ndarray:
        """Which of its numbers stand where in the other."""
        places = numbered(probe, self.name, run)
        for node, output in self.path:
            places = moved(graph, probe, node, places, run, output)
        return places


def origins(graph: Graph, probe: Probe, name: str) -> Iterator[Origin]:
    """What a value is made of by moves alone, itself first."""
    path: list[tuple[onnx.NodeProto, str]] = []
    factor = 1.0
    while True:
        yield Origin(name, list(path), factor)
        node = graph.producer.get(name)
        if node is None or name not in probe.of_words:
            return
        if node.op_type in MOVES:
            path.insert(0, (node, name))
            name = node.input[0]
            continue
        step = scaled_once(probe, node)
        if step is None:
            return
        name, factor = step[0], factor * step[1]


def scaled_once(probe: Probe, node: onnx.NodeProto) -> tuple[str, float] | None:
    """What a node multiplies by a number that is the same for all texts, and that number."""
    if node.op_type not in ("Mul", "Div"):
        return None
    left, right = node.input
    if (by := probe.scalar(right)) is not None:
        return left, by if node.op_type == "Mul" else 1 / by
    if node.op_type == "Mul" and (by := probe.scalar(left)) is not None:
        return right, by
    return None


@dataclass(frozen=True)
class Heads:
    """Columns of tokens as heads: of which value, from which column on."""

    source: str
    offset: int
    heads: int
    size: int
    factor: float


def heads_of(graph: Graph, probe: Probe, name: str, transposed: bool) -> Heads:
    """What a value of [text, head, token, number] is cut from; `transposed` for [text, head, number, token]."""
    found = None
    for origin in origins(graph, probe, name):
        sides = probe.sides(origin.name)
        if sides is None or len(sides) != 2 or sides[0] != -1:
            continue
        shapes = set()
        for run, length in enumerate(LENGTHS):
            places, width = origin.places(graph, probe, run), sides[1]
            if transposed:
                places = places.swapaxes(-1, -2)
            # One text, whose heads may stand in its stead.
            places = places.reshape(-1, *places.shape[-2:])
            heads, tokens, size = places.shape
            first = int(places.flat[0])
            expected = (
                first + np.arange(size) + size * np.arange(heads)[:, None, None] + width * np.arange(length)[:, None]
            )
            shapes.add((first, heads, size) if tokens == length and np.array_equal(places, expected) else None)
        shape = shapes.pop()
        if not shapes and shape is not None:
            found = Heads(origin.name, *shape, factor=origin.factor)
    if found is None:
        raise Refused(f"{called(graph.producer[name])} isn't made of tokens that are cut into heads")
    return found


def joined(graph: Graph, probe: Probe, name: str) -> str:
    """The value in which the heads of [text, head, token, number] stand one beside another for each token."""
    places = [numbered(probe, name, run) for run in range(len(LENGTHS))]
    heads = [part.reshape(-1, *part.shape[-2:]) for part in places]
    expected = [part.swapaxes(0, 1).reshape(length, -1) for part, length in zip(heads, LENGTHS, strict=True)]
    while True:
        node = graph.only_reader(name, *MOVES)
        if node.input[0] != name:
            raise Refused(f"{called(node)} takes heads for something else than numbers")
        name = node.output[0]
        places = [moved(graph, probe, node, part, run, name) for run, part in enumerate(places)]
        is_of_tokens = probe.sides(name) == [-1, expected[0].shape[1]]
        pairs = zip(places, expected, strict=True)
        if is_of_tokens and all(np.array_equal(part.reshape(rows.shape), rows) for part, rows in pairs):
            return name
