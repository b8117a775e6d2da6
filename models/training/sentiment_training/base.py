"""Reads a base model, an ONNX file as sentence encoders are published, into the encoder's parameters.

Exporters fold `MatMul` weights under numbers, so a weight is found by the bias that is added to its product.
"""

import numpy as np
import onnx
from onnx import numpy_helper

from .shape import WIDTH


def read(path, classes, seed=0):
    """Parameters of `path`'s encoder, with a new pooler and head of `classes`."""
    graph = onnx.load(path).graph
    tensors = {t.name: numpy_helper.to_array(t).astype(np.float32) for t in graph.initializer}
    by_output = {out: node for node in graph.node for out in node.output}

    def constant(name):
        if name in tensors:
            return tensors[name]
        node = by_output.get(name)
        if node is not None and node.op_type == "Constant":
            return numpy_helper.to_array(node.attribute[0].t).astype(np.float32)
        if node is not None and node.op_type == "Transpose":
            inner = constant(node.input[0])
            return None if inner is None else inner.T
        if node is not None and node.op_type == "Identity":
            return constant(node.input[0])
        return None

    weights = {}
    for node in graph.node:
        if node.op_type != "Add":
            continue
        for bias, product in (node.input, reversed(node.input)):
            source = by_output.get(product)
            if bias.endswith(".bias") and source is not None and source.op_type == "MatMul":
                weights[bias] = constant(source.input[1])

    names = [
        n.removesuffix("embeddings.word_embeddings.weight")
        for n in tensors
        if n.endswith("embeddings.word_embeddings.weight")
    ]
    prefix = names[0]

    def tensor(name):
        return tensors[prefix + name]

    def dense(name):
        return weights[f"{prefix}{name}.bias"], tensor(f"{name}.bias")

    count = sum(n.endswith("attention.output.dense.bias") for n in tensors)
    rng = np.random.default_rng(seed)
    params = {
        "word": tensor("embeddings.word_embeddings.weight"),
        "position": tensor("embeddings.position_embeddings.weight"),
        "type": tensor("embeddings.token_type_embeddings.weight")[0],
        "norm_w": tensor("embeddings.LayerNorm.weight"),
        "norm_b": tensor("embeddings.LayerNorm.bias"),
        "layers": [],
        "pool_w": rng.normal(0, 0.02, (WIDTH, WIDTH)).astype(np.float32),
        "pool_b": np.zeros(WIDTH, np.float32),
        "head_w": rng.normal(0, 0.02, (WIDTH, classes)).astype(np.float32),
        "head_b": np.zeros(classes, np.float32),
    }
    for number in range(count):
        at = f"encoder.layer.{number}."
        parts = [dense(f"{at}attention.self.{part}") for part in ("query", "key", "value")]
        layer = {"qkv_w": np.concatenate([w for w, _ in parts], 1), "qkv_b": np.concatenate([b for _, b in parts])}
        for ours, theirs in (("out", "attention.output.dense"), ("up", "intermediate.dense"), ("down", "output.dense")):
            layer[f"{ours}_w"], layer[f"{ours}_b"] = dense(at + theirs)
        for ours, theirs in (("norm1", "attention.output.LayerNorm"), ("norm2", "output.LayerNorm")):
            layer[f"{ours}_w"] = tensor(f"{at}{theirs}.weight")
            layer[f"{ours}_b"] = tensor(f"{at}{theirs}.bias")
        params["layers"].append(layer)
    return params
