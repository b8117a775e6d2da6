"""Trains an encoder: batches of texts of like length, AdamW, cross entropy."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from . import encoder

LENGTHS = (8, 12, 16, 20, 24, 28, 32, 40, 48, 64, 80, 96, 128, 192, 256, 512)


def tokenize(tokenizer, examples, seed):
    """Ids of each example; of one that is longer than its limit the first or the last tokens, as the dice fall."""
    rng = np.random.default_rng(seed)
    found = []
    for example, encoding in zip(examples, tokenizer.encode_batch([e.text for e in examples]), strict=True):
        ids = encoding.ids
        if len(ids) > example.tokens:
            kept = example.tokens - 2
            inner = ids[1 : kept + 1] if rng.random() < 0.5 else ids[-kept - 1 : -1]
            ids = [ids[0], *inner, ids[-1]]
        found.append(np.array(ids, np.int32))
    return found


def shaped(ids, rows, length):
    """Ids and mask of [rows, length], padded with 0; a row beyond `ids` has its first place alone."""
    padded = np.zeros((rows, length), np.int32)
    mask = np.zeros((rows, length), bool)
    mask[:, 0] = True
    for row, one in enumerate(ids):
        padded[row, : len(one)] = one
        mask[row, : len(one)] = True
    return padded, mask


def batches(lengths, tokens, rng):
    """Places of examples in batches of one padded length each, shuffled: pairs of length and places."""
    order = rng.permutation(len(lengths))
    by_length = {}
    for place in order:
        length = next(limit for limit in LENGTHS if lengths[place] <= limit)
        by_length.setdefault(length, []).append(place)
    found = []
    for length, places in by_length.items():
        rows = max(1, tokens // length)
        found += [(length, places[i : i + rows]) for i in range(0, len(places), rows)]
    return [found[i] for i in rng.permutation(len(found))]


def loss(params, ids, mask, targets, weights, key):
    """Cross entropy against the distributions `targets` [rows, classes], weighed."""
    answers = jax.nn.log_softmax(encoder.logits(params, ids, mask, key))
    return -(weights * (targets * answers).sum(-1)).sum() / jnp.maximum(weights.sum(), 1e-6)


def train(params, examples, ids, settings, report):
    """The parameters after training on `examples`, whose `ids` are [`tokenize`]'s. `report(step, steps, params)` is called now and then."""
    rng = np.random.default_rng(settings.seed)
    classes = params["head_b"].shape[0]
    lengths = [len(i) for i in ids]
    plan, epoch = [], batches(lengths, settings.tokens, rng)
    steps = round(len(epoch) * settings.epochs)
    while len(plan) < steps:
        plan += epoch
        epoch = batches(lengths, settings.tokens, rng)
    plan = plan[:steps]
    schedule = optax.warmup_cosine_decay_schedule(
        0, settings.rate, max(1, round(steps * settings.warm_up)), steps, settings.rate * 0.02
    )
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=settings.decay))

    @jax.jit
    def step(params, state, ids, mask, targets, weights, key):
        value, slope = jax.value_and_grad(loss)(params, ids, mask, targets, weights, key)
        updates, state = optimizer.update(slope, state, params)
        return optax.apply_updates(params, updates), state, value

    params = jax.tree.map(jnp.asarray, params)
    state = optimizer.init(params)
    key = jax.random.key(settings.seed, impl="rbg")
    seen, running, started = 0, None, time.monotonic()
    for number, (length, places) in enumerate(plan):
        rows = max(1, settings.tokens // length)
        padded, mask = shaped([ids[p] for p in places], rows, length)
        weights = np.zeros(rows, np.float32)
        weights[: len(places)] = [examples[p].weight for p in places]
        targets = np.full((rows, classes), settings.smoothing / (classes - 1), np.float32)
        for row, place in enumerate(places):
            targets[row, examples[place].label] = 1 - settings.smoothing
        params, state, value = step(params, state, padded, mask, targets, weights, jax.random.fold_in(key, number))
        value = float(value)
        running = value if running is None else 0.98 * running + 0.02 * value
        seen += sum(lengths[p] for p in places)
        if (number + 1) % 50 == 0:
            spent = time.monotonic() - started
            left = spent / (number + 1) * (steps - number - 1)
            print(
                f"step {number + 1} of {steps}, loss {running:.3f}, {seen / spent:.0f} tokens/s, {left / 60:.0f} min left",
                flush=True,
            )
        if (number + 1) % 500 == 0 or number + 1 == steps:
            report(number + 1, steps, params)
    return jax.tree.map(np.asarray, params)


def answer(params, ids, rows=16):
    """Logits [texts, classes] of texts by their ids, in batches of so many rows, shortest first."""
    found = np.zeros((len(ids), params["head_b"].shape[0]), np.float32)
    run = jax.jit(encoder.logits)
    order = np.argsort([len(i) for i in ids], kind="stable")
    for start in range(0, len(order), rows):
        places = order[start : start + rows]
        length = next(limit for limit in LENGTHS if len(ids[places[-1]]) <= limit)
        found[places] = run(params, *shaped([ids[p] for p in places], rows, length))[: len(places)]
    return found
