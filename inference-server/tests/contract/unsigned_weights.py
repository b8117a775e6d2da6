"""Makes a model whose int8 weights are uint8 around 128 of one with int8 around 0: unsigned_weights.py SOURCE DESTINATION

Both are model folders. The numbers are the same.
"""

import pathlib
import shutil
import sys

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
    onnx.checker.check_model(model)
    destination.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "tokenizer.json"):
        shutil.copy(source / name, destination / name)
    onnx.save(model, destination / "model.onnx")


if __name__ == "__main__":
    main()
