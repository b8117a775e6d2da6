"""What is trained on, what is written, and what is said of it."""

import json
import pathlib
import tempfile
import unittest

import numpy as np
from prepare_model import cli

from sentiment_training import data, emoji, export, facts, figures, measure
from sentiment_training.data import NEGATIVE, NEUTRAL, POSITIVE, Part
from sentiment_training.recipe import RECIPES, Round
from sentiment_training.settings import Settings
from sentiment_training.shape import WIDTH


def vocabulary(unused=4):
    words = ["[PAD]", *(f"[unused{i}]" for i in range(unused)), "[UNK]", "[CLS]", "[SEP]", "thumbs", "up", "face", "ok"]
    return {"model": {"type": "WordPiece", "vocab": {word: i for i, word in enumerate(words)}}}


class Sets(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.write("dev/seen.tsv", "Held  OUT\tpositive")
        self.write("sst2_dev.tsv", "sentence\tlabel", "held too\t1", "dull\t0")
        self.write("emoji_polarity.tsv", "👍\t3\tthumbs", "👎\t-3\tthumbs", "🚗\t0\tcar")
        self.write(
            "train/one.tsv",
            "held out\tpositive",
            "Held too\tpositive",
            "bad\tnegative",
            "so so\tneutral",
            "good\tpositive",
        )
        self.write(
            "wordnet/data.noun",
            "  1 licence",
            '1 04 n 01 dyke 0 001 | a barrier that keeps out water; "x"  ',
            "2 04 n 01 ogre 0 001 | a cruel wicked giant of tales  ",
        )

    def write(self, name, *lines):
        (self.folder / name).parent.mkdir(exist_ok=True)
        (self.folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def examples(self, *parts, **more):
        plan = Round(parts, Settings(), **more)
        return data.training(
            self.folder, plan, data.development(self.folder), self.folder / "wordnet", lambda text: "cruel" in text
        )

    def test_texts_of_development_sets_are_left_out_however_they_are_written(self):
        found = {(e.text, e.label) for e in self.examples(Part("train/one"))}
        self.assertEqual(found, {("bad", NEGATIVE), ("so so", NEUTRAL), ("good", POSITIVE)})

    def test_a_part_says_how_often_and_whether_neutral(self):
        found = sorted(e.text for e in self.examples(Part("train/one", times=2, neutral=False)))
        self.assertEqual(found, ["bad", "bad", "good", "good"])

    def test_the_same_seed_gives_the_same_examples(self):
        more = {"facts": 50, "definitions": 5, "emoji": 40}
        self.assertEqual(self.examples(Part("train/one"), **more), self.examples(Part("train/one"), **more))

    def test_definitions_with_a_tone_are_left_out(self):
        self.assertEqual(
            [e.text.rstrip(".") for e in self.examples(definitions=5)], ["A dyke is a barrier that keeps out water"]
        )

    def test_emoji_say_what_their_polarity_is(self):
        alone = {
            (e.text[0], e.label) for e in self.examples(Part("train/one"), facts=5, emoji=200) if e.text[0] in "👍👎"
        }
        self.assertEqual(alone, {("👍", POSITIVE), ("👎", NEGATIVE)})

    def test_what_names_are_measured_by_is_not_trained_on(self):
        measured = {
            frame.format(name).lower().rstrip(".")
            for _, frame, names in measure.lines("groups.tsv")
            for name in names.split()
        }
        for recipe in RECIPES.values():
            for plan in recipe.rounds:
                written = facts.about_people(plan.people, plan.settings.seed)
                self.assertFalse(measured & {text.lower().rstrip(".") for text, _ in written})

    def test_sentences_about_people_say_the_same_of_every_group(self):
        by_label = {}
        for text, label in facts.about_people(9_000, 1):
            for group in facts.GROUPS:
                if f" {group.lower()} " in f" {text.lower().rstrip('.')} ":
                    by_label.setdefault(label, set()).add(group)
        self.assertEqual(by_label, {label: set(facts.GROUPS) for label in facts.ABOUT_PEOPLE})

    def test_what_facts_are_measured_by_is_not_trained_on(self):
        measured = {line[0].lower().rstrip(".") for line in measure.lines("neutral_facts.txt")}
        for recipe in RECIPES.values():
            for plan in recipe.rounds:
                trained = {text.lower().rstrip(".") for text in facts.written(plan.facts, plan.settings.seed)}
                self.assertFalse(measured & trained)
        self.assertGreaterEqual(len(measured), 100)


class Emoji(unittest.TestCase):
    def test_take_unused_entries_alone_and_behind_a_word(self):
        tokenizer, word = vocabulary(), np.arange(12 * 2, dtype=np.float32).reshape(12, 2)
        names = tokenizer["model"]["vocab"]
        new = emoji.add(tokenizer, word, emoji.chosen(["👍"], ["ok 🚗🚗", "\ufffd"], 4))
        self.assertEqual([names["👍"], names["##👍"], names["🚗"], names["##🚗"]], [1, 2, 3, 4])
        self.assertEqual(len(names), 12)
        np.testing.assert_array_equal(new[1], word[[names["thumbs"], names["up"]]].mean(0))
        np.testing.assert_array_equal(new[5:], word[5:])


class Figures(unittest.TestCase):
    def test_a_class_that_nobody_has_does_not_count(self):
        labels, answers = np.array([0, 0, 2, 2]), np.array([0, 2, 2, 2])
        self.assertAlmostEqual(figures.macro_f1(labels, answers, (0, 1, 2)), (2 / 3 + 4 / 5) / 2)

    def test_calibration_error_is_the_distance_from_what_is_right(self):
        scores = np.full(100, 0.9)
        self.assertAlmostEqual(figures.calibration_error(scores, np.arange(100) < 60), 0.3)
        self.assertAlmostEqual(figures.calibration_error(scores, np.arange(100) < 90), 0)

    def test_the_temperature_is_found(self):
        rng = np.random.default_rng(1)
        logits = rng.normal(0, 2, (20_000, 3))
        labels = np.array([rng.choice(3, p=p) for p in figures.softmax(logits)])
        self.assertAlmostEqual(figures.temperature(logits * 1.7, labels, np.ones(len(labels))), 1.7, delta=0.05)


class Written(unittest.TestCase):
    def test_the_graph_is_one_that_runs_without_padding_and_in_int8(self):
        rng = np.random.default_rng(3)

        def drawn(*shape):
            return rng.normal(0, 0.05, shape).astype(np.float32)

        params = {
            "word": drawn(12, WIDTH),
            "position": drawn(512, WIDTH),
            "type": drawn(WIDTH),
            "norm_w": np.ones(WIDTH, np.float32),
            "norm_b": drawn(WIDTH),
            "pool_w": drawn(WIDTH, WIDTH),
            "pool_b": drawn(WIDTH),
            "head_w": drawn(WIDTH, 3),
            "head_b": drawn(3),
            "layers": [
                {
                    "qkv_w": drawn(WIDTH, 3 * WIDTH),
                    "qkv_b": drawn(3 * WIDTH),
                    "out_w": drawn(WIDTH, WIDTH),
                    "out_b": drawn(WIDTH),
                    "up_w": drawn(WIDTH, 4 * WIDTH),
                    "up_b": drawn(4 * WIDTH),
                    "down_w": drawn(4 * WIDTH, WIDTH),
                    "down_b": drawn(WIDTH),
                    **{
                        f"norm{i}_{p}": np.ones(WIDTH, np.float32) if p == "w" else drawn(WIDTH)
                        for i in (1, 2)
                        for p in "wb"
                    },
                }
            ],
        }
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        tokenizer = {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [],
            "normalizer": {
                "type": "BertNormalizer",
                "clean_text": True,
                "handle_chinese_chars": True,
                "strip_accents": None,
                "lowercase": True,
            },
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 7], "cls": ["[CLS]", 6]},
            "decoder": None,
            "model": {
                "type": "WordPiece",
                "unk_token": "[UNK]",
                "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100,
                "vocab": vocabulary()["model"]["vocab"],
            },
        }
        export.write(folder / "float32", params, tokenizer, ("NEGATIVE", "NEUTRAL", "POSITIVE"), 2.0)
        labels = json.loads((folder / "float32" / "config.json").read_text())["id2label"]
        self.assertEqual(labels, {"0": "NEGATIVE", "1": "NEUTRAL", "2": "POSITIVE"})
        hot = measure.Model(folder / "float32").logits(["ok up", "face"])
        export.write(folder / "cold", params, tokenizer, ("NEGATIVE", "NEUTRAL", "POSITIVE"), 1.0)
        np.testing.assert_allclose(
            measure.Model(folder / "cold").logits(["ok up", "face"]), 2 * hot, rtol=1e-4, atol=1e-5
        )
        self.assertEqual(
            cli.main(
                [str(folder / "float32"), "--int8", "--no-figures", "--agreement", "0", "--output", str(folder / "out")]
            ),
            0,
        )
        self.assertTrue((folder / "out" / "model.onnx.varlen").exists())


if __name__ == "__main__":
    unittest.main()
