"""Dynamic quantization of float32 models to int8, by ONNX Runtime's own quantizer."""

import logging
import pathlib

import onnx

from .graph import Graph, Refused

# Of a larger model the graph and its weights don't fit into one message of Protocol Buffers.
LARGEST = 2**31 - 2**20


def refuse_what_is_no_float(graph: Graph) -> None:
    """Raises for a model that is quantized already, or has numbers of 16 bits."""
    done = next((node for node in graph.graph.node if "Quantize" in node.op_type or "Integer" in node.op_type), None)
    if done is not None:
        raise Refused(f"it is quantized already: it has a {done.op_type}")
    half = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
    if found := next((tensor for tensor in graph.graph.initializer if tensor.data_type in half), None):
        kind = onnx.TensorProto.DataType.Name(found.data_type)
        raise Refused(f"{found.name} is {kind}, and int8 is made of FLOAT: export the model in float32")


def without_notes(model: onnx.ModelProto) -> onnx.ModelProto:
    """A model without what its exporter knew of shapes: the quantizer turns weights around, and then takes offence."""
    del model.graph.value_info[:]
    return model


def quantize(source: pathlib.Path, to: pathlib.Path, size: int) -> onnx.ModelProto:
    """The model with weights of int8, each column around 0 with a scale of its own, and tables with one scale each.

    Of weights with a zero point sums would take another product; and scales of columns lose less than one for all.
    Weights that are multiplied use 7 of the 8 bits: CPUs without VNNI add two products in 16 bits, which overflow with
    all 8, so that answers would depend on the CPU. Tables are only read.
    """
    # Late: it takes a second.
    from onnxruntime.quantization import QuantType, quantize_dynamic

    logging.disable(logging.WARNING)
    try:
        large = size > LARGEST
        tables = to.with_name("tables.onnx")
        # Not the rest of what it can: of opset 23's Attention it makes an operator that isn't loaded.
        for read, written, operators, reduced in (
            (source, tables, ["Gather"], False),
            (tables, to, ["Gemm", "MatMul"], True),
        ):
            quantize_dynamic(
                read,
                written,
                op_types_to_quantize=operators,
                per_channel=True,
                reduce_range=reduced,
                weight_type=QuantType.QInt8,
                use_external_data_format=large,
            )
    except Exception as problem:
        raise Refused(f"ONNX Runtime doesn't quantize it: {problem}") from problem
    finally:
        logging.disable(logging.NOTSET)
    return onnx.load(to)
