"""How a round of training goes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Of a training: texts go in batches of `tokens` tokens; `smoothing` is what a label gives to the others."""

    rate: float = 1e-4
    tokens: int = 1536
    epochs: float = 1.0
    warm_up: float = 0.06
    decay: float = 0.01
    smoothing: float = 0.03
    seed: int = 7
