"""The graph that takes a batch without padding.

The texts of a batch stand one after another in a row of tokens, and `cu_seqlens`, FlashAttention's name for it, says
where each begins. Attention is all that has to know where a text ends.
"""

import onnx
from onnx import TensorProto, helper, numpy_helper

from . import by_text
from .attention import add_distances, attention, check_masks, distances, is_attention, onnx_attention
from .embeddings import embedding, first_tokens, is_common
from .graph import DOMAIN, IDS, POSITIONS, TYPES, Graph, Refused, attribute, called, live, reads
from .layout import COMMON, TEXTS, TOKENS, Layout
from .pointwise import gelu, normalization, own_gelu
from .probe import Probe
from .replacement import Distances, Replacement, constant

OUTPUT = "logits"


def output_of(graph: Graph) -> str:
    """The output that answers: as the server takes it."""
    names = [value.name for value in graph.graph.output]
    return OUTPUT if OUTPUT in names else names[0]


class Rewriting:
    """The nodes of the new graph, and which of them take others' place."""

    def __init__(self, graph: Graph, probe: Probe) -> None:
        self.graph, self.probe = graph, probe
        self.output = output_of(graph)
        self.layout = Layout(graph, probe)
        self.replacements: dict[str, Replacement] = {}
        self._find_attention()
        self._find_gelu()
        self.nodes = self._laid_out()
        if self.layout.kinds.get(self.output) != TEXTS:
            raise Refused(f"{self.output} isn't computed from the first token of each text")

    def _find_attention(self) -> None:
        found = []
        for node in self.graph.graph.node:
            if node.op_type == "Softmax" and node.output[0] in self.probe.of_words and is_attention(self.probe, node):
                new, scores = attention(self.graph, self.probe, node)
            elif node.op_type == "Attention" and node.domain in ("", "ai.onnx"):
                new, scores = onnx_attention(self.graph, self.probe, node)
            elif "Attention" in node.op_type:
                raise Refused(f"{called(node)} is ONNX Runtime's own: prepare the model as it was before its optimizer")
            else:
                continue
            self.replacements[new.node.output[0]] = new
            found.append((node, scores, new))
        if not found:
            raise Refused("there is no attention")
        names = {name for _, scores, _ in found for name in (*scores.added, *scores.chosen)}
        run = self.probe.of_a_long_text(sorted(names)) if names else {}
        for node, scores, new in found:
            for short in self.probe.runs:
                check_masks(node, scores, short)
            heads = attribute(new.node, "num_heads")
            if (added := distances(self.probe, node, scores, run, heads)) is not None:
                add_distances(new, added, self.graph.producer)

    def _find_gelu(self) -> None:
        for node in self.graph.graph.node:
            new = None
            if node.op_type == "Erf":
                new = gelu(self.graph, node)
            elif node.op_type == "Gelu" and node.domain in ("", "ai.onnx", "com.microsoft"):
                new = own_gelu(node)
            if new is not None:
                self.replacements[new.node.output[0]] = new

    def _laid_out(self) -> list[onnx.NodeProto]:
        """All nodes that the answer is computed from, in rows.

        Each new one is where the last of those was that it replaces, so that what it takes comes before.
        """
        wanted, kept = {self.output}, []
        for node in reversed(self.graph.graph.node):
            if wanted.intersection(node.output):
                kept.append(node)
                new = self.replacements.get(node.output[0]) or self._embedding(node)
                for one in (*new.before, new.node) if new else (node,):
                    wanted.update(reads(one))
        laid_out: dict[str, onnx.NodeProto] = {}
        for node in reversed(kept):
            laid_out.update((one.output[0], one) for one in self._in_rows(node))
        return live(laid_out.values(), [self.output])

    def _embedding(self, node: onnx.NodeProto) -> Replacement | None:
        return embedding(self.graph, self.probe, node) if node.op_type == "Gather" else None

    def _in_rows(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """What takes a node's place; the node itself where it computes each row from itself alone."""
        name = node.output[0]
        if new := self.replacements.get(name):
            self.layout.says(self.layout.kinds.get(new.takes[0]) or TOKENS, [name])
            return [*new.before, new.node]
        if new := self._embedding(node):
            self.layout.says(COMMON if is_common(new) else TOKENS, [name])
            return [*new.before, new.node]
        if new := first_tokens(self.graph, self.probe, node):
            self.layout.says(TEXTS, [name])
            return [new.node]
        as_it_is = self.layout.in_rows(node)
        may_be_normal = node.op_type in ("Add", "LayerNormalization")
        if may_be_normal and (new := normalization(self.graph, self.probe, self.layout.kinds, node)):
            self.replacements[name] = new
            return [new.node]
        return [as_it_is]

    def distances(self) -> list[Distances]:
        """What is added to scores of attention; layers that add the same have it once."""
        found = (new.distances for new in self.replacements.values())
        return list({one.name: one for one in found if one is not None}.values())


def rewrite(graph: Graph, probe: Probe) -> tuple[onnx.ModelProto, list[str]]:
    """The model's graph for tokens in a row, and what about it is as it was in batches."""
    rewriting = Rewriting(graph, probe)
    nodes = rewriting.nodes
    remarks: list[str] = []
    own = [
        constant("varlen/no_texts", [0]),
        constant("varlen/all_texts", [-1]),
        helper.make_node("Slice", ["cu_seqlens", "varlen/no_texts", "varlen/all_texts"], ["varlen/first_tokens"]),
    ]
    added = rewriting.distances()
    constants = [*rewriting.layout.constants.values()]
    constants += [numpy_helper.from_array(one.table, one.name) for one in added]
    if any(node.op_type == "DynamicQuantizeLinear" for node in nodes):
        layers, remarks = by_text.layers_of(graph)
        nodes = by_text.quantized(graph, probe, rewriting, layers)
        constants += [tensor for layer in layers.values() for tensor in layer.constants]
        own += [*by_text.shared_nodes(), *(by_text.of_one_text(one) for one in added)]
        # Also those that only branches read.
        own += [node for node in graph.graph.node if graph.fixed.issuperset(node.output)]
        made = {node.output[0] for node in own}
        nodes = [node for node in nodes if node.output[0] not in made]
    nodes = live([*own, *nodes], [rewriting.output])
    read = {name for node in nodes for name in reads(node)}
    made = {name for node in nodes for name in node.output}
    inputs = [(IDS[0], "tokens"), (TYPES[0], "tokens"), (POSITIONS[0], "tokens"), ("cu_seqlens", "texts+1")]
    known = {name for name, _ in inputs} | made | {tensor.name for tensor in [*graph.graph.initializer, *constants]}
    if unknown := sorted(read - known):
        raise Refused(f"{unknown[0]} is used elsewhere than in attention")
    new = helper.make_graph(
        nodes,
        graph.graph.name,
        [helper.make_tensor_value_info(name, TensorProto.INT64, [size]) for name, size in inputs if name in read],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["texts", None])],
        [tensor for tensor in [*graph.graph.initializer, *constants] if tensor.name in read],
    )
    # The output keeps its name but for the new graph's. What else exporters say of nodes is for the model itself.
    for node in new.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
        node.output[:] = [OUTPUT if name == rewriting.output else name for name in node.output]
    opsets = [*graph.model.opset_import, helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(new, opset_imports=opsets, ir_version=graph.model.ir_version), remarks
