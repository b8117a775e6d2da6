"""The server's own operators as ONNX's reference evaluator computes them, for checks without the server."""

import math
from itertools import pairwise

import numpy as np
from onnx.reference.op_run import OpRun

from .graph import DOMAIN

# Between two of so many numbers for each whole one a straight line is off by less than float32 shows.
_STEPS, _MOST = 2**12, 6
_ERF = np.array([math.erf(step / _STEPS) for step in range(-_MOST * _STEPS, _MOST * _STEPS + 2)])


def erf(x: np.ndarray) -> np.ndarray:
    """The error function of many numbers, which NumPy lacks."""
    places = (np.clip(x.astype(np.float64), -_MOST, _MOST) + _MOST) * _STEPS
    below = places.astype(np.int32)
    return _ERF[below] + (places - below) * (_ERF[below + 1] - _ERF[below])


class VarlenAttention(OpRun):
    op_domain = DOMAIN

    def _run(self, query, key, value, cu_seqlens, distances=None, num_heads=None, scale=None):
        mixed = np.empty_like(query)
        for start, end in pairwise(cu_seqlens):
            q, k, v = (
                part[start:end].reshape(end - start, num_heads, -1).swapaxes(0, 1) for part in (query, key, value)
            )
            scores = q @ k.swapaxes(1, 2) * np.float32(scale)
            if distances is not None:
                reach, tokens = distances.shape[1] // 2, np.arange(end - start)
                scores += distances[:, np.clip(tokens - tokens[:, None], -reach, reach) + reach]
            weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
            weights /= weights.sum(axis=-1, keepdims=True)
            mixed[start:end] = (weights @ v).swapaxes(0, 1).reshape(end - start, -1)
        return (mixed,)


class AddLayerNorm(OpRun):
    op_domain = DOMAIN

    def _run(self, a, b, scale, bias, epsilon=None):
        total = a + b
        total -= total.mean(axis=-1, keepdims=True)
        variance = (total * total).mean(axis=-1, keepdims=True)
        return (total / np.sqrt(variance + np.float32(epsilon)) * scale + bias,)


class Gelu(OpRun):
    op_domain = DOMAIN

    def _run(self, x, **_):
        return (x * (0.5 * (1.0 + erf(x / math.sqrt(2.0)))).astype(np.float32),)


class QuantizeTexts(OpRun):
    """DynamicQuantizeLinear of each text by itself."""

    op_domain = DOMAIN

    def _run(self, x, starts):
        quantized, scales, zero_points = np.empty(x.shape, np.uint8), [], []
        for start, end in pairwise(starts):
            lowest, highest = np.float32(min(x[start:end].min(), 0)), np.float32(max(x[start:end].max(), 0))
            scale = (highest - lowest) / np.float32(255) if lowest < highest else np.float32(1)
            zero_point = np.rint(np.clip(-lowest / scale, 0, 255))
            quantized[start:end] = np.clip(np.rint(x[start:end] / scale) + zero_point, 0, 255)
            scales.append(scale)
            zero_points.append(zero_point)
        return quantized, np.array(scales, np.float32), np.array(zero_points, np.int32)


class DequantizeTexts(OpRun):
    """The numbers of a quantized layer, from the products of what QuantizeTexts made."""

    op_domain = DOMAIN

    def _run(self, sums, scales, zero_points, column_scales, column_sums, bias, starts):
        scales, zero_points = (np.repeat(of_texts, np.diff(starts))[:, None] for of_texts in (scales, zero_points))
        return ((sums - zero_points * column_sums).astype(np.float32) * (scales * column_scales) + bias,)


class QuantizedVarlenAttention(VarlenAttention):
    """Reads three such layers, as the two below read one."""

    def _run(self, *inputs, **attributes):
        layers = (DequantizeTexts._run(self, *inputs[at : at + 6], inputs[18])[0] for at in (0, 6, 12))
        return super()._run(*layers, *inputs[18:], **attributes)


class QuantizedAddLayerNorm(AddLayerNorm):
    def _run(self, *inputs, **attributes):
        return super()._run(*DequantizeTexts._run(self, *inputs[:6], inputs[9]), *inputs[6:9], **attributes)


class QuantizedGelu(Gelu):
    def _run(self, *inputs, **_):
        return super()._run(*DequantizeTexts._run(self, *inputs))


class DequantizeLinear(OpRun):
    """As of opset 10, which onnx itself doesn't evaluate."""

    op_domain = ""

    def _run(self, quantized, scale, zero_point=0, **_):
        return ((quantized.astype(np.int32) - np.int32(zero_point)).astype(np.float32) * scale,)


class MatMulInteger(OpRun):
    """In float32, which is fast, and where sums of so few such products are exact."""

    op_domain = ""
    exact = 2**24 // (255 * 255)

    def _run(self, a, b, a_zero_point=0, b_zero_point=0):
        a, b = (part.astype(np.float32) - np.float32(point) for part, point in ((a, a_zero_point), (b, b_zero_point)))
        total = np.zeros((*a.shape[:-1], b.shape[-1]), np.int32)
        for at in range(0, len(b), self.exact):
            total += (a[..., at : at + self.exact] @ b[at : at + self.exact]).astype(np.int32)
        return (total,)


class Erf(OpRun):
    """For thousands of numbers at once."""

    op_domain = ""

    def _run(self, x):
        return (erf(x).astype(x.dtype),)


class GatherElements(OpRun):
    """Also of more than 64 rows, which onnx itself doesn't evaluate."""

    op_domain = ""

    def _run(self, data, indices, axis=0):
        # As far as the indices reach: NumPy wants the other sides to be equal.
        sides = tuple(slice(None) if at == axis % data.ndim else slice(side) for at, side in enumerate(indices.shape))
        return (np.take_along_axis(data[sides], indices, axis),)


STANDARD = [DequantizeLinear, MatMulInteger, Erf, GatherElements]
OPERATORS = [
    *STANDARD,
    *(VarlenAttention, AddLayerNorm, Gelu, QuantizeTexts, DequantizeTexts),
    *(QuantizedVarlenAttention, QuantizedAddLayerNorm, QuantizedGelu),
]
