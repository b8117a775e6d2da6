"""Each family's models, as exporters write them."""

import contextlib
import io
import json
import pathlib
import shutil
import tempfile
import unittest

import numpy as np
import onnx

from prepare_model import cli
from prepare_model.check import Padded, Unpadded, alone, in_batches
from prepare_model.graph import Graph
from prepare_model.probe import open_session

EXPORTS = pathlib.Path(__file__).parent / "exports"
FOLDERS = sorted(folder.parent for folder in EXPORTS.glob("*/model.onnx"))
FLOATS = [folder for folder in FOLDERS if not folder.name.endswith("-int8")]
FILES = ("model.onnx", "model.onnx.data", "model.onnx.varlen")


def run(*given: str | pathlib.Path) -> tuple[int, str]:
    """The command's exit code, and what it said."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = cli.main([*map(str, given), "--no-figures"])
    return code, said.getvalue()


class Exports(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory())) / "model"

    def copy(self, export: pathlib.Path) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(export, self.folder)

    def test_there_are_all_families(self):
        families = {folder.name.rpartition("-")[0] for folder in FLOATS}
        self.assertEqual(families, {"bert", "distilbert", "electra", "mpnet", "roberta", "xlm-roberta"})

    def test_what_is_beside_this_is_what_the_command_makes(self):
        for export in FOLDERS:
            with self.subTest(export.name):
                self.copy(export)
                (self.folder / "model.onnx.varlen").unlink()
                code, said = run(self.folder)
                self.assertEqual(code, 0, said)
                for file in FILES:
                    if (export / file).exists():
                        self.assertEqual((self.folder / file).read_bytes(), (export / file).read_bytes(), file)

    def test_answers_are_those_of_pytorch(self):
        for export in FLOATS:
            with self.subTest(export.name):
                answers = json.loads((export / "answers.json").read_text())
                texts = [np.array(answer["ids"]) for answer in answers]
                expected = np.array([answer["logits"] for answer in answers])
                padding = json.loads((export / "config.json").read_text())["pad_token_id"]
                model = onnx.load(export / "model.onnx")
                padded = Padded(Graph(model), open_session(export / "model.onnx"), padding)
                unpadded = Unpadded(onnx.load(export / "model.onnx.varlen"))
                for ask in (padded, unpadded):
                    for answer in (alone(ask, texts), in_batches(ask, texts)):
                        self.assertLess(np.abs(answer - expected).max(), 1e-4)

    def test_int8_keeps_labels_and_has_weights_around_zero(self):
        for export in FLOATS:
            with self.subTest(export.name):
                self.copy(export)
                code, said = run(self.folder, "--int8")
                self.assertEqual(code, 0, said)
                self.assertNotIn("quantized together", said)
                model = onnx.load(self.folder / "model_quantized.onnx")
                graph = Graph(model)
                products = [node for node in model.graph.node if node.op_type == "MatMulInteger"]
                self.assertGreaterEqual(len(products), 8)
                for node in products:
                    weights = graph.constant(node.input[1])
                    self.assertEqual(weights.dtype, np.int8)
                    # Two products of such weights fit into the 16 bits that CPUs without VNNI add them in.
                    self.assertIn(int(np.abs(weights.astype(int)).max()), range(32, 65))
                    self.assertFalse(np.any(graph.constant(node.input[3])))
                self.assertTrue((self.folder / "model_quantized.onnx.varlen").exists())
                # What it was made of is as it was.
                self.assertEqual((self.folder / "model.onnx").read_bytes(), (export / "model.onnx").read_bytes())

    def test_positions_are_counted_from_the_familys_first(self):
        for export, first in (("roberta-old", 2), ("xlm-roberta-dynamo", 2), ("mpnet-old", 2), ("bert-old", None)):
            with self.subTest(export):
                graph = Graph(onnx.load(EXPORTS / export / "model.onnx.varlen"))
                self.assertEqual(graph.scalar("varlen/first_position"), first)


if __name__ == "__main__":
    unittest.main()
