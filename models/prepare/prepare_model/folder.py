"""The folder that a model comes from, in the layout of the Hugging Face Hub."""

import json
import pathlib
import shutil
from dataclasses import dataclass
from typing import Any

import onnx

# As the server looks for them; a quantized one is made of the last.
NAMES = ("model.quantized.onnx", "model_quantized.onnx", "model_optimized.onnx", "model.onnx")
QUANTIZED = "model_quantized.onnx"
# What else a model needs.
BESIDE = ("*.json", "*.txt", "*.model", "*.md", "LICENSE*")

# Those that count positions from behind the padding token's.
AFTER_PADDING = ("roberta", "xlm-roberta", "camembert", "mpnet")


@dataclass(frozen=True)
class Source:
    """An ONNX file, and what is beside it."""

    file: pathlib.Path
    root: pathlib.Path

    @classmethod
    def find(cls, path: pathlib.Path, is_float: bool) -> "Source":
        """The model at a path: an ONNX file or a folder, where for `is_float` the one to quantize is looked for."""
        if path.is_dir():
            names = NAMES[::-1] if is_float else NAMES
            files = [folder / name for folder in (path, path / "onnx") for name in names]
            file = next((file for file in files if file.is_file()), None)
            if file is None:
                found = sorted([*path.glob("*.onnx"), *path.glob("onnx/*.onnx")])
                if len(found) != 1:
                    raise FileNotFoundError(f"{path} has {len(found) or 'no'} ONNX files: name the one to prepare")
                file = found[0]
            return cls(file, path)
        if not path.is_file():
            raise FileNotFoundError(f"there is no {path}")
        above = path.resolve().parent.parent
        is_below = path.resolve().parent.name == "onnx" and (above / "config.json").is_file()
        return cls(path, above if is_below else path.parent)

    def config(self) -> dict[str, Any]:
        """What config.json says."""
        try:
            read = json.loads((self.root / "config.json").read_text(encoding="utf-8-sig"))
        except (OSError, ValueError):
            return {}
        return read if isinstance(read, dict) else {}

    def padding(self) -> int | None:
        """The id of the padding token."""
        found = self.config().get("pad_token_id")
        return found if isinstance(found, int) and found >= 0 else None

    def first_position(self) -> int:
        """The position that the server feeds for a first token, where the model takes positions."""
        padding = self.padding()
        return (1 if padding is None else padding) + 1 if self.config().get("model_type") in AFTER_PADDING else 0

    def tokenizer(self) -> pathlib.Path | None:
        """The tokenizer's file."""
        file = self.root / "tokenizer.json"
        return file if file.is_file() else None

    def copy_rest(self, to: pathlib.Path) -> None:
        """Copies what a model needs but for the graph and its weights."""
        to.mkdir(parents=True, exist_ok=True)
        for file in sorted({file for pattern in BESIDE for file in self.root.glob(pattern) if file.is_file()}):
            shutil.copy(file, to / file.name)

    def weights(self) -> set[str]:
        """Names of the files beside the graph that its weights are in."""
        model = onnx.load(self.file, load_external_data=False)
        entries = (entry for tensor in model.graph.initializer for entry in tensor.external_data)
        return {entry.value for entry in entries if entry.key == "location"}

    def size(self) -> int:
        """Bytes of the graph with its weights."""
        return self.file.stat().st_size + sum((self.file.parent / name).stat().st_size for name in self.weights())
