"""What a graph chooses by a token's id, its type and its position, and the first token of each text."""

import numpy as np
import onnx
from onnx import helper

from .graph import IDS, POSITIONS, TYPES, Graph, Refused, attribute, called
from .moves import CHOICES, moved, numbered
from .probe import LENGTHS, Probe, is_counted
from .replacement import Replacement, constant

# Positions from another number on than the server counts from.
COUNTED = "varlen/counted_positions"


def embedding(graph: Graph, probe: Probe, node: onnx.NodeProto) -> Replacement | None:
    """The node for rows of a table that tokens choose; None where no table is chosen from."""
    table, index = node.input
    if table not in graph.fixed or index in graph.fixed:
        return None
    shape = probe.graph.shape(table)
    if attribute(node, "axis", 0) != 0 or (shape is not None and len(shape) != 2):
        raise Refused(f"{called(node)} chooses no rows of a table")
    if index in probe.of_words:
        raise Refused(f"{called(node)} chooses rows by what it made of tokens")
    same = graph.same(index)
    for names in (IDS, TYPES, POSITIONS):
        if same in names and same in graph.inputs:
            return _rows(node, names[0])
    first, second = probe.values(index)
    if is_counted(first, LENGTHS[0]) and is_counted(second, LENGTHS[1]) and first.flat[0] == second.flat[0]:
        start = int(first.flat[0])
        return _rows(node, POSITIONS[0]) if start == 0 else _rows(node, COUNTED, counted_from(start))
    if len(np.unique(np.concatenate([first.reshape(-1), second.reshape(-1)]))) == 1:
        # One row for all, as of models that know no types.
        name = f"{node.output[0]}/row"
        return _rows(node, name, [constant(name, int(first.flat[0]))])
    raise Refused(f"{called(node)} chooses rows neither by ids, by types nor by positions one after another")


def counted_from(start: int) -> list[onnx.NodeProto]:
    """Positions from this one on, whichever the server counts from: the first token of a batch has the first."""
    return [
        constant("varlen/first_index", 0),
        helper.make_node("Gather", [POSITIONS[0], "varlen/first_index"], ["varlen/servers_first_position"]),
        helper.make_node("Sub", [POSITIONS[0], "varlen/servers_first_position"], ["varlen/positions_from_0"]),
        constant("varlen/first_position", start),
        helper.make_node("Add", ["varlen/positions_from_0", "varlen/first_position"], [COUNTED]),
    ]


def _rows(node: onnx.NodeProto, index: str, before: list[onnx.NodeProto] | None = None) -> Replacement:
    new = helper.make_node("Gather", [node.input[0], index], list(node.output), name=node.name, axis=0)
    return Replacement(new, [], before=before or [])


def is_common(new: Replacement) -> bool:
    """Whether all tokens have one and the same row."""
    return new.node.input[1] not in (IDS[0], TYPES[0], POSITIONS[0], COUNTED)


def first_tokens(graph: Graph, probe: Probe, node: onnx.NodeProto) -> Replacement | None:
    """The node for the first token of each text; None where something else is chosen."""
    if node.op_type not in CHOICES or node.input[0] not in probe.of_words:
        return None
    width = probe.values(node.output[0])[0].size
    if probe.sides(node.input[0]) != [-1, width] or probe.sides(node.output[0]) != [width]:
        return None
    for run in range(len(LENGTHS)):
        places = moved(graph, probe, node, numbered(probe, node.input[0], run), run, node.output[0])
        if not np.array_equal(places.reshape(-1), np.arange(width)):
            return None
    name, output = node.name, node.output[0]
    return Replacement(
        helper.make_node("Gather", [node.input[0], "varlen/first_tokens"], [output], name=name, axis=0), []
    )
