"""What a preparation gained: bytes, tokens of padding, and texts a second by ONNX Runtime's own runs."""

import time
from dataclasses import dataclass

import numpy as np

from .check import Padded

# Texts of one batch, as a busy server has them in hand.
BATCH = 32


@dataclass
class Padding:
    """Tokens of a batch of these texts, and those that padding makes of them."""

    texts: int
    tokens: int
    padded: int

    @classmethod
    def of(cls, texts: list[np.ndarray]) -> "Padding":
        """Of one batch."""
        batch = texts[:BATCH]
        return cls(len(batch), sum(map(len, batch)), len(batch) * max(map(len, batch)))

    def __str__(self) -> str:
        share = 1 - self.tokens / self.padded
        batch = f"a padded batch of them {self.padded}, of which {share:.0%} is padding"
        return f"{self.texts} of these texts have {self.tokens} tokens, and {batch}"


def texts_a_second(model: Padded, batch: list[np.ndarray], seconds: float = 1.5) -> float:
    """Texts a second on one thread, in runs of a batch."""
    model(batch)
    runs, start = 0, time.perf_counter()
    while (took := time.perf_counter() - start) < seconds or runs == 0:
        model(batch)
        runs += 1
    return runs * len(batch) / took


def without_padding(texts: list[np.ndarray]) -> list[np.ndarray]:
    """A batch of as many tokens, but of texts of one length."""
    batch = texts[:BATCH]
    length = max(1, round(sum(map(len, batch)) / len(batch)))
    return [np.resize(text, length) for text in batch]


def size(count: float) -> str:
    """Bytes for people."""
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"
