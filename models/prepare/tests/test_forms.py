"""Forms of graphs that are understood, and what is said of those that aren't."""

import math
import pathlib
import tempfile
import unittest
import unittest.mock

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator
from written import HIDDEN, Written

from prepare_model.check import Padded, Unpadded, alone, check_unpadded, in_batches
from prepare_model.graph import Graph, Refused
from prepare_model.operators import STANDARD
from prepare_model.probe import Probe, open_session
from prepare_model.unpadded import rewrite
from prepare_model.weights import Weights

LENGTHS = (3, 40, 1, 17, 24)


def rewritten(model: onnx.ModelProto) -> tuple[onnx.ModelProto, float]:
    """The graph without padding, and how far its answers in a batch are from the model's to each text alone."""
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        weights, graph = Weights(model), Graph(model)
        with open(work / "data", "wb") as data:
            weights.write(data)
        (work / "model.onnx").write_bytes(weights.mapped(model, "data").SerializeToString())
        probe = Probe(graph, weights, work, "data")
        varlen, _ = rewrite(graph, probe)
        original = Padded(graph, open_session(work / "model.onnx"), 0)
        texts = [probe.made_up(length, seed=length) for length in LENGTHS]
        check_unpadded(original, Unpadded(varlen), texts)
        return varlen, float(np.abs(in_batches(Unpadded(varlen), texts) - alone(original, texts)).max())


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def named(model: onnx.ModelProto, names: dict[str, str]) -> onnx.ModelProto:
    """The model with other names for some values."""
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for tensor in model.graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    return model


class Understood(unittest.TestCase):
    def check(self, opset: int = 17, **forms: str) -> onnx.ModelProto:
        varlen, difference = rewritten(Written(opset, **forms).model())
        self.assertLess(difference, 1e-5)
        found = operators(varlen)
        self.assertEqual((found.count("VarlenAttention"), found.count("Softmax")), (1, forms.get("head") == "softmax"))
        self.assertNotIn("attention_mask", [value.name for value in varlen.graph.input])
        return varlen

    def test_values_may_have_any_names(self):
        model = Written().model()
        made = [node.output[0] for node in model.graph.node if node.output[0] not in ("logits", "output")]
        names = [
            "first",
            "ends",
            "one",
            "starts",
            "rows_end",
            "row_starts",
            "is_one_text",
            "first_tokens",
            "no_texts",
            "all_texts",
            "tokens",
        ]
        self.assertGreater(len(made), len(names))
        varlen, difference = rewritten(named(model, dict(zip(made[::-1], names, strict=False))))
        self.assertLess(difference, 1e-5)
        self.assertIn("VarlenAttention", operators(varlen))

    def test_each_form_of_each_part(self):
        for forms in (
            {},
            {"mask": "where"},
            {"mask": "chosen"},
            {"mask": "causal"},
            # Shows in long texts only.
            {"mask": "window"},
            {"scale": "both"},
            {"weights": "checked"},
            {"heads": "fused"},
            {"heads": "split"},
            {"pooling": "slice"},
            {"head": "softmax"},
            {"bias": "of three dimensions"},
            {"positions": "input"},
            {"gelu": "half last"},
            {"mask": "where", "scale": "both", "weights": "checked", "heads": "fused", "pooling": "slice"},
        ):
            with self.subTest(**forms):
                self.check(**forms)

    def test_what_is_added_by_distance_is_a_table(self):
        # Nothing beyond the token itself changes when tokens see those before them; with a window of 16 it does.
        for form, reach in (("causal", 1), ("window", 17)):
            varlen = self.check(mask=form)
            (attention,) = (node for node in varlen.graph.node if node.op_type == "VarlenAttention")
            table = Graph(varlen).constant(attention.input[4])
            self.assertEqual(table.shape, (2, 2 * reach + 1), form)

    def test_gelu_is_one_node_unless_it_is_approximated(self):
        for form, count in (("", 1), ("half last", 1), ("tanh", 0), ("none", 0)):
            with self.subTest(form):
                self.assertEqual(operators(self.check(gelu=form)).count("Gelu"), count)

    def test_sums_and_their_norms_are_one_node(self):
        found = operators(self.check())
        self.assertEqual((found.count("AddLayerNorm"), found.count("LayerNormalization")), (3, 0))

    def test_queries_keys_and_values_of_one_product_are_columns_of_it(self):
        varlen = self.check(heads="fused")
        (attention,) = (node for node in varlen.graph.node if node.op_type == "VarlenAttention")
        made = {node.output[0]: node for node in varlen.graph.node}
        sources = {made[name].input[0] for name in attention.input[:3]}
        self.assertEqual([made[name].op_type for name in attention.input[:3]], ["Slice"] * 3)
        self.assertEqual(len(sources), 1)


class NotUnderstood(unittest.TestCase):
    def refused(self, **forms: str) -> str:
        with self.assertRaises(Refused) as caught:
            rewritten(Written(**forms).model())
        return str(caught.exception)

    def test_the_node_that_is_in_the_way_is_named(self):
        for forms, says in (
            ({"mask": "causal where"}, "leaves some out"),
            ({"mask": "by place"}, "adds more than how far tokens are apart"),
            ({"heads": "strided"}, "isn't made of tokens that are cut into heads"),
            ({"pooling": "mean"}, "the ReduceMean that makes pooled may mix tokens"),
            ({"pooling": "last"}, "the Gather that makes pooled may mix tokens"),
            ({"positions": "even"}, "chooses rows neither by ids, by types nor by positions one after another"),
            ({"positions": "backwards"}, "chooses rows neither by ids, by types nor by positions one after another"),
            ({"zeroed": "by the mask"}, "may mix tokens"),
        ):
            with self.subTest(**forms):
                self.assertIn(says, self.refused(**forms))

    def test_numbers_of_16_bits(self):
        model = Written(mask="where").model()
        for tensor in model.graph.initializer:
            if tensor.data_type == onnx.TensorProto.FLOAT:
                half = onnx.numpy_helper.to_array(tensor).astype(np.float16)
                tensor.CopyFrom(onnx.numpy_helper.from_array(half, tensor.name))
        for node in model.graph.node:
            for attribute in node.attribute:
                if node.op_type == "Cast" and attribute.i == onnx.TensorProto.FLOAT:
                    attribute.i = onnx.TensorProto.FLOAT16
        model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
        with self.assertRaises(Refused) as caught:
            rewritten(model)
        self.assertIn("computes with float16", str(caught.exception))

    def test_attention_of_onnx_runtimes_optimizer(self):
        model = Written().model()
        (softmax,) = (node for node in model.graph.node if node.op_type == "Softmax")
        fused = onnx.helper.make_node("MultiHeadAttention", [], [], domain="com.microsoft")
        softmax.op_type, softmax.domain = fused.op_type, fused.domain
        graph = Graph(model)
        # Such a node isn't of a form that this test would have to write out to be run.
        probe = unittest.mock.Mock(of_words=set())
        with self.assertRaises(Refused) as caught:
            rewrite(graph, probe)
        self.assertIn("is ONNX Runtime's own: prepare the model as it was before its optimizer", str(caught.exception))

    def test_sides_that_are_fixed(self):
        model = Written().model()
        for value in model.graph.input:
            value.type.tensor_type.shape.dim[1].dim_value = 32
        with self.assertRaises(Refused) as caught:
            rewritten(model)
        self.assertIn("it doesn't take a text of 7 tokens", str(caught.exception))

    def test_answers_that_differ(self):
        # Longer texts than those that are looked at have another scale.
        self.assertIn("its answers to texts alone differ by", self.refused(scale="of long texts"))


def evaluated(operator: str, *inputs: np.ndarray, **attributes) -> np.ndarray:
    """What the evaluator of checks makes of a node."""
    names = [f"in{index}" for index in range(len(inputs))]
    values = [
        onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(value.dtype), None)
        for name, value in zip(names, inputs, strict=True)
    ]
    out = onnx.helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, None)
    node = onnx.helper.make_node(operator, names, ["out"], **attributes)
    graph = onnx.helper.make_graph([node], "one", values, [out])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    evaluator = ReferenceEvaluator(model, new_ops=STANDARD)
    return evaluator.run(None, dict(zip(names, inputs, strict=True)))[0]


class Numbers(unittest.TestCase):
    def test_sums_of_bytes_are_exact(self):
        random = np.random.default_rng(1)
        a, b = random.integers(200, 256, (3, 5000), np.uint8), random.integers(100, 128, (5000, 4), np.int8)
        expected = (a.astype(np.int64) - 7) @ b.astype(np.int64)
        found = evaluated("MatMulInteger", a, b, np.array(7, np.uint8), np.zeros(4, np.int8))
        self.assertTrue(np.array_equal(found, expected))

    def test_the_error_function(self):
        x = np.linspace(-8, 8, 999, dtype=np.float32)
        self.assertLess(np.abs(evaluated("Erf", x) - [math.erf(one) for one in x]).max(), 2e-7)

    def test_elements_of_more_than_64_rows(self):
        data, indices = np.arange(600).reshape(2, 300), np.array([[0, 7, 299], [3, 3, 100]])
        found = evaluated("GatherElements", data, indices, axis=1)
        self.assertEqual(found.tolist(), [[0, 7, 299], [303, 303, 400]])

    def test_weights_have_pages_of_their_own(self):
        model = Written().model()
        weights = Weights(model)
        self.assertTrue(weights.places)
        for name, (offset, length) in weights.places.items():
            self.assertEqual(offset % 4096, 0, name)
            self.assertGreaterEqual(length, 1024, name)
        sizes = {tensor.name: len(tensor.raw_data) for tensor in model.graph.initializer}
        self.assertEqual({name for name, size in sizes.items() if size >= 1024}, set(weights.places))
        self.assertIn(HIDDEN * HIDDEN * 4, sizes.values())


if __name__ == "__main__":
    unittest.main()
