#!/usr/bin/env python3
"""Moves the embedding tables of an ONNX model to a file beside it: map-embeddings.py MODEL.onnx

ONNX Runtime copies weights in the model's file to the heap, and maps those in a file beside it. A table that only
Gather reads stays mapped then: of all its rows just those of the words that texts have are in memory, and the system
can take even them back. Scores don't change. Needs Python's onnx.
"""

import os
import pathlib
import sys

import onnx
from onnx.external_data_helper import set_external_data, uses_external_data

# Smaller ones aren't worth a mapping.
AT_LEAST = 1 << 20
PAGE = 4096


def tables(graph: onnx.GraphProto) -> list:
    """The large initializers that nothing but Gather reads, rows of which it picks."""
    readers: dict[str, set] = {}
    for node in graph.node:
        for position, name in enumerate(node.input):
            readers.setdefault(name, set()).add((node.op_type, position))
    return [
        tensor
        for tensor in graph.initializer
        if readers.get(tensor.name) == {("Gather", 0)}
        and len(tensor.raw_data) >= AT_LEAST
        and not uses_external_data(tensor)
    ]


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: map-embeddings.py MODEL.onnx")
    path = pathlib.Path(sys.argv[1])
    model = onnx.load(path, load_external_data=False)
    beside = path.with_name(f"{path.name}.data")
    moved = tables(model.graph)
    if not moved:
        sys.exit(f"{path}: no table of {AT_LEAST} bytes or more in it that only Gather reads")
    if beside.exists():
        sys.exit(f"{beside} exists already: move it away")
    with open(beside, "wb") as data:
        for tensor in moved:
            offset = data.seek(-(-data.tell() // PAGE) * PAGE)
            data.write(tensor.raw_data)
            set_external_data(tensor, beside.name, offset=offset, length=len(tensor.raw_data))
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            print(f"{tensor.name}: {list(tensor.dims)}, to {beside.name}")
    rewritten = path.with_name(f"{path.name}.new")
    onnx.save(model, rewritten)
    os.replace(rewritten, path)


if __name__ == "__main__":
    main()
