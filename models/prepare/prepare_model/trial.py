"""A model under trial: its graph without padding, and how it answers to texts."""

import pathlib
from dataclasses import dataclass, field

import numpy as np
import onnx

from . import gains, texts
from .check import Comparison, Padded, Unpadded, alone, check_unpadded, compare, in_batches
from .folder import Source
from .graph import Graph, Refused
from .probe import Probe, open_session
from .unpadded import rewrite
from .weights import Weights


@dataclass
class Trial:
    """A model in a file, and texts to try it on."""

    source: Source
    graph: Graph
    file: pathlib.Path
    probe: Probe
    texts: list[np.ndarray]
    # Whether those are of the model's own tokenizer.
    are_read: bool
    lines: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls, source: Source, model: onnx.ModelProto, weights: Weights, file: pathlib.Path, samples: list[str]
    ) -> "Trial":
        """Raises for a model that can't be run on a text of any length."""
        graph = Graph(model)
        probe = Probe(graph, weights, file.parent, f"{file.name}.data", source.first_position())
        # Longer ones take more time than they show.
        most, lines = min(256, probe.positions()), []
        ids, tokenizer = None, source.tokenizer()
        try:
            if tokenizer is not None:
                ids = texts.tokenized(samples, tokenizer, most, probe.rows)
        except Refused as problem:
            lines.append(str(problem))
        by_chance = "chance" if lines else "chance, as no tokenizer.json is beside it"
        how = "tokenizer.json" if ids is not None else by_chance
        lines.append(f"checked on {len(samples)} texts, whose tokens are by {how}")
        are_read = ids is not None
        ids = ids or texts.made_up(samples, most, probe.vocabulary())
        return cls(source, graph, file, probe, ids, are_read, lines)

    def padded(self, graph: Graph | None = None, file: pathlib.Path | None = None) -> Padded:
        """The model, or another one, as any program runs it."""
        compared, padding = self.probe.compared(), self.source.padding()
        padding = padding if padding is not None else compared[0] if compared else 0
        padding = padding if padding < self.probe.rows else 0
        return Padded(graph or self.graph, open_session(file or self.file), padding, self.source.first_position())

    def without_padding(self) -> onnx.ModelProto:
        """The graph that takes texts without padding; raises where the model isn't understood, or answers otherwise."""
        varlen, remarks = rewrite(self.graph, self.probe)
        self.lines += remarks
        for found in check_unpadded(self.padded(), Unpadded(varlen), self.texts):
            self._say("without padding", found)
        return varlen

    def compare_with(self, original: Graph, file: pathlib.Path) -> float:
        """Compares with the model that this was quantized of. Returns the share of labels that are the same."""
        theirs, ours = self.padded(original, file), self.padded()
        expected = alone(theirs, self.texts)
        found = compare("alone", expected, alone(ours, self.texts))
        self._say("int8", found)
        self._say("int8", compare("in padded batches", expected, in_batches(ours, self.texts)))
        return found.same_labels / found.texts

    def _say(self, what: str, found: Comparison) -> None:
        self.lines.append(f"  {what + ', ' + found.what + ':':32}{found}")

    def figures(self, original: tuple[Graph, pathlib.Path] | None) -> list[str]:
        """Tokens of padding, and texts a second of ONNX Runtime."""
        lines = [str(gains.Padding.of(self.texts))]
        even, batch = gains.without_padding(self.texts), self.texts[: gains.BATCH]
        for what, model in (("", self.padded()), ("before: ", original and self.padded(*original))):
            if model is not None:
                try:
                    rates = [gains.texts_a_second(model, texts) for texts in (batch, even)]
                except Exception as error:  # ONNX Runtime's own, of many kinds: a figure that is missing breaks nothing
                    lines.append(f"{what}texts a second aren't known: {str(error).splitlines()[0]}")
                    continue
                lines.append(
                    f"{what}ONNX Runtime on one thread runs {rates[0]:.1f} of them a second in one padded batch, and "
                    f"{rates[1]:.1f} where all are of one length"
                )
        return lines
