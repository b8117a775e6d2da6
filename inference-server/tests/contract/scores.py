"""What Python's ONNX Runtime and tokenizers make of sentences: scores.py MODEL SENTENCES

MODEL is a model folder, SENTENCES a file with one in each line. Prints a JSON object with label and score a line, and
to stderr the version of ONNX Runtime. Each sentence runs alone, as a quantized model's score depends on its batch.
"""

import json
import pathlib
import sys

import numpy as np
import onnxruntime
from tokenizers import Tokenizer


def main() -> None:
    folder, sentences = map(pathlib.Path, sys.argv[1:])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(512)
    labels = {int(index): name for index, name in json.loads((folder / "config.json").read_text())["id2label"].items()}
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    for sentence in sentences.read_text(encoding="utf-8").splitlines():
        encoding = tokenizer.encode(sentence)
        (logits,) = session.run(["logits"], {
            "input_ids": np.array([encoding.ids], dtype=np.int64),
            "attention_mask": np.array([encoding.attention_mask], dtype=np.int64),
            "token_type_ids": np.array([encoding.type_ids], dtype=np.int64),
        })
        powers = np.exp(logits[0].astype(np.float64) - logits[0].max())
        winner = int(powers.argmax())
        print(json.dumps({"label": labels[winner], "score": powers[winner] / powers.sum()}))
    print(onnxruntime.__version__, file=sys.stderr)


if __name__ == "__main__":
    main()
