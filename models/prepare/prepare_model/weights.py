"""Weights in a file beside the graph, where ONNX Runtime maps them instead of copying them to the heap."""

import os
import pathlib
from collections.abc import Callable
from typing import BinaryIO

import onnx
from onnx import TensorProto, numpy_helper
from onnx.external_data_helper import set_external_data

# ONNX Runtime maps no smaller part of a file.
PAGE = 4096
# Smaller ones stay in the graph: shapes and scales, which ONNX Runtime reads while it loads.
AT_LEAST = 1024


def _bytes_of(tensor: TensorProto) -> bytes:
    return tensor.raw_data if tensor.HasField("raw_data") else numpy_helper.to_array(tensor).tobytes()


class Weights:
    """The large initializers of a model, each with its place in the file."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.tensors = model.graph.initializer
        self.places: dict[str, tuple[int, int]] = {}
        self.size = 0
        for tensor in self.tensors:
            length = len(_bytes_of(tensor))
            if length >= AT_LEAST and tensor.data_type != TensorProto.STRING:
                offset = -(-self.size // PAGE) * PAGE
                self.places[tensor.name], self.size = (offset, length), offset + length

    def write(self, file: BinaryIO) -> None:
        """The file's content."""
        for tensor in self.tensors:
            if tensor.name in self.places:
                file.seek(self.places[tensor.name][0])
                file.write(_bytes_of(tensor))

    def mapped(self, model: onnx.ModelProto, data: str) -> onnx.ModelProto:
        """A copy of a model, whose weights are in the file of this name where they have a place there."""
        copy = onnx.ModelProto()
        for field in ("ir_version", "producer_name", "producer_version", "domain", "model_version", "doc_string"):
            if model.HasField(field):
                setattr(copy, field, getattr(model, field))
        for fields in ("opset_import", "metadata_props", "functions"):
            getattr(copy, fields).extend(getattr(model, fields))
        for field in ("name", "doc_string"):
            if model.graph.HasField(field):
                setattr(copy.graph, field, getattr(model.graph, field))
        for fields in ("node", "input", "output", "value_info", "sparse_initializer", "quantization_annotation"):
            getattr(copy.graph, fields).extend(getattr(model.graph, fields))
        copy.graph.metadata_props.extend(model.graph.metadata_props)
        copy.graph.initializer.extend(self._referred(tensor, data) for tensor in model.graph.initializer)
        return copy

    def _referred(self, tensor: TensorProto, data: str) -> TensorProto:
        if tensor.name not in self.places:
            return tensor
        offset, length = self.places[tensor.name]
        referred = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims, raw_data=b"")
        set_external_data(referred, data, offset=offset, length=length)
        referred.ClearField("raw_data")
        referred.data_location = TensorProto.EXTERNAL
        return referred


def save(path: pathlib.Path, write: Callable[[BinaryIO], object]) -> None:
    """Writes a file under another name first, so that there is never half of one."""
    rewritten = path.with_name(f"{path.name}.new")
    with open(rewritten, "wb") as file:
        write(file)
    os.replace(rewritten, path)
