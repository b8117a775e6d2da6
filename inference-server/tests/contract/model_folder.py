"""Model folders for the programs beside this one."""

import pathlib
import shutil

import onnx


def save(model: onnx.ModelProto, source: pathlib.Path, destination: pathlib.Path) -> None:
    """Makes a folder of a model, with the configuration and the tokenizer of another folder."""
    onnx.checker.check_model(model)
    destination.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "tokenizer.json"):
        shutil.copy(source / name, destination / name)
    onnx.save(model, destination / "model.onnx")
