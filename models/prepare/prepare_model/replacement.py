"""A node that takes others' place in the graph without padding."""

from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper, numpy_helper


@dataclass
class Replacement:
    """A node, and what it takes to compute the same with those whose place it takes."""

    node: onnx.NodeProto
    # Values that the others have too, as far up as they go.
    takes: list[str]
    # What stands for a value with a mask: without padding it is the same.
    unmasked: dict[str, str] = field(default_factory=dict)
    # Further nodes that it needs before it.
    before: list[onnx.NodeProto] = field(default_factory=list)
    # What attention adds to scores.
    distances: "Distances | None" = None


@dataclass(frozen=True)
class Distances:
    """Numbers that are added to scores, by head and by how far behind the asking token the other one is."""

    # The value of the model that they are added as.
    of: str
    # [heads, from -reach to reach]; farther ones are as the farthest.
    table: np.ndarray

    @property
    def name(self) -> str:
        """What the table is called."""
        return f"{self.of}/by_distance"

    @property
    def reach(self) -> int:
        """The farthest distance that has a number of its own."""
        return self.table.shape[1] // 2


def constant(name: str, value: object, dtype: type = np.int64) -> onnx.NodeProto:
    """A node that makes a constant."""
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.array(value, dtype)))
