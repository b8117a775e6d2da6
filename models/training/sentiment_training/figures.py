"""Figures of classifiers: accuracy, macro-F1, calibration."""

import numpy as np


def softmax(logits):
    """Probabilities along the last axis."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def macro_f1(labels, answers, classes):
    """The mean of the classes' F1; a class that neither side has doesn't count."""
    found = []
    for c in classes:
        right = ((labels == c) & (answers == c)).sum()
        there, said = (labels == c).sum(), (answers == c).sum()
        if there or said:
            found.append(2 * right / (there + said))
    return float(np.mean(found))


def calibration_error(scores, right, bins=15):
    """The expected calibration error: of winners' scores in `bins` equal steps, how far they are from the share that is right."""
    place = np.minimum((scores * bins).astype(int), bins - 1)
    error = 0.0
    for b in range(bins):
        there = place == b
        if there.any():
            error += there.mean() * abs(scores[there].mean() - right[there].mean())
    return float(error)


def temperature(logits, labels, weights):
    """What the logits are divided by so that the weighed log loss is least; by golden section between 0.3 and 5."""

    def cost(heat):
        return -(weights * np.log(softmax(logits / heat)[np.arange(len(labels)), labels] + 1e-12)).sum()

    low, high, ratio = 0.3, 5.0, (5**0.5 - 1) / 2
    while high - low > 1e-3:
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, b) if cost(a) < cost(b) else (a, high)
    return (low + high) / 2
