"""What a model is made of: its labels, its base, and the sets of each round of training."""

from dataclasses import dataclass

from .data import Part
from .settings import Settings

THREE = ("NEGATIVE", "NEUTRAL", "POSITIVE")
TWO = ("NEGATIVE", "POSITIVE")

REVIEWS = (
    Part("research/sst_sentences", times=2),
    Part("research/sst_phrases", most=60_000),
    Part("research/acos_laptops", times=2),
    Part("research/opener_hotels_train", times=2),
    Part("research/semeval14_laptops", times=2),
    Part("research/semeval14_restaurants", times=2),
    Part("train/dynasent_r1", times=2),
    Part("train/dynasent_r2", times=2),
    Part("train/tsa_md_reviews", times=2),
)
TALK = (
    Part("train/semeval_tweets", most=20_000),
    Part("train/tweet_extraction", most=11_000, weight=0.7),
    Part("train/vader_tweets"),
    Part("train/vader_nyt", weight=0.7),
    Part("train/goemotions", most=15_000, weight=0.5),
    Part("train/weak_neutral_goemotions_ambiguous", most=1_200, weight=0.3),
    Part("train/weak_neutral_requests"),
    Part("train/xed_dialogue", most=5_000, weight=0.4),
    Part("train/newsmtsc", most=2_500, weight=0.3),
    Part("train/sentfin_headlines", most=3_500, weight=0.5),
    Part("train/senti4sd_stackoverflow", tokens=96),
)
LONG = (
    Part("train/imdb_cad", most=1_500),
    Part("train/womens_clothing", most=2_200, tokens=96),
    Part("train/fine_food", tokens=96),
)
# The second round: films, long ones too, and so much of all else that it isn't forgotten.
FILMS = (
    Part("research/sst_sentences", times=2),
    Part("research/sst_phrases", most=60_000),
    Part("train/imdb_cad", most=900, tokens=256),
)
REMINDER = (
    Part("research/acos_laptops", most=1_500),
    Part("research/opener_hotels_train", most=1_000),
    Part("research/semeval14_laptops"),
    Part("research/semeval14_restaurants"),
    Part("train/dynasent_r1", most=2_000),
    Part("train/dynasent_r2", times=2),
    Part("train/tsa_md_reviews"),
    Part("train/womens_clothing", most=1_400, tokens=160),
    Part("train/fine_food"),
    Part("train/semeval_tweets", most=3_500),
    Part("train/tweet_extraction", most=1_800, weight=0.7),
    Part("train/vader_tweets", most=700),
    Part("train/vader_nyt", most=700, weight=0.7),
    Part("train/goemotions", most=2_200, weight=0.5),
    Part("train/xed_dialogue", most=1_500, weight=0.4),
    Part("train/newsmtsc", most=700, weight=0.3),
    Part("train/sentfin_headlines", most=1_200, weight=0.5),
    Part("train/senti4sd_stackoverflow", most=900, tokens=96),
    Part("train/weak_neutral_requests", most=900),
)


@dataclass(frozen=True)
class Round:
    """Sets, and so many plain facts, definitions, sentences about people and uses of emoji, that are trained on together."""

    parts: tuple[Part, ...]
    settings: Settings
    facts: int = 0
    definitions: int = 0
    people: int = 0
    emoji: int = 0


@dataclass(frozen=True)
class Recipe:
    """How a model is made: a base of `fetch.sh`, and rounds of training one after another."""

    labels: tuple[str, ...]
    base: str
    rounds: tuple[Round, ...]


RECIPES = {
    "three-labels": Recipe(
        THREE,
        "all-minilm-l6-v2",
        (
            Round(REVIEWS + TALK + LONG, Settings(), facts=3_000, definitions=2_000, emoji=4_000),
            Round(
                FILMS + REMINDER,
                Settings(rate=6e-5, seed=8),
                facts=800,
                definitions=500,
                people=1_200,
                emoji=800,
            ),
        ),
    ),
    # The default model until version 0.1: film reviews alone, twelve layers, no neutral.
    "two-labels": Recipe(
        TWO,
        "bge-small-en-v15",
        (
            Round(
                (Part("research/sst_phrases", neutral=False), Part("research/sst_sentences", neutral=False)),
                Settings(rate=5e-5),
            ),
        ),
    ),
}
