"""Makes a model of a shape, with random weights in float32: python3 shaped_model.py DEFAULT DEST SHAPE.

How fast it runs doesn't depend on their values. The tokenizer is the default model's. Needs onnx and numpy.
larger      a BERT of three times the default model's size
distilbert  DistilBERT base: no types, and a mask by Where
roberta     RoBERTa base: positions are counted in the graph, from behind the padding's id
"""

import json
import pathlib
import shutil
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# Words, positions, width, heads, inner width, layers.
SHAPES = {
    "larger": (30522, 512, 384, 12, 1536, 8),
    "distilbert": (30522, 512, 768, 12, 3072, 6),
    "roberta": (50265, 514, 768, 12, 3072, 12),
}
default, destination = map(pathlib.Path, sys.argv[1:3])
shape = sys.argv[3]
config = json.loads((default / "config.json").read_text())
LABELS = len(config["id2label"])
VOCABULARY, POSITIONS, HIDDEN, HEADS, INNER, LAYERS = SHAPES[shape]
PADDING = 1 if shape == "roberta" else 0

random = np.random.default_rng(5)
initializers, nodes, names = [], [], iter(range(10**6))


def constant(value, dtype=np.float32):
    name = f"c{next(names)}"
    initializers.append(numpy_helper.from_array(np.asarray(value, dtype), name))
    return name


def weights(*shape):
    return constant(random.standard_normal(shape, np.float32) * np.float32(0.02))


def node(operator, *inputs, **attributes):
    name = f"n{next(names)}"
    nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
    return name


def linear(value, size_in, size_out):
    return node("Add", node("MatMul", value, weights(size_in, size_out)), weights(size_out))


def normalized(value):
    return node("LayerNormalization", value, constant(np.ones(HIDDEN)), constant(np.zeros(HIDDEN)), epsilon=1e-12)


def heads(value):
    shape = constant([0, 0, HEADS, HIDDEN // HEADS], np.int64)
    return node("Transpose", node("Reshape", value, shape), perm=[0, 2, 1, 3])


def attention(value, mask):
    query, key, content = (heads(linear(value, HIDDEN, HIDDEN)) for _ in range(3))
    scores = node("MatMul", query, node("Transpose", key, perm=[0, 1, 3, 2]))
    scores = node("Mul", scores, constant((HIDDEN // HEADS) ** -0.5))
    mixed = node("MatMul", node("Softmax", masked(scores, mask), axis=-1), content)
    joined = node("Reshape", node("Transpose", mixed, perm=[0, 2, 1, 3]), constant([0, 0, HIDDEN], np.int64))
    return linear(joined, HIDDEN, HIDDEN)


def gelu(value):
    error = node("Erf", node("Div", value, constant(2**0.5)))
    return node("Mul", node("Mul", value, node("Add", error, constant(1.0))), constant(0.5))


def masked(scores, mask):
    if shape == "distilbert":
        return node("Where", mask, constant(np.finfo(np.float32).min), scores)
    return node("Add", scores, mask)


def mask_of(wide):
    if shape == "distilbert":
        return node("Equal", wide, constant(0, np.int64))
    return node("Mul", node("Sub", constant(1.0), node("Cast", wide, to=TensorProto.FLOAT)), constant(-10000.0))


def positions():
    if shape == "roberta":
        counts = node(
            "Cast", node("Not", node("Equal", "input_ids", constant(PADDING, np.int64))), to=TensorProto.INT64
        )
        counted = node("Mul", node("CumSum", counts, constant(1, np.int64)), counts)
        return node("Add", counted, constant(PADDING, np.int64))
    length = node("Gather", node("Shape", "input_ids"), constant(1, np.int64), axis=0)
    return node("Range", constant(0, np.int64), length, constant(1, np.int64))


def build():
    embedded = node("Gather", weights(VOCABULARY, HIDDEN), "input_ids")
    names = ["input_ids", "attention_mask"]
    if shape == "larger":
        names.append("token_type_ids")
        embedded = node("Add", embedded, node("Gather", weights(2, HIDDEN), "token_type_ids"))
    value = normalized(node("Add", embedded, node("Gather", weights(POSITIONS, HIDDEN), positions())))
    mask = mask_of(node("Unsqueeze", "attention_mask", constant([1, 2], np.int64)))
    for _ in range(LAYERS):
        value = normalized(node("Add", value, attention(value, mask)))
        inner = linear(gelu(linear(value, HIDDEN, INNER)), INNER, HIDDEN)
        value = normalized(node("Add", value, inner))
    first = node("Gather", value, constant(0, np.int64), axis=1)
    linear(node("Tanh", linear(first, HIDDEN, HIDDEN)), HIDDEN, LABELS)
    nodes[-1].output[0] = "logits"
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"]) for name in names]
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", LABELS])
    graph = helper.make_graph(nodes, shape, inputs, [output], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


destination.mkdir(parents=True, exist_ok=True)
shutil.copy(default / "tokenizer.json", destination / "tokenizer.json")
config |= {
    "model_type": "bert" if shape == "larger" else shape,
    "max_position_embeddings": POSITIONS,
    "pad_token_id": PADDING,
}
(destination / "config.json").write_text(json.dumps(config, indent=2) + "\n")
onnx.save(build(), destination / "model.onnx")
print(f"{destination}: {(destination / 'model.onnx').stat().st_size / 1e6:.1f} MB")
