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


def constant(name: str, value: object, dtype: type = np.int64) -> onnx.NodeProto:
    """A node that makes a constant."""
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.array(value, dtype)))
