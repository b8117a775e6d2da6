"""What a graph computes of made-up texts: shapes, masks and positions are looked at, whichever nodes make them."""

import pathlib
from collections.abc import Iterable

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto

from .graph import IDS, MASK, POSITIONS, TYPES, Graph, Refused, live
from .weights import Weights

# Tokens of the two texts. No side of a layer changes from one to the other, so what changes counts tokens.
LENGTHS = (7, 11)
# Tokens of a text that is long enough to show a mask that lets a token see its neighbours only.
LONG = 512


def open_session(model: onnx.ModelProto | str | pathlib.Path, optimize: bool = True) -> onnxruntime.InferenceSession:
    """A session on one thread that says nothing."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    source = model.SerializeToString() if isinstance(model, onnx.ModelProto) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


NUMBERS = {
    TensorProto.INT64: np.int64,
    TensorProto.INT32: np.int32,
    TensorProto.FLOAT: np.float32,
    TensorProto.BOOL: np.bool_,
}


def feeds_of(
    graph: Graph, ids: np.ndarray, mask: np.ndarray | None = None, first_position: int = 0
) -> dict[str, np.ndarray]:
    """Inputs for texts of these ids, in rows."""
    tokens = np.ones_like(ids) if mask is None else mask
    values = {
        IDS: ids,
        MASK: tokens,
        TYPES: np.zeros_like(ids),
        POSITIONS: np.broadcast_to(first_position + np.arange(ids.shape[1]), ids.shape),
    }
    feeds: dict[str, np.ndarray] = {}
    for value in graph.graph.input:
        if value.name in graph.inputs:
            known = next((names for names in values if value.name in names), None)
            number = NUMBERS.get(value.type.tensor_type.elem_type)
            if known is None or number is None:
                raise Refused(f"its input {value.name} is none of those that texts are fed to")
            feeds[value.name] = values[known].astype(number)
    return feeds


class Probe:
    """All values of two texts, by name: one run for each."""

    def __init__(self, graph: Graph, weights: Weights, work: pathlib.Path, data: str, first_position: int = 0) -> None:
        self.graph, self.weights, self.work, self.data = graph, weights, work, data
        self.first_position = first_position
        ids = graph.input(IDS)
        if ids is None:
            raise Refused(f"it has no input {IDS[0]}")
        self.ids = ids
        # What the ids, and nothing else, choose rows of.
        self.words = [
            node
            for node in graph.graph.node
            if node.op_type == "Gather" and node.input[0] in graph.fixed and graph.same(node.input[1]) == ids
        ]
        if not self.words:
            raise Refused(f"{ids} chooses no rows of a table")
        self.of_words = self._computed_from(output for node in self.words for output in node.output)
        names = [name for node in graph.graph.node for name in node.output if name and name not in graph.fixed]
        session = self._session(graph.graph.node, names)
        self.runs = [self._run(session, names, length) for length in LENGTHS]

    def _computed_from(self, names: Iterable[str]) -> set[str]:
        """What changes with the content, not only the shape, of values."""
        found = set(names)
        for node in self.graph.graph.node:
            if node.op_type not in ("Shape", "Size") and found.intersection(node.input):
                found.update(node.output)
        return found

    def _session(self, nodes: Iterable[onnx.NodeProto], outputs: list[str]) -> onnxruntime.InferenceSession:
        model, used = onnx.ModelProto(), {name for node in nodes for name in node.input}
        model.CopyFrom(self.weights.mapped(self.graph.model, self.data))
        del model.graph.node[:], model.graph.output[:], model.graph.value_info[:]
        model.graph.node.extend(nodes)
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
        kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept)
        file = self.work / "probe.onnx"
        file.write_bytes(model.SerializeToString())
        try:
            return open_session(file, optimize=False)
        except Exception as problem:
            raise Refused(f"ONNX Runtime doesn't load it: {problem}") from problem

    def _run(self, session: onnxruntime.InferenceSession, names: list[str], length: int) -> dict[str, np.ndarray]:
        feeds = feeds_of(self.graph, self.made_up(length)[np.newaxis], first_position=self.first_position)
        taken = {value.name for value in session.get_inputs()}
        try:
            values = session.run(names, {name: feed for name, feed in feeds.items() if name in taken})
        except Exception as problem:
            raise Refused(f"it doesn't take a text of {length} tokens: {problem}") from problem
        return dict(zip(names, values, strict=True))

    @property
    def rows(self) -> int:
        """Rows of the table that ids choose from."""
        shape = self.graph.shape(self.words[0].input[0])
        return shape[0] if shape else 1000

    def vocabulary(self) -> np.ndarray:
        """Ids that aren't padding. The first few are special ones in most vocabularies."""
        return np.setdiff1d(np.arange(5 if self.rows > 10 else 0, self.rows), self.compared())

    def made_up(self, length: int, seed: int = 3) -> np.ndarray:
        """A text of random tokens."""
        return np.random.default_rng(seed).choice(self.vocabulary(), length).astype(np.int64)

    def compared(self) -> list[int]:
        """The ids that the graph itself looks for: that of padding, where positions are counted without it."""
        found = []
        for node in self.graph.graph.node:
            if node.op_type == "Equal" and self.ids in map(self.graph.same, node.input):
                found += [int(value) for value in map(self.graph.scalar, node.input) if value is not None]
        return found

    def values(self, name: str) -> list[np.ndarray]:
        """A value in both runs."""
        fixed = self.graph.constant(name)
        if fixed is not None:
            return [fixed] * len(LENGTHS)
        if name not in self.runs[0]:
            raise Refused(f"{name} isn't computed from a text")
        return [run[name] for run in self.runs]

    def scalar(self, name: str) -> float | None:
        """A value of one element that doesn't change from text to text, however it is computed."""
        if name in self.graph.constants:
            return self.graph.scalar(name)
        if name in self.of_words or name in self.graph.inputs or name not in self.runs[0]:
            return None
        first, second = (run[name] for run in self.runs)
        return float(first.reshape(())) if first.size == second.size == 1 and np.all(first == second) else None

    def shape(self, name: str) -> list[int] | None:
        """The sides of a value, -1 for that which counts tokens; None where there is more than one of those."""
        first, second = (value.shape for value in self.values(name))
        if len(first) != len(second):
            return None
        sides = [a if a == b else -1 for a, b in zip(first, second, strict=True)]
        counts = [(a, b) == LENGTHS for a, b in zip(first, second, strict=True)]
        return sides if sides.count(-1) <= 1 and all(a != -1 or b for a, b in zip(sides, counts, strict=True)) else None

    def sides(self, name: str) -> list[int] | None:
        """The sides that rows have: those of a value without ones before the last."""
        shape = self.shape(name)
        return shape and [side for side in shape[:-1] if side != 1] + shape[-1:]

    def positions(self) -> int:
        """Tokens of the longest text that the graph has positions for, as far as it can be seen; at most LONG."""
        most = LONG
        for node in self.graph.graph.node:
            if node.op_type == "Gather" and node.input[0] in self.graph.constants and node.input[1] in self.runs[0]:
                rows, index = self.graph.shape(node.input[0]), self.runs[1][node.input[1]]
                if rows and len(rows) == 2 and is_counted(index, LENGTHS[1]):
                    most = min(most, rows[0] - int(index.min()))
        return most

    def of_a_long_text(self, names: list[str]) -> dict[str, np.ndarray]:
        """Values, none of which is of words, of the longest text."""
        session = self._session(live(self.graph.graph.node, names), names)
        return self._run(session, names, self.positions())


def is_counted(index: np.ndarray, length: int) -> bool:
    """Whether these are positions one after another."""
    if index.size != length or not np.issubdtype(index.dtype, np.integer):
        return False
    index = index.reshape(-1)
    return bool(np.all(index == index[0] + np.arange(length)))
