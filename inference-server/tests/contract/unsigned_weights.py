"""Makes a model whose int8 weights are uint8 around 128 of one with int8 around 0: unsigned_weights.py SOURCE DESTINATION

Both are model folders. The numbers are the same.
"""

import pathlib
import sys

import model_folder
import numpy as np
import onnx
from onnx import numpy_helper


def main() -> None:
    source, destination = map(pathlib.Path, sys.argv[1:])
    model = onnx.load(source / "model.onnx")
    products = [node for node in model.graph.node if node.op_type == "MatMulInteger"]
    wanted = {name for node in products for name in (node.input[1], node.input[3])}
    for tensor in model.graph.initializer:
        if tensor.name in wanted:
            unsigned = (numpy_helper.to_array(tensor).astype(np.int16) + 128).astype(np.uint8)
            tensor.CopyFrom(numpy_helper.from_array(unsigned, tensor.name))
    model_folder.save(model, source, destination)


if __name__ == "__main__":
    main()
