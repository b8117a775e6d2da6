"""Tiny classifiers that are written node by node, in forms that the exports beside this don't have."""

from collections.abc import Iterator
from itertools import count

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WORDS, POSITIONS, HIDDEN, HEADS, LABELS = 40, 64, 16, 2, 3
SIZE = HIDDEN // HEADS


class Written:
    """A graph of one layer; what is passed by name is another form of a part of it."""

    def __init__(self, opset: int = 17, **forms: str) -> None:
        self.forms, self.opset = forms, opset
        self.random = np.random.default_rng(5)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[TensorProto] = []
        self.numbers: Iterator[int] = count()
        self.inputs = ["input_ids", "attention_mask"]

    def form(self, part: str) -> str:
        return self.forms.get(part, "")

    def constant(self, value, dtype=np.float32) -> str:
        name = f"c{next(self.numbers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def weights(self, *shape: int) -> str:
        return self.constant(self.random.normal(0, 0.4, shape))

    def node(self, operator: str, *inputs: str, name: str = "", **attributes) -> str:
        name = name or f"n{next(self.numbers)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def linear(self, value: str, size_in: int, size_out: int) -> str:
        return self.node("Add", self.node("MatMul", value, self.weights(size_in, size_out)), self.weights(size_out))

    def normalized(self, value: str) -> str:
        return self.node("LayerNormalization", value, self.weights(HIDDEN), self.weights(HIDDEN), epsilon=1e-5)

    def positions(self) -> str:
        ids, table = "input_ids", self.weights(POSITIONS, HIDDEN)
        if self.form("positions") == "input":
            self.inputs.append("position_ids")
            return self.node("Gather", table, "position_ids")
        length = self.node("Gather", self.node("Shape", ids), self.constant(1, np.int64), axis=0)
        start, step = {"backwards": (63, -1), "even": (0, 2)}.get(self.form("positions"), (0, 1))
        end = self.node("Mul", length, self.constant(step, np.int64))
        end = self.node("Add", end, self.constant(start, np.int64))
        return self.node(
            "Gather", table, self.node("Range", self.constant(start, np.int64), end, self.constant(step, np.int64))
        )

    def split(self, value: str) -> list[str]:
        """Queries, keys and values as [text, head, token, number]."""
        shape = self.constant([0, 0, HEADS, SIZE], np.int64)
        if self.form("heads") == "fused":
            fused = self.linear(value, HIDDEN, 3 * HIDDEN)
            cut = self.node("Reshape", fused, self.constant([0, 0, 3, HEADS, SIZE], np.int64))
            turned = self.node("Transpose", cut, perm=[2, 0, 3, 1, 4])
            return [self.node("Gather", turned, self.constant(index, np.int64), axis=0) for index in range(3)]
        if self.form("heads") == "split":
            names = [f"part{index}" for index in range(3)]
            fused = self.linear(value, HIDDEN, 3 * HIDDEN)
            self.nodes.append(helper.make_node("Split", [fused, self.constant([HIDDEN] * 3, np.int64)], names, axis=-1))
        else:
            names = [self.linear(value, HIDDEN, HIDDEN) for _ in range(3)]
        perm = [0, 2, 1, 3]
        if self.form("heads") == "strided":
            # Neighbouring numbers are of different heads.
            shape, perm = self.constant([0, 0, SIZE, HEADS], np.int64), [0, 3, 1, 2]
        return [self.node("Transpose", self.node("Reshape", name, shape), perm=perm) for name in names]

    def masked(self, scores: str) -> str:
        wide = self.node("Unsqueeze", "attention_mask", self.constant([1, 2], np.int64))
        form = self.form("mask")
        if form == "where":
            hidden = self.node("Equal", wide, self.constant(0, np.int64))
            return self.node("Where", hidden, self.constant(-np.inf), scores)
        if form == "chosen":
            return self.node("Where", self.node("Cast", wide, to=TensorProto.BOOL), scores, self.constant(-1e9))
        if form == "causal where":
            tokens = self.node("Shape", scores)
            ones = self.node("ConstantOfShape", tokens, value=numpy_helper.from_array(np.ones(1, np.int64)))
            seen = self.node("Cast", self.node("Trilu", ones, upper=0), to=TensorProto.BOOL)
            return self.node("Where", seen, scores, self.constant(-1e9))
        mask = self.node("Sub", self.constant(1.0), self.node("Cast", wide, to=TensorProto.FLOAT))
        mask = self.node("Mul", mask, self.constant(np.finfo(np.float32).min))
        if form in ("causal", "window"):
            # A token sees those before it, or those at most 16 away.
            length = self.node("Gather", self.node("Shape", "input_ids"), self.constant(1, np.int64), axis=0)
            row = self.node("Range", self.constant(0, np.int64), length, self.constant(1, np.int64))
            column = self.node("Unsqueeze", row, self.constant([1], np.int64))
            apart = self.node("Sub", row, column)
            apart = self.node("Abs", apart) if form == "window" else apart
            far = self.node("Greater", apart, self.constant(16 if form == "window" else 0, np.int64))
            mask = self.node("Where", far, self.constant(-1e9), mask)
        if form == "by place":
            length = self.node("Gather", self.node("Shape", "input_ids"), self.constant(1, np.int64), axis=0)
            row = self.node("Range", self.constant(0, np.int64), length, self.constant(1, np.int64))
            column = self.node("Unsqueeze", self.node("Cast", row, to=TensorProto.FLOAT), self.constant([1], np.int64))
            mask = self.node("Add", mask, self.node("Mul", column, self.node("Cast", row, to=TensorProto.FLOAT)))
        return self.node("Add", scores, mask, name="masked")

    def scale(self) -> str:
        if self.form("scale") != "of long texts":
            return self.constant(SIZE**0.5)
        length = self.node("Gather", self.node("Shape", "input_ids"), self.constant(1, np.int64), axis=0)
        is_long = self.node("Greater", length, self.constant(20, np.int64))
        return self.node("Add", self.node("Cast", is_long, to=TensorProto.FLOAT), self.constant(SIZE**0.5))

    def attention(self, value: str) -> str:
        query, key, content = self.split(value)
        turned = self.node("Transpose", key, perm=[0, 1, 3, 2])
        if self.form("scale") == "both":
            root = self.constant(SIZE**-0.25)
            scores = self.node("MatMul", self.node("Mul", query, root), self.node("Mul", root, turned))
        else:
            scores = self.node("Div", self.node("MatMul", query, turned), self.scale())
        weights = self.node("Softmax", self.masked(scores), axis=-1)
        if self.form("weights") == "checked":
            broken = self.node("IsNaN", weights)
            weights = self.node("Where", broken, self.constant(0.0), weights)
        mixed = self.node("Transpose", self.node("MatMul", weights, content), perm=[0, 2, 1, 3])
        joined = self.node("Reshape", mixed, self.constant([0, 0, HIDDEN], np.int64))
        return self.linear(joined, HIDDEN, HIDDEN)

    def activated(self, value: str) -> str:
        if self.form("gelu") == "tanh":
            cubed = self.node("Mul", self.node("Pow", value, self.constant(3.0)), self.constant(0.044715))
            inner = self.node("Mul", self.node("Add", value, cubed), self.constant((2 / np.pi) ** 0.5))
            inner = self.node("Add", self.node("Tanh", inner), self.constant(1.0))
            return self.node("Mul", self.node("Mul", value, self.constant(0.5)), inner)
        error = self.node("Erf", self.node("Mul", value, self.constant(0.5**0.5)))
        if self.form("gelu") == "none":
            return self.node("Sub", value, error)
        error = self.node("Add", self.constant(1.0), error)
        if self.form("gelu") == "half last":
            return self.node("Mul", self.node("Mul", value, error), self.constant(0.5))
        return self.node("Mul", self.node("Mul", self.constant(0.5), value), error)

    def pooled(self, value: str) -> str:
        form = self.form("pooling")
        if form == "mean":
            return self.node("ReduceMean", value, axes=[1], keepdims=0, name="pooled")
        if form == "last":
            return self.node("Gather", value, self.constant(-1, np.int64), axis=1, name="pooled")
        if form == "slice":
            ends = [self.constant([end], np.int64) for end in (0, 1, 1)]
            return self.node("Squeeze", self.node("Slice", value, *ends), self.constant([1], np.int64))
        return self.node("Gather", value, self.constant(0, np.int64), axis=1)

    def model(self) -> onnx.ModelProto:
        embedded = self.node("Add", self.node("Gather", self.weights(WORDS, HIDDEN), "input_ids"), self.positions())
        if self.form("bias") == "of three dimensions":
            embedded = self.node("Add", embedded, self.weights(1, 1, HIDDEN))
        value = self.normalized(embedded)
        if self.form("zeroed") == "by the mask":
            mask = self.node(
                "Unsqueeze", self.node("Cast", "attention_mask", to=TensorProto.FLOAT), self.constant([2], np.int64)
            )
            value = self.node("Mul", value, mask, name="zeroed")
        value = self.normalized(self.node("Add", value, self.attention(value)))
        inner = self.activated(self.linear(value, HIDDEN, 24))
        value = self.normalized(self.node("Add", self.linear(inner, 24, HIDDEN), value))
        logits = self.linear(self.node("Tanh", self.linear(self.pooled(value), HIDDEN, HIDDEN)), HIDDEN, LABELS)
        if self.form("head") == "softmax":
            logits = self.node("Softmax", logits, axis=1)
        self.nodes[-1].output[0] = "logits"
        inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["texts", "tokens"]) for name in self.inputs]
        output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["texts", LABELS])
        graph = helper.make_graph(self.nodes, "written", inputs, [output], self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        onnx.checker.check_model(model)
        return model
