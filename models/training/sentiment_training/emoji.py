"""Emoji as words of the vocabulary: they take the slots that BERT's vocabulary has left unused.

Each has two entries, alone and as the continuation of a word, since WordPiece doesn't part symbols from letters: "ok👍👍". Its vector
starts as the mean of the vectors of the words in its Unicode name. What modifies one (skin tones) has an entry too, variation selectors and
joiners are dropped by the normalizer.
"""

import re
import unicodedata

RANGES = (
    (0x1F600, 0x1F650),
    (0x1F910, 0x1F930),
    (0x1F970, 0x1F97B),
    (0x1F493, 0x1F4A6),
    (0x1F440, 0x1F451),
    (0x1F3FB, 0x1F400),
    (0x1FAE0, 0x1FAE9),
    (0x1FAF0, 0x1FAF9),
    (0x1F380, 0x1F3C7),
    (0x2600, 0x2615),
    (0x2648, 0x267F),
    (0x2690, 0x27C0),
    (0x1F345, 0x1F37F),
    (0x1F680, 0x1F6A5),
    (0x1F4A7, 0x1F4FD),
    (0x1F950, 0x1F970),
)
DULL = {"sign", "symbol", "with", "and", "mark", "heavy", "black", "white", "emoji", "the", "of", "type", "modifier"}


def is_emoji(char):
    """A pictograph, a dingbat or a skin tone."""
    return (
        0x2190 <= ord(char) != 0xFFFD
        and unicodedata.category(char) in ("So", "Sk")
        and unicodedata.name(char, "") != ""
    )


def chosen(polarity, texts, slots):
    """So many emoji that two entries each fit into `slots`: those of `polarity`, the most frequent ones, then whole blocks."""
    counts = {}
    for text in texts:
        for char in text:
            if is_emoji(char):
                counts[char] = counts.get(char, 0) + 1
    order = [c for emoji in polarity for c in emoji if is_emoji(c)]
    order += sorted(counts, key=lambda c: (-counts[c], c))
    order += [chr(c) for first, end in RANGES for c in range(first, end) if is_emoji(chr(c))]
    return list(dict.fromkeys(order))[: slots // 2]


def add(tokenizer, word, emoji):
    """`tokenizer` (the parsed tokenizer.json) and the table of vectors `word` [entries, width] with the emoji in unused slots."""
    vocabulary = tokenizer["model"]["vocab"]
    unused = sorted((i, t) for t, i in vocabulary.items() if re.fullmatch(r"\[unused\d+\]", t))
    word = word.copy()
    for number, char in enumerate(emoji):
        if char in vocabulary:
            continue
        names = [w for w in re.findall(r"[a-z]+", unicodedata.name(char).lower()) if w not in DULL and w in vocabulary]
        vector = word[[vocabulary[w] for w in names]].mean(0) if names else word[vocabulary["[UNK]"]]
        for (slot, old), new in zip(unused[2 * number : 2 * number + 2], (char, "##" + char), strict=True):
            del vocabulary[old]
            vocabulary[new] = slot
            word[slot] = vector
    return word
