"""Writes an encoder as an ONNX graph, float32, with the files of the Hugging Face layout around it."""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .shape import HEADS, WIDTH

OPSET = 17


class _Graph:
    def __init__(self):
        self.nodes, self.initializers = [], []

    def constant(self, name, value):
        self.initializers.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def node(self, operator, inputs, name, outputs=None, **attributes):
        self.nodes.append(helper.make_node(operator, inputs, outputs or [name], name=name, **attributes))
        return name

    def dense(self, x, at, weight, bias):
        product = self.node("MatMul", [x, self.constant(f"{at}.weight", weight)], f"{at}.product")
        return self.node("Add", [product, self.constant(f"{at}.bias", bias)], at)

    def normalized(self, x, at, weight, bias):
        parameters = [self.constant(f"{at}.weight", weight), self.constant(f"{at}.bias", bias)]
        return self.node("LayerNormalization", [x, *parameters], at, axis=-1, epsilon=1e-12)

    def gelu(self, x, at):
        scaled = self.node("Div", [x, "sqrt2"], f"{at}.scaled")
        shifted = self.node("Add", [self.node("Erf", [scaled], f"{at}.erf"), "one"], f"{at}.shifted")
        return self.node("Mul", [self.node("Mul", [x, shifted], f"{at}.doubled"), "half"], at)

    def layer(self, x, p, at):
        mixed = self.dense(x, f"{at}.qkv", p["qkv_w"], p["qkv_b"])
        parts = [f"{at}.{part}" for part in ("query", "key", "value")]
        self.node("Split", [mixed, "thirds"], f"{at}.split", parts, axis=-1)
        heads = [self.node("Reshape", [part, "by_head"], f"{part}.heads") for part in parts]
        query = self.node("Transpose", [heads[0]], f"{parts[0]}.turned", perm=[0, 2, 1, 3])
        key = self.node("Transpose", [heads[1]], f"{parts[1]}.turned", perm=[0, 2, 3, 1])
        value = self.node("Transpose", [heads[2]], f"{parts[2]}.turned", perm=[0, 2, 1, 3])
        scores = self.node("Div", [self.node("MatMul", [query, key], f"{at}.products"), "root"], f"{at}.scores")
        weights = self.node("Softmax", [self.node("Add", [scores, "bias"], f"{at}.masked")], f"{at}.weights", axis=-1)
        context = self.node("MatMul", [weights, value], f"{at}.context")
        flat = self.node(
            "Reshape", [self.node("Transpose", [context], f"{at}.back", perm=[0, 2, 1, 3]), "flat"], f"{at}.flat"
        )
        attended = self.dense(flat, f"{at}.out", p["out_w"], p["out_b"])
        x = self.normalized(self.node("Add", [attended, x], f"{at}.sum1"), f"{at}.norm1", p["norm1_w"], p["norm1_b"])
        wide = self.gelu(self.dense(x, f"{at}.up", p["up_w"], p["up_b"]), f"{at}.gelu")
        narrow = self.dense(wide, f"{at}.down", p["down_w"], p["down_b"])
        return self.normalized(self.node("Add", [narrow, x], f"{at}.sum2"), f"{at}.norm2", p["norm2_w"], p["norm2_b"])


def graph(params, temperature):
    """The model: input_ids, attention_mask and token_type_ids [batch, sequence] int64 to logits [batch, classes], divided by `temperature`."""
    g = _Graph()
    for name, value in (
        ("sqrt2", np.float32(np.sqrt(2))),
        ("one", np.float32(1)),
        ("half", np.float32(0.5)),
        ("lowest", np.float32(-1e4)),
        ("root", np.float32(np.sqrt(WIDTH // HEADS))),
        ("thirds", np.array([WIDTH] * 3)),
        ("by_head", np.array([0, 0, HEADS, WIDTH // HEADS])),
        ("flat", np.array([0, 0, WIDTH])),
        ("zero", np.array(0)),
        ("step", np.array(1)),
        ("axes", np.array([1, 2])),
    ):
        g.constant(name, value)
    length = g.node("Gather", [g.node("Shape", ["input_ids"], "shape"), "step"], "length", axis=0)
    places = g.node("Range", ["zero", length, "step"], "places")
    words = g.node("Gather", [g.constant("embeddings.word", params["word"]), "input_ids"], "words")
    types = g.node("Gather", [g.constant("embeddings.type", np.stack([params["type"]] * 2)), "token_type_ids"], "types")
    positions = g.node("Gather", [g.constant("embeddings.position", params["position"]), places], "positions")
    x = g.node("Add", [g.node("Add", [words, types], "words_and_types"), positions], "embedded")
    x = g.normalized(x, "embeddings.norm", params["norm_w"], params["norm_b"])
    mask = g.node("Unsqueeze", [g.node("Cast", ["attention_mask"], "mask", to=TensorProto.FLOAT), "axes"], "mask4")
    g.node("Mul", [g.node("Sub", ["one", mask], "absent"), "lowest"], "bias")
    for number, p in enumerate(params["layers"]):
        x = g.layer(x, p, f"layer.{number}")
    first = g.node("Gather", [x, "zero"], "first", axis=1)
    pooled = g.node("Tanh", [g.dense(first, "pooler", params["pool_w"], params["pool_b"])], "pooled")
    g.dense(pooled, "logits", params["head_w"] / temperature, params["head_b"] / temperature)
    shape = ["batch", "sequence"]
    inputs = [
        helper.make_tensor_value_info(n, TensorProto.INT64, shape)
        for n in ("input_ids", "attention_mask", "token_type_ids")
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", params["head_b"].shape[0]])]
    model = helper.make_model(
        helper.make_graph(g.nodes, "classifier", inputs, outputs, g.initializers),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,
        producer_name="sentiment-training",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def config(params, labels):
    """`config.json` of the model."""
    return {
        "architectures": ["BertForSequenceClassification"],
        "model_type": "bert",
        "hidden_size": WIDTH,
        "num_hidden_layers": len(params["layers"]),
        "num_attention_heads": HEADS,
        "intermediate_size": 4 * WIDTH,
        "hidden_act": "gelu",
        "vocab_size": params["word"].shape[0],
        "max_position_embeddings": params["position"].shape[0],
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        "position_embedding_type": "absolute",
        "problem_type": "single_label_classification",
        "id2label": {str(i): label for i, label in enumerate(labels)},
        "label2id": {label: i for i, label in enumerate(labels)},
    }


def write(folder, params, tokenizer, labels, temperature):
    """The model's folder: `model.onnx`, `tokenizer.json`, `config.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(graph(params, np.float32(temperature)), folder / "model.onnx")
    (folder / "tokenizer.json").write_text(
        json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":")), encoding="utf-8"
    )
    (folder / "config.json").write_text(json.dumps(config(params, labels), separators=(",", ":")), encoding="utf-8")
