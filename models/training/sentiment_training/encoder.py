"""BERT's encoder with a classifier on it, in JAX: the forward pass that training differentiates.

Parameters are a tree of arrays, float32. `layers` is a list.
"""

import jax
import jax.numpy as jnp

from .shape import HEADS


def layer_norm(x, weight, bias):
    """Normalizes the last axis as BERT does, epsilon 1e-12."""
    mean = x.mean(-1, keepdims=True)
    centred = x - mean
    variance = jnp.square(centred).mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt(variance + 1e-12) * weight + bias


def drop(x, key, rate):
    """Inverted dropout; none where `key` is None."""
    if key is None:
        return x
    kept = jax.random.bernoulli(key, 1 - rate, x.shape)
    return jnp.where(kept, x / (1 - rate), 0)


def layer(p, x, bias, key):
    """One transformer layer: x [rows, tokens, width], bias [rows, 1, 1, tokens] added to scores."""
    rows, tokens, width = x.shape
    keys = (None, None) if key is None else jax.random.split(key)
    mixed = x.reshape(rows * tokens, width) @ p["qkv_w"] + p["qkv_b"]
    q, k, v = jnp.moveaxis(mixed.reshape(rows, tokens, 3, HEADS, width // HEADS), 2, 0)
    scores = jnp.einsum("rthd,rshd->rhts", q, k) * (width // HEADS) ** -0.5 + bias
    weights = jax.nn.softmax(scores, axis=-1)
    context = jnp.einsum("rhts,rshd->rthd", weights, v).reshape(rows * tokens, width)
    attended = (context @ p["out_w"] + p["out_b"]).reshape(x.shape)
    x = layer_norm(x + drop(attended, keys[0], 0.1), p["norm1_w"], p["norm1_b"])
    wide = jax.nn.gelu(x.reshape(rows * tokens, width) @ p["up_w"] + p["up_b"], approximate=False)
    narrow = (wide @ p["down_w"] + p["down_b"]).reshape(x.shape)
    return layer_norm(x + drop(narrow, keys[1], 0.1), p["norm2_w"], p["norm2_b"])


def encode(params, ids, mask, key=None):
    """Hidden states of the first token, [rows, width]; ids and mask are [rows, tokens]."""
    tokens = ids.shape[1]
    x = params["word"][ids] + params["position"][:tokens] + params["type"]
    x = layer_norm(x, params["norm_w"], params["norm_b"])
    bias = jnp.where(mask, 0.0, -1e9)[:, None, None, :]
    for number, p in enumerate(params["layers"]):
        x = layer(p, x, bias, None if key is None else jax.random.fold_in(key, number))
    return x[:, 0]


def logits(params, ids, mask, key=None):
    """Scores of the classes before softmax, [rows, classes]."""
    first = encode(params, ids, mask, key)
    pooled = jnp.tanh(first @ params["pool_w"] + params["pool_b"])
    pooled = drop(pooled, None if key is None else jax.random.fold_in(key, 999), 0.1)
    return pooled @ params["head_w"] + params["head_b"]
