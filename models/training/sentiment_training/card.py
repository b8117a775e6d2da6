"""The model's card: `card.md` with what was measured in the places of its names."""

import argparse
import json
import string
from pathlib import Path

import numpy as np

from . import data, figures, measure

TEMPLATE = Path(__file__).parent.parent / "card.md"
DOMAINS = {
    "sst2": "film reviews, SST-2's own development set",
    "sst_sentences": "film reviews",
    "sst_dev_dynasent_relabel": "film reviews, labelled again for DynaSent",
    "imdb_cad": "film reviews, long",
    "acos_laptops": "laptops",
    "semeval14_laptops": "laptops",
    "semeval14_restaurants": "restaurants",
    "opener_hotels_train": "hotels",
    "dynasent_r1": "reviews of places",
    "dynasent_r2": "reviews of places, written to deceive",
    "tsa_md_reviews": "reviews",
    "fine_food": "groceries",
    "womens_clothing": "clothing",
    "semeval_tweets": "tweets",
    "tweet_extraction": "tweets",
    "vader_tweets": "tweets",
    "goemotions": "forum posts",
    "xed_dialogue": "film dialogue",
    "senti4sd_stackoverflow": "questions on programming",
    "newsmtsc": "news, labels of a person in it",
    "vader_nyt": "news",
    "sentfin_headlines": "headlines of finance",
    "emobank": "mixed, not trained on",
    "weak_neutral_requests": "requests, all neutral",
}


def table(by_model):
    """Markdown: a row for each development set, accuracy and macro-F1 of each model."""
    names = list(by_model)
    rows = [
        "| development set | texts | labels | " + " | ".join(f"{n}" for n in names) + " |",
        "|---|--:|--:|" + "--:|" * len(names),
    ]
    for name, what in DOMAINS.items():
        cells = [by_model[m][name] for m in names]
        values = " | ".join(
            " / ".join(f"{c[f]:.3f}" for f in ("accuracy", "macro_f1") if c[f] is not None) for c in cells
        )
        rows.append(f"| {what} (`{name}`) | {cells[0]['texts']} | {cells[0]['labels']} | {values} |")
    return "\n".join(rows)


def behaviour(found):
    """Markdown: what was asked and what was wrong."""
    rows = ["| kind | right | wrong |", "|---|--:|---|"]
    for kind, (right, asked, wrong) in found.items():
        rows.append(
            f"| {kind} | {right} of {asked} | {'; '.join(f'{text} ({said} {score:.2f})' for text, _, said, score in wrong)} |"
        )
    return "\n".join(rows)


def groups(found):
    """Markdown: how far tone and labels move when a name or a group is swapped for another."""
    rows = ["| swapped | sentences | mean range | largest range | labels unlike most |", "|---|--:|--:|--:|--:|"]
    for kind, row in found.items():
        rows.append(f"| {kind} | {row['frames']} | {row['mean_range']:.2f} | {row['most']:.2f} | {row['changed']} |")
    return "\n".join(rows)


def mean(by_set):
    """The mean of the sets' macro-F1, as text."""
    return f"{np.mean([row['macro_f1'] for row in by_set.values() if row['macro_f1'] is not None]):.3f}"


def pooled_error(kept, heat):
    """Calibration error over all development texts, logits times `heat`; of sets without neutral among the two others."""
    scores, right = [], []
    for logits, labels in kept.values():
        found = figures.softmax(measure.among(logits * heat, labels))
        scores.append(found.max(1))
        right.append(found.argmax(1) == labels)
    return figures.calibration_error(np.concatenate(scores), np.concatenate(right))


def main():
    """Prints the card."""
    parser = argparse.ArgumentParser("sentiment_training.card", description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path, help="folder with float32/, temperature and finished/")
    parser.add_argument("--beside", type=Path, help="folder of a model for the tables' third column")
    parser.add_argument("--figures", type=Path, help="file for everything that was measured, in JSON")
    asked = parser.parse_args()
    development = data.development(asked.data)
    model, exact = measure.Model(asked.work / "finished"), measure.Model(asked.work / "float32")
    heat = float((asked.work / "temperature").read_text())
    by_model = {}
    by_model["this model"], kept = measure.sets(model, development)
    in_float, kept_float = measure.sets(exact, development)
    if asked.beside:
        by_model["the last one"], _ = measure.sets(measure.Model(asked.beside), development)
    by_model["VADER"], _ = measure.sets(measure.Vader(), development)
    share, missed = measure.facts(model)
    acted, swapped = measure.behaviour(model), measure.groups(model)
    agree = np.mean([np.mean(kept[n][0].argmax(1) == kept_float[n][0].argmax(1)) for n in kept])
    values = {
        "table": table(by_model),
        "behaviour": behaviour(acted),
        "groups": groups(swapped),
        "sst2": f"{by_model['this model']['sst2']['accuracy']:.3f}",
        "sst2_float": f"{in_float['sst2']['accuracy']:.3f}",
        "agreement": f"{agree:.3f}",
        "facts": f"{share:.2f}",
        "missed_facts": "; ".join(
            f"“{text}” {data.LABELS[label].upper()} {score:.2f}" for text, label, score in missed
        ),
        "temperature": f"{heat:.2f}",
        "before": f"{pooled_error(kept, heat):.3f}",
        "after": f"{pooled_error(kept, 1.0):.3f}",
        "mean": mean(by_model["this model"]),
        "mean_float": mean(in_float),
    }
    if asked.figures:
        everything = {
            "sets": by_model,
            "float32": in_float,
            "facts": missed,
            "behaviour": acted,
            "groups": swapped,
            **values,
        }
        asked.figures.write_text(json.dumps(everything, indent=1, ensure_ascii=False))
    print(string.Template(TEMPLATE.read_text(encoding="utf-8")).substitute(values), end="")


if __name__ == "__main__":
    main()
