"""Whether the prepared model answers what the original answers."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from onnx.reference import ReferenceEvaluator

from .graph import IDS, POSITIONS, TYPES, Graph, Refused
from .operators import OPERATORS, STANDARD
from .probe import feeds_of
from .unpadded import output_of

Answers = np.ndarray
Ask = Callable[[list[np.ndarray]], Answers]


class Padded:
    """A model as any program runs it: texts in rows, the shorter ones padded."""

    def __init__(
        self,
        graph: Graph,
        session: onnxruntime.InferenceSession | ReferenceEvaluator,
        padding: int,
        first_position: int = 0,
    ) -> None:
        self.graph, self.session, self.padding, self.first_position = graph, session, padding, first_position
        self.output = output_of(graph)
        self.is_quantized = any(node.op_type == "DynamicQuantizeLinear" for node in graph.graph.node)

    def by_definition(self) -> "Padded":
        """The same by ONNX's reference evaluator. ONNX Runtime rounds as is fastest, and int8 makes steps of it."""
        evaluator = ReferenceEvaluator(self.graph.model, new_ops=STANDARD)
        return Padded(self.graph, evaluator, self.padding, self.first_position)

    def __call__(self, batch: list[np.ndarray]) -> Answers:
        """What it answers to a batch."""
        longest = max(map(len, batch))
        ids = np.full((len(batch), longest), self.padding, np.int64)
        mask = np.zeros_like(ids)
        for row, text in enumerate(batch):
            ids[row, : len(text)], mask[row, : len(text)] = text, 1
        feeds = feeds_of(self.graph, ids, mask, self.first_position)
        # Logarithms of 0 and the like, which graphs then choose not to take.
        with np.errstate(all="ignore"):
            return np.asarray(next(iter(self.session.run([self.output], feeds))), np.float32)


class Unpadded:
    """The graph that takes texts one after another, by ONNX's reference evaluator."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.evaluator = ReferenceEvaluator(model, new_ops=OPERATORS)

    def __call__(self, batch: list[np.ndarray]) -> Answers:
        """What it answers to a batch."""
        lengths = [len(text) for text in batch]
        feeds = {
            IDS[0]: np.concatenate(batch),
            TYPES[0]: np.zeros(sum(lengths), np.int64),
            POSITIONS[0]: np.concatenate([np.arange(length) for length in lengths]),
            "cu_seqlens": np.cumsum([0, *lengths]),
        }
        taken = {name: feeds[name] for name in self.evaluator.input_names}
        return np.asarray(next(iter(self.evaluator.run(None, taken))))


@dataclass
class Comparison:
    """Answers of two to the same texts."""

    what: str
    texts: int
    same_labels: int
    difference: float

    def __str__(self) -> str:
        return f"{self.same_labels} of {self.texts} labels as before, outputs differ by at most {self.difference:.1e}"


def compare(what: str, expected: Answers, answers: Answers) -> Comparison:
    """How far answers are from those that are expected."""
    difference = float(np.abs(answers - expected).max()) if np.isfinite(answers).all() else float("inf")
    if expected.shape[1] > 1:
        same = int((answers.argmax(axis=1) == expected.argmax(axis=1)).sum())
    else:
        same = int((np.sign(answers) == np.sign(expected)).sum())
    return Comparison(what, len(expected), same, difference)


def alone(ask: Ask, texts: list[np.ndarray]) -> Answers:
    """Answers to each text by itself."""
    return np.concatenate([ask([text]) for text in texts])


def in_batches(ask: Ask, texts: list[np.ndarray], size: int = 8) -> Answers:
    """Answers to texts of all lengths together."""
    return np.concatenate([ask(texts[at : at + size]) for at in range(0, len(texts), size)])


# Rounding of float32, and steps that quantization makes of it.
FLOATS, STEPS = 1e-3, 0.1


def check_unpadded(original: Padded, unpadded: Unpadded, texts: list[np.ndarray]) -> list[Comparison]:
    """Compares answers without padding to the model's own to each text alone; raises where they differ by too much."""
    try:
        original = original.by_definition() if original.is_quantized else original
        expected = alone(original, texts)
    except Exception as problem:
        raise Refused(f"ONNX's reference evaluator doesn't run it: {problem}") from problem
    # Where a batch is quantized as a whole, the model itself answers otherwise in a batch than alone. These batches have
    # other steps than its own, so the largest difference of some texts may be another, and is of that size only.
    own = compare("", expected, in_batches(original, texts)).difference
    in_a_batch = max(STEPS, 2 * own) if original.is_quantized else FLOATS
    found = []
    for what, answers, tolerance in (
        ("alone", alone(unpadded, texts), FLOATS),
        ("twice", np.concatenate([unpadded([text, text])[1:] for text in texts]), in_a_batch),
        ("in batches", in_batches(unpadded, texts), in_a_batch),
    ):
        found.append(compare(what, expected, answers))
        if not found[-1].difference <= tolerance:
            raise Refused(
                f"its answers to texts {what} differ by {found[-1].difference:.1e}, more than {tolerance:.1e}"
            )
    return found
