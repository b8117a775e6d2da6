"""Attention, in the forms in which exporters write it.

softmax(scale · Q Kᵀ + mask) V, where the scale is on the product or on one or both of its sides, and the mask is added
or chosen by Where. Or as one `Attention` of opset 23.
"""

from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper

from .graph import DOMAIN, Graph, Refused, attribute, called
from .moves import Heads, heads_of, joined, scaled_once
from .probe import LONG, Probe
from .replacement import Distances, Replacement, constant


@dataclass
class Scores:
    """What a softmax is over."""

    product: onnx.NodeProto
    scale: float
    # What is added to scores, and by what that is multiplied: 0 where no padding is to be masked.
    added: dict[str, float] = field(default_factory=dict)
    # Conditions of Where, and whether scores are its first choice.
    chosen: dict[str, bool] = field(default_factory=dict)
    # What stands for a value with a mask.
    unmasked: dict[str, str] = field(default_factory=dict)


def is_attention(probe: Probe, softmax: onnx.NodeProto) -> bool:
    """Whether a softmax is over tokens: no side of a head's scores is fixed."""
    shapes = [value.shape for value in probe.values(softmax.output[0])]
    return shapes[0][-1] != shapes[1][-1]


def scores_of(graph: Graph, probe: Probe, softmax: onnx.NodeProto) -> Scores:
    """What a softmax is over, down to the product of queries and keys."""
    rank = probe.values(softmax.output[0])[0].ndim
    # Before opset 13 a softmax was over all axes from the first one on.
    if attribute(softmax, "axis", -1 if graph.opset >= 13 else 1) not in (-1, rank - 1):
        raise Refused(f"{called(softmax)} isn't over the last axis")
    found = Scores(softmax, 1.0)
    name = softmax.input[0]
    while True:
        node = graph.producer.get(name)
        if node is None:
            raise Refused(f"{called(softmax)} isn't over a product of queries and keys")
        if node.op_type == "MatMul":
            found.product = node
            return found
        if node.op_type in ("Cast", "Identity"):
            name = node.input[0]
            continue
        of_words = [part for part in node.input[-2:] if part in probe.of_words]
        scaled = scaled_once(probe, node)
        if scaled is not None:
            name, found.scale = scaled[0], found.scale * scaled[1]
            continue
        is_chosen = node.op_type == "Where" and node.input[0] not in probe.of_words
        if len(of_words) != 1 or not (node.op_type == "Add" or is_chosen):
            raise Refused(f"{called(node)} does something else with scores than to scale or mask them")
        if node.op_type == "Add":
            mask = next(part for part in node.input if part != of_words[0])
            found.added[mask] = found.added.get(mask, 0.0) + found.scale
        else:
            found.chosen[node.input[0]] = node.input[1] == of_words[0]
        found.unmasked[name] = of_words[0]
        name = of_words[0]


def mixed_by(graph: Graph, softmax: onnx.NodeProto) -> tuple[onnx.NodeProto, dict[str, str]]:
    """The product of a softmax with values, and what stands for weights that may not be numbers."""
    name, unmasked = softmax.output[0], {}
    while True:
        readers = graph.read_by(name)
        # A row that is all mask: its softmax isn't a number.
        checked = [node for node in readers if node.op_type == "IsNaN"]
        if len(readers) == 2 and checked:
            where = next(node for node in readers if node not in checked)
            if where.op_type != "Where" or list(where.input[::2]) != [checked[0].output[0], name]:
                raise Refused(f"{called(where)} takes weights for something else than to be a number")
            unmasked[where.output[0]] = name
            name = where.output[0]
            continue
        reader = graph.only_reader(name, "MatMul", "Cast", "Identity", "Dropout")
        if reader.op_type == "MatMul" and reader.input[0] == name:
            return reader, unmasked
        if reader.op_type == "MatMul":
            raise Refused(f"{called(reader)} isn't of weights with values")
        name = reader.output[0]


def check_masks(node: onnx.NodeProto, scores: Scores, run: dict[str, np.ndarray]) -> np.ndarray | None:
    """That masks leave out nothing in a run without padding. Returns what else is added to scores, if anything is."""
    for name, is_first in scores.chosen.items():
        if name not in run or not np.all(run[name].astype(bool) == is_first):
            raise Refused(f"{called(node)} is over scores of which {name} leaves some out")
    if missing := next((name for name in scores.added if name not in run), None):
        raise Refused(f"{called(node)} is over scores to which {missing} is added, which isn't a mask")
    added = [run[name] * np.float32(factor) for name, factor in scores.added.items()]
    total = sum(added[1:], added[0]) if added else np.zeros(1)
    return total if np.any(total) else None


def distances(
    probe: Probe, node: onnx.NodeProto, scores: Scores, run: dict[str, np.ndarray], heads: int
) -> Distances | None:
    """What is added to scores in a long text, where it is the same for all tokens that are equally far apart.

    So it is in MPNet, and where a token sees only those before it, or near it.
    """
    long = check_masks(node, scores, run)
    if long is None:
        return None
    names = [name for name in scores.added if np.any(run[name])]
    name, length = names[0], long.shape[-1]
    if len(names) > 1 or scores.added[name] != 1.0:
        raise Refused(f"{called(node)} is over scores to which more than one thing is added")
    if long.shape[-2:] != (length, length) or long.size not in (length**2, heads * length**2):
        raise Refused(f"{called(node)} is over scores to which {name} is added, which isn't a number for two tokens")
    long = np.broadcast_to(long.reshape(-1, length, length), (heads, length, length))
    table = np.concatenate([long[:, ::-1, 0], long[:, 0, 1:]], axis=1)
    for of_run in (long, *(short[name] for short in probe.runs)):
        tokens = np.arange(of_run.shape[-1])
        expected = table[:, tokens - tokens[:, None] + length - 1]
        if not np.array_equal(np.broadcast_to(of_run, (1, *expected.shape))[0], expected):
            raise Refused(f"{called(node)} is over scores to which {name} adds more than how far tokens are apart")
    # Farther ones are as the farthest.
    reach = length - 1
    while reach > 0 and all(np.array_equal(table[:, at], table[:, to]) for at, to in ((0, 1), (-1, -2))):
        table, reach = table[:, 1:-1], reach - 1
    if reach == length - 1 and length >= LONG:
        raise Refused(f"{called(node)} is over scores to which {name} is added, which changes beyond {LONG} tokens")
    return Distances(name, np.ascontiguousarray(table, np.float32))


def add_distances(new: Replacement, found: Distances, producer: dict[str, onnx.NodeProto]) -> None:
    """Lets a replacement add to scores what the model adds."""
    new.distances = found
    new.node.input.append(found.name)
    # Masks needn't be there for a text that runs alone; this has to.
    adding = {name for name, node in producer.items() if found.of in node.input} | {found.of}
    new.unmasked = {name: to for name, to in new.unmasked.items() if name not in adding}


def attention(graph: Graph, probe: Probe, softmax: onnx.NodeProto) -> tuple[Replacement, Scores]:
    """The replacement for the attention of which this softmax is the middle."""
    scores = scores_of(graph, probe, softmax)
    mixed, numbers = mixed_by(graph, softmax)
    query = heads_of(graph, probe, scores.product.input[0], transposed=False)
    key = heads_of(graph, probe, scores.product.input[1], transposed=True)
    value = heads_of(graph, probe, mixed.input[1], transposed=False)
    scores.unmasked.update(numbers)
    scale = scores.scale * query.factor * key.factor
    return _replacement(graph, probe, softmax, [query, key, value], scale, mixed.output[0], scores), scores


def onnx_attention(graph: Graph, probe: Probe, node: onnx.NodeProto) -> tuple[Replacement, Scores]:
    """The replacement for ONNX's own `Attention`."""
    if (
        attribute(node, "is_causal", 0)
        or attribute(node, "softcap", 0.0)
        or any(node.input[4:])
        or len(node.output) > 1
    ):
        raise Refused(f"{called(node)} does more than to mask scores")
    if probe.values(node.input[0])[0].ndim != 4:
        raise Refused(f"{called(node)} cuts its heads itself")
    scores = Scores(node, 1.0)
    if len(node.input) > 3 and node.input[3]:
        kind = probe.values(node.input[3])[0].dtype
        scores.chosen, scores.added = ({node.input[3]: True}, {}) if kind == np.bool_ else ({}, {node.input[3]: 1.0})
        scores.unmasked[node.input[3]] = ""
    parts = [heads_of(graph, probe, name, transposed=False) for name in node.input[:3]]
    scale = attribute(node, "scale", parts[0].size ** -0.5) * parts[0].factor * parts[1].factor
    return _replacement(graph, probe, node, parts, scale, node.output[0], scores), scores


def _replacement(
    graph: Graph,
    probe: Probe,
    node: onnx.NodeProto,
    parts: list[Heads],
    scale: float,
    mixed: str,
    scores: Scores,
) -> Replacement:
    if len({(part.heads, part.size) for part in parts}) != 1:
        raise Refused(f"{called(node)} is of queries, keys and values with different heads")
    if parts[2].factor != 1.0:
        raise Refused(f"{called(node)} mixes scaled values")
    if probe.values(parts[0].source)[0].dtype != np.float32:
        raise Refused(f"{called(node)} computes with {probe.values(parts[0].source)[0].dtype}")
    heads, width = parts[0].heads, parts[0].heads * parts[0].size
    output, sources, before = joined(graph, probe, mixed), [], []
    for part in parts:
        name = part.source
        if probe.values(name)[0].shape[-1] != width:
            # Queries, keys and values of one product: some of its columns.
            name = f"{output}/{part.offset}"
            ends = [f"{name}/{what}" for what in ("from", "to", "axis")]
            before += [
                constant(end, [at]) for end, at in zip(ends, (part.offset, part.offset + width, -1), strict=True)
            ]
            before.append(helper.make_node("Slice", [part.source, *ends], [name], name=name))
        sources.append(name)
    new = helper.make_node(
        "VarlenAttention",
        [*sources, "cu_seqlens"],
        [output],
        name=node.name,
        domain=DOMAIN,
        num_heads=heads,
        scale=scale,
    )
    return Replacement(new, [part.source for part in parts], scores.unmasked, before)
