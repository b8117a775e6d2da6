"""Makes a float32 model of a dynamically quantized one: float_model.py SOURCE DESTINATION

Both are model folders. Each weight becomes (integer - zero point) * scale; activations are no longer quantized. So the
result scores a little differently from the source, but the same in every batch: what two runtimes make of it may differ
by rounding only.
"""

import pathlib
import sys

import model_folder
import numpy as np
import onnx
from onnx import helper, numpy_helper


def float_weight(constants: dict, weight: str, scale: str, zero_point: str) -> np.ndarray:
    integers = constants[weight].astype(np.int32) - constants[zero_point].astype(np.int32)
    return integers.astype(np.float32) * constants[scale]


def only_consumer(graph: onnx.GraphProto, output: str, kind: str) -> onnx.NodeProto:
    consumers = [node for node in graph.node if output in node.input]
    if len(consumers) != 1 or consumers[0].op_type != kind:
        sys.exit(f"{output} should be read by one {kind}, and is by {[node.op_type for node in consumers]}")
    return consumers[0]


def to_float(model: onnx.ModelProto) -> None:
    """Rewrites what `onnxruntime.quantization.quantize_dynamic` made.

    Gather(W) -> DequantizeLinear becomes Gather(W), and
    x -> DynamicQuantizeLinear -> MatMulInteger(W) -> Cast -> Mul(scale of x * scale of W) becomes MatMul(x, W).
    """
    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    producers = {output: node for node in graph.node for output in node.output}
    replaced: dict[int, onnx.NodeProto] = {}
    made: dict[str, np.ndarray] = {}
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            rows, scale, zero_point = node.input
            weight, index = producers[rows].input
            made[f"{weight}_float"] = float_weight(constants, weight, scale, zero_point)
            replaced[id(node)] = helper.make_node("Gather", [f"{weight}_float", index], node.output, node.name)
        elif node.op_type == "MatMulInteger":
            quantized, weight, _, zero_point = node.input
            quantizer = producers[quantized]
            scaling = only_consumer(graph, only_consumer(graph, node.output[0], "Cast").output[0], "Mul")
            (scales,) = (producers[name] for name in scaling.input if producers[name].op_type == "Mul")
            (scale,) = (name for name in scales.input if name in constants)
            made[f"{weight}_float"] = float_weight(constants, weight, scale, zero_point)
            product = helper.make_node("MatMul", [quantizer.input[0], f"{weight}_float"], scaling.output, scaling.name)
            replaced[id(scaling)] = product
    keep_what_is_needed(graph, [replaced.get(id(node), node) for node in graph.node], made)


def keep_what_is_needed(graph: onnx.GraphProto, nodes: list, made: dict) -> None:
    wanted = {output.name for output in graph.output}
    kept = []
    # The nodes are in order, so whoever reads an output comes after it.
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(node.input)
    tensors = [tensor for tensor in graph.initializer if tensor.name in wanted]
    tensors += [numpy_helper.from_array(value, name) for name, value in made.items() if name in wanted]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(tensors)


def main() -> None:
    source, destination = map(pathlib.Path, sys.argv[1:])
    model = onnx.load(source / "model.onnx")
    to_float(model)
    left = {node.op_type for node in model.graph.node if "Integer" in node.op_type or "Quantize" in node.op_type}
    if left:
        sys.exit(f"the graph still has {left}")
    model_folder.save(model, source, destination)


if __name__ == "__main__":
    main()
