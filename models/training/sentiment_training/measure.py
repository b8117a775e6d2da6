"""What a finished model answers to the development sets and to the lists beside this, beside plain references."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from . import data, figures
from .data import NEGATIVE, NEUTRAL, POSITIVE

LISTS = Path(__file__).parent.parent / "lists"


ABSENT = -1e4


def columns(logits, classes):
    """Logits [texts, 3] of those of some classes; what isn't among them has no chance."""
    found = np.full((len(logits), len(data.LABELS)), ABSENT, np.float32)
    found[:, classes] = logits
    return found


def among(logits, labels):
    """Logits without neutral where none of the labels is."""
    return logits if NEUTRAL in labels else columns(logits[:, [NEGATIVE, POSITIVE]], [NEGATIVE, POSITIVE])


class Model:
    """A folder as the server takes it; texts run one by one, so that no score depends on another text."""

    def __init__(self, folder, file="model.onnx"):
        """Opens `file` of `folder`."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(folder / file, options, providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(512)
        labels = json.loads((folder / "config.json").read_text())["id2label"]
        names = {"NEGATIVE": NEGATIVE, "NEUTRAL": NEUTRAL, "POSITIVE": POSITIVE}
        self.classes = [names[labels[str(i)]] for i in range(len(labels))]

    def logits(self, texts):
        """Logits [texts, 3]."""
        found = np.zeros((len(texts), len(self.classes)), np.float32)
        inputs = {i.name for i in self.session.get_inputs()}
        for row, encoding in zip(found, self.tokenizer.encode_batch(texts), strict=True):
            fed = {
                "input_ids": encoding.ids,
                "attention_mask": encoding.attention_mask,
                "token_type_ids": encoding.type_ids,
            }
            fed = {name: np.array([value], np.int64) for name, value in fed.items() if name in inputs}
            row[:] = self.session.run(None, fed)[0][0]
        return columns(found, self.classes)


class Vader:
    """The word list of VADER with its authors' own bounds for neutral, ±0.05."""

    def __init__(self):
        """Loads the list."""
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

        self.analyzer = SentimentIntensityAnalyzer()

    def logits(self, texts):
        """Columns that order as its verdicts do."""
        compound = np.array([self.analyzer.polarity_scores(text)["compound"] for text in texts], np.float32)
        return np.stack([-compound, np.full_like(compound, 0.05), compound], 1)


def lines(name):
    """Lines of a list, split at tabs."""
    return [line.split("\t") for line in (LISTS / name).read_text(encoding="utf-8").splitlines()]


def sets(model, development):
    """Of each development set: texts, accuracy, macro-F1 over the three labels, calibration error; and all logits."""
    found, kept = {}, {}
    for name, pairs in development.items():
        labels = np.array([label for _, label in pairs])
        logits = model.logits([text for text, _ in pairs])
        kept[name] = (logits, labels)
        found[name] = of_set(logits, labels)
    return found, kept


def of_set(logits, labels):
    """A row of the table; of one class there is no macro-F1."""
    classes = sorted(set(labels.tolist()))
    scores = figures.softmax(among(logits, labels))
    answers = scores.argmax(1)
    return {
        "texts": len(labels),
        "labels": len(classes),
        "accuracy": float((answers == labels).mean()),
        "macro_f1": figures.macro_f1(labels, answers, classes) if len(classes) > 1 else None,
        "calibration_error": figures.calibration_error(scores.max(1), answers == labels),
    }


def facts(model):
    """The share of plain facts that are called neutral, and those that are not with their score."""
    texts = [line[0] for line in lines("neutral_facts.txt")]
    scores = figures.softmax(model.logits(texts))
    answers = scores.argmax(1)
    return float((answers == NEUTRAL).mean()), [
        (t, int(a), float(s.max())) for t, a, s in zip(texts, answers, scores, strict=True) if a != NEUTRAL
    ]


def behaviour(model):
    """By kind (negation, emoji …): right, asked, and what was wrong."""
    found = {}
    rows = lines("behaviour.tsv")
    scores = figures.softmax(model.logits([text for _, text, _ in rows]))
    for (kind, text, label), row in zip(rows, scores, strict=True):
        right, asked, wrong = found.get(kind, (0, 0, []))
        if row.argmax() == data.LABELS.index(label):
            right += 1
        else:
            wrong = [*wrong, (text, label, data.LABELS[row.argmax()], float(row.max()))]
        found[kind] = (right, asked + 1, wrong)
    return found


def groups(model):
    """By kind: how far favourable minus unfavourable moves when a name or group is swapped (mean and most of ranges), and changed labels."""
    ranges, changed = {}, {}
    for kind, frame, names in lines("groups.tsv"):
        scores = figures.softmax(model.logits([frame.format(name) for name in names.split()]))
        tone = scores[:, POSITIVE] - scores[:, NEGATIVE]
        ranges.setdefault(kind, []).append(float(tone.max() - tone.min()))
        labels = scores.argmax(1)
        changed[kind] = changed.get(kind, 0) + int((labels != np.bincount(labels).argmax()).sum())
    return {
        kind: {"mean_range": float(np.mean(r)), "most": max(r), "changed": changed[kind], "frames": len(r)}
        for kind, r in ranges.items()
    }
