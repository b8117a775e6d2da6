"""The command: from bases and sets to a model's folder, in stages that are kept, so that a run that was broken off goes on."""

import argparse
import json
import random
from pathlib import Path

import jax
import numpy as np
from tokenizers import Tokenizer

from . import base, data, emoji, export, figures, measure, training
from .recipe import RECIPES

UNUSED = 994
SAMPLE = 150


def arguments():
    """The command's arguments."""
    parser = argparse.ArgumentParser("sentiment_training", description=__doc__)
    parser.add_argument(
        "data", type=Path, help="folder with train/, research/, dev/, sst2_dev.tsv and emoji_polarity.tsv"
    )
    parser.add_argument("sources", type=Path, help="folder with the bases and wordnet, as fetch.sh writes it")
    parser.add_argument(
        "work", type=Path, help="folder for what is kept between stages, and for the model in float32: WORK/float32"
    )
    parser.add_argument("--recipe", choices=RECIPES, default="three-labels")
    parser.add_argument(
        "--texts", type=int, metavar="COUNT", help="train on so many texts only, to try the command out"
    )
    return parser.parse_args()


def save(path, params):
    """Parameters to a file; whole or not at all."""
    named = {
        jax.tree_util.keystr(key): np.asarray(value) for key, value in jax.tree_util.tree_flatten_with_path(params)[0]
    }
    np.savez(path.with_suffix(".part.npz"), **named)
    path.with_suffix(".part.npz").rename(path)


def load(path, like):
    """Parameters of a file, in the form of `like`."""
    with np.load(path) as named:
        return jax.tree_util.tree_map_with_path(lambda key, _: named[jax.tree_util.keystr(key)], like)


class Maker:
    """A recipe's way through the folder of work."""

    def __init__(self, asked):
        """Reads the sets, and gives the base's vocabulary the emoji that are in them."""
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

        self.recipe, self.asked = RECIPES[asked.recipe], asked
        self.classes = [data.LABELS.index(label.lower()) for label in self.recipe.labels]
        print(f"reading the sets of {asked.recipe}", flush=True)
        self.development = data.development(asked.data)
        tone = SentimentIntensityAnalyzer()
        self.rounds = [
            data.training(
                asked.data,
                plan,
                self.development,
                asked.sources / "wordnet",
                lambda text: abs(tone.polarity_scores(text)["compound"]) > 0.05,
            )[: asked.texts]
            for plan in self.recipe.rounds
        ]
        folder = asked.sources / self.recipe.base
        self.params = base.read(folder / "model.onnx", len(self.classes), seed=self.recipe.rounds[0].settings.seed)
        self.tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        self.tokenizer["padding"] = self.tokenizer["truncation"] = None
        if any(plan.emoji for plan in self.recipe.rounds):
            chosen = emoji.chosen(data.read_emoji(asked.data), (e.text for e in self.rounds[0]), UNUSED)
            self.params["word"] = emoji.add(self.tokenizer, self.params["word"], chosen)
        self.reader = Tokenizer.from_str(json.dumps(self.tokenizer))

    def answers(self, params, pairs):
        """Logits [texts, 3] and labels of a development set."""
        ids = [np.array(e.ids[:512]) for e in self.reader.encode_batch([text for text, _ in pairs])]
        return measure.columns(training.answer(params, ids), self.classes), np.array([label for _, label in pairs])

    def round(self, number, params):
        """Parameters after a round; those of an earlier run, if they are there."""
        kept = self.asked.work / f"round{number + 1}.npz"
        if kept.exists():
            print(f"round {number + 1}: {kept} is of an earlier run", flush=True)
            return load(kept, params)
        settings = self.recipe.rounds[number].settings
        examples = [e.among(self.classes) for e in self.rounds[number]]
        ids = training.tokenize(self.reader, examples, settings.seed)
        print(
            f"round {number + 1}: {len(ids)} texts, {sum(map(len, ids))} tokens, {len(params['layers'])} layers",
            flush=True,
        )
        rng = random.Random(settings.seed)
        sample = {
            n: pairs if n == "sst2" else rng.sample(pairs, min(len(pairs), SAMPLE))
            for n, pairs in self.development.items()
        }

        def report(step, steps, params):
            rows = [
                f"{n} {measure.of_set(*self.answers(params, pairs))['accuracy']:.3f}" for n, pairs in sample.items()
            ]
            print(f"round {number + 1}, step {step} of {steps}: {', '.join(rows)}", flush=True)

        params = training.train(params, examples, ids, settings, report)
        save(kept, params)
        return params

    def heat(self, params):
        """The temperature that fits the development sets, each of them as heavy as another."""
        logits, labels, weights = [], [], []
        for pairs in self.development.values():
            found, right = self.answers(params, pairs)
            logits.append(measure.among(found, right))
            labels.append(right)
            weights.append(np.full(len(pairs), 1 / len(pairs)))
        return figures.temperature(np.concatenate(logits), np.concatenate(labels), np.concatenate(weights))


def main():
    """Runs what isn't done yet."""
    asked = arguments()
    asked.work.mkdir(parents=True, exist_ok=True)
    maker = Maker(asked)
    params = maker.params
    for number in range(len(maker.rounds)):
        params = maker.round(number, params)
    heat = maker.heat(params)
    export.write(asked.work / "float32", params, maker.tokenizer, maker.recipe.labels, heat)
    (asked.work / "temperature").write_text(f"{heat:.3f}\n")
    print(f"{asked.work / 'float32'}: temperature {heat:.3f}", flush=True)


main()
