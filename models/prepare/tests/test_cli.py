"""The command: what it writes where, what it says, and how it ends."""

import contextlib
import hashlib
import io
import json
import pathlib
import shutil
import tempfile
import unittest

import numpy as np
import onnx
from test_exports import EXPORTS, run
from written import Written

from prepare_model import cli


class Command(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.model = self.folder / "model"
        shutil.copytree(EXPORTS / "roberta-old", self.model)
        (self.model / "model.onnx.varlen").unlink()

    def files(self, folder: pathlib.Path) -> set[str]:
        return {file.name for file in folder.iterdir()}

    def test_it_names_the_model_that_it_was_made_of(self):
        self.assertEqual(run(self.model)[0], 0)
        varlen = onnx.load(self.model / "model.onnx.varlen", load_external_data=False)
        said = {entry.key: entry.value for entry in varlen.metadata_props}
        made_of = hashlib.sha256((self.model / "model.onnx").read_bytes()).hexdigest()
        self.assertEqual(said, {"made_of_sha256": made_of})

    def test_nothing_is_left_but_the_files(self):
        run(self.model)
        names = {"answers.json", "config.json", "model.onnx", "model.onnx.data", "model.onnx.varlen"}
        self.assertEqual(self.files(self.model), names)

    def test_a_folder_to_serve_is_written_elsewhere(self):
        before = {file.name: file.read_bytes() for file in self.model.iterdir()}
        code, said = run(self.model, "--int8", "--output", self.folder / "out")
        self.assertEqual(code, 0, said)
        self.assertEqual({file.name: file.read_bytes() for file in self.model.iterdir()}, before)
        found = self.files(self.folder / "out")
        self.assertLessEqual({"config.json", "model.onnx", "model.onnx.varlen"}, found)
        self.assertNotIn("model_quantized.onnx", found)

    def test_an_onnx_folder_is_looked_into(self):
        (self.model / "onnx").mkdir()
        for name in ("model.onnx", "model.onnx.data"):
            (self.model / name).rename(self.model / "onnx" / name)
        self.assertEqual(run(self.model)[0], 0)
        self.assertEqual(self.files(self.model / "onnx"), {"model.onnx", "model.onnx.data", "model.onnx.varlen"})

    def test_weights_that_are_in_another_file_are_moved(self):
        onnx.save(
            onnx.load(self.model / "model.onnx"),
            self.model / "model.onnx",
            save_as_external_data=True,
            location="model.onnx_data",
            size_threshold=64,
        )
        code, said = run(self.model)
        self.assertEqual(code, 0, said)
        self.assertIn("no longer read: model.onnx_data", said)
        (self.model / "model.onnx_data").unlink()
        self.assertEqual(run(self.model)[0], 0)

    def test_labels_sizes_and_padding_are_reported(self):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            self.assertEqual(cli.main([str(self.model), "--int8"]), 0)
        for line in (
            "checked on 32 texts, whose tokens are by chance, as no tokenizer.json is beside it",
            "without padding, alone:",
            "without padding, in batches:",
            "int8, alone:",
            "int8, in padded batches:",
            "of 32 labels as before, outputs differ by at most",
            "model_quantized.onnx.varlen: ",
            "of which 0.0 kB are mapped",
            "is padding",
            "ONNX Runtime on one thread runs",
        ):
            self.assertIn(line, said.getvalue())

    def test_texts_are_read_by_the_models_tokenizer(self):
        shutil.copy(EXPORTS / "tokenizer.json", self.model / "tokenizer.json")
        (self.folder / "texts").write_text("5 6 7\n\n8 9\n" + " ".join(["10"] * 90) + "\n")
        code, said = run(self.model, "--texts", self.folder / "texts")
        self.assertEqual(code, 0, said)
        self.assertIn("checked on 3 texts, whose tokens are by tokenizer.json", said)

    def test_a_model_that_is_not_understood_is_prepared_all_the_same(self):
        file = self.folder / "causal.onnx"
        onnx.save(Written(mask="causal where").model(), file)
        code, said = run(file)
        self.assertEqual(code, cli.PADDED)
        self.assertIn("batches of it will be padded: the Softmax that makes ", said)
        self.assertTrue(file.with_name("causal.onnx.data").exists())
        self.assertFalse(file.with_name("causal.onnx.varlen").exists())

    def test_a_graph_of_before_goes_when_the_model_is_not_understood(self):
        file = self.folder / "mean.onnx"
        onnx.save(Written(pooling="mean").model(), file)
        file.with_name("mean.onnx.varlen").write_text("of before")
        self.assertEqual(run(file)[0], cli.PADDED)
        self.assertFalse(file.with_name("mean.onnx.varlen").exists())

    def test_int8_is_made_of_floats_only(self):
        code, said = run(EXPORTS / "roberta-int8", "--int8", "--output", self.folder / "out")
        self.assertEqual(code, 1)
        self.assertIn("it is quantized already: it has a DynamicQuantizeLinear", said)
        self.assertFalse((self.folder / "out" / "model.onnx").exists())

    def test_labels_that_change_are_reason_to_write_nothing(self):
        shutil.copy(EXPORTS / "tokenizer.json", self.model / "tokenizer.json")
        before = self.files(self.model)
        code, said = run(self.model, "--int8", "--agreement", "1.1")
        self.assertEqual(code, cli.ANSWERS_OTHERWISE)
        self.assertIn("less than --agreement 1.1: nothing is written", said)
        self.assertEqual(self.files(self.model), before)

    def test_what_is_no_model_is_said(self):
        (self.folder / "text.onnx").write_text("not a graph")
        (self.folder / "large").mkdir()
        (self.folder / "large" / "model.onnx").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
        for given, says in (
            (self.folder / "text.onnx", "can't be read as an ONNX model"),
            (self.folder / "absent.onnx", "there is no"),
            (self.folder / "large", "it is a Git LFS pointer"),
            (self.folder, "has 1 ONNX files"),
        ):
            with self.subTest(says):
                if given == self.folder:
                    (self.folder / "text.onnx").unlink()
                    says = "has no ONNX files"
                code, said = run(given)
                self.assertEqual(code, 1)
                self.assertIn(says, said)

    def test_help_says_what_exit_codes_mean(self):
        said = io.StringIO()
        with contextlib.redirect_stdout(said), self.assertRaises(SystemExit) as end:
            cli.main(["--help"])
        self.assertEqual(end.exception.code, 0)
        for part in ("--int8", "--output", "--texts", "exit codes:", "batches will be padded"):
            self.assertIn(part, said.getvalue())

    def test_unsigned_weights_are_quantized_together(self):
        shutil.copytree(EXPORTS / "bert-int8", self.folder / "unsigned")
        model = onnx.load(self.folder / "unsigned" / "model.onnx")
        products = {name for node in model.graph.node if node.op_type == "MatMulInteger" for name in node.input[1::2]}
        for tensor in model.graph.initializer:
            if tensor.name in products:
                values = onnx.numpy_helper.to_array(tensor).astype(np.int16) + 128
                tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.uint8), tensor.name))
        onnx.save(model, self.folder / "unsigned" / "model.onnx")
        code, said = run(self.folder / "unsigned")
        self.assertEqual(code, 0, said)
        self.assertIn("texts of a batch will be quantized together: the MatMulInteger that makes ", said)
        self.assertIn(" has other weights than int8 around 0\n", said)

    def test_the_config_says_which_token_is_padding(self):
        config = json.loads((self.model / "config.json").read_text())
        (self.model / "config.json").write_text("\ufeff" + json.dumps({**config, "pad_token_id": None}))
        self.assertEqual(run(self.model)[0], 0)
        (self.model / "config.json").write_text("not JSON")
        self.assertEqual(run(self.model)[0], 0)


if __name__ == "__main__":
    unittest.main()
