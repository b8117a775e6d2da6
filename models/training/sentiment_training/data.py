"""The sets that a model is trained on and selected by.

A set is a file `text<TAB>label`, UTF-8. A folder of data has `train/`, `research/`, `dev/`, `sst2_dev.tsv` and `emoji_polarity.tsv`.
"""

import random
from dataclasses import dataclass, replace

from . import facts

LABELS = ("negative", "neutral", "positive")
NEGATIVE, NEUTRAL, POSITIVE = range(3)


@dataclass(frozen=True)
class Part:
    """How much of a set is used: at most `most` texts, each `times`, their loss times `weight`, cut to `tokens`, and whether neutral ones."""

    name: str
    most: int | None = None
    times: int = 1
    weight: float = 1.0
    tokens: int = 128
    neutral: bool = True


@dataclass(frozen=True)
class Example:
    """A text, its class, what its loss is multiplied by, and the tokens that it is cut to."""

    text: str
    label: int
    weight: float = 1.0
    tokens: int = 128

    def among(self, classes):
        """The same with the class's place among `classes`."""
        return replace(self, label=classes.index(self.label))


def read(path):
    """Pairs of text and class."""
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            text, label = line.rstrip("\n").rsplit("\t", 1)
            yield text, LABELS.index(label)


def read_sst2(folder):
    """SST-2's own development set: pairs of text and class, none of them neutral."""
    with open(folder / "sst2_dev.tsv", encoding="utf-8") as lines:
        for line in lines:
            text, label = line.rstrip("\n").rsplit("\t", 1)
            if label in ("0", "1"):
                yield text, POSITIVE if label == "1" else NEGATIVE


def read_emoji(folder):
    """Emoji with a polarity from -4 to 4."""
    with open(folder / "emoji_polarity.tsv", encoding="utf-8") as lines:
        return {emoji: int(polarity) for emoji, polarity, _ in (line.rstrip("\n").split("\t") for line in lines)}


def development(folder):
    """The development sets by name."""
    sets = {path.stem: list(read(path)) for path in sorted((folder / "dev").glob("*.tsv"))}
    return {"sst2": list(read_sst2(folder)), **sets}


def training(folder, plan, development, wordnet, coloured):
    """The examples of a round: its parts, facts, people and emoji, without any text of a development set, shuffled.

    `development` are the sets whose texts are left out, `wordnet` is the folder of WordNet's files; `coloured(text)` tells
    whether a definition has a word with a tone.
    """
    rng = random.Random(plan.settings.seed)
    kept_out = {_key(text) for texts in development.values() for text, _ in texts}
    examples = []
    for part in plan.parts:
        pairs = [pair for pair in read(folder / f"{part.name}.tsv") if _key(pair[0]) not in kept_out]
        pairs = [pair for pair in pairs if part.neutral or pair[1] != NEUTRAL]
        rng.shuffle(pairs)
        for text, label in pairs[: part.most]:
            examples += [Example(text, label, part.weight, part.tokens)] * part.times
    plain = facts.written(plan.facts, plan.settings.seed)
    plain += facts.definitions(wordnet, plan.definitions, plan.settings.seed, coloured)
    examples += [Example(text, NEUTRAL) for text in plain]
    examples += [
        Example(text, LABELS.index(label)) for text, label in facts.about_people(plan.people, plan.settings.seed)
    ]
    examples += with_emoji(plan.emoji, read_emoji(folder), plain, examples, rng)
    rng.shuffle(examples)
    return examples


def with_emoji(count, polarity, plain, examples, rng):
    """`count` examples with emoji: alone, behind a plain fact, and behind a text that says the same as they do."""
    sides = {
        NEGATIVE: [e for e, p in polarity.items() if p <= -2],
        POSITIVE: [e for e, p in polarity.items() if p >= 2],
    }
    neither = [e for e, p in polarity.items() if p == 0]
    by_label = {label: [e.text for e in examples if e.label == label and len(e.text) < 90] for label in sides}
    found = []
    for _ in range(count):
        label = rng.choice(tuple(sides))
        emoji = rng.choice(sides[label]) * rng.choice((1, 1, 1, 2, 3))
        match rng.randrange(4):
            case 0:
                found.append(Example(emoji, label))
            case 1:
                found.append(Example(rng.choice(plain) + rng.choice((" ", "")) + emoji, label, 0.7))
            case 2:
                found.append(Example(rng.choice(by_label[label]) + rng.choice((" ", "")) + emoji, label))
            case _:
                text = rng.choice(plain)
                found.append(
                    Example(f"{text} {rng.choice(neither)}" if neither and rng.random() < 0.3 else text, NEUTRAL)
                )
    return found


def _key(text):
    return " ".join(text.lower().split())
