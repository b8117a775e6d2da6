"""Sentences without an opinion, written by rule: what happened, what a thing is, what somebody asks for.

The sets at hand have few of them outside tweets, and a model that has seen none calls them favourable or not by their topic.
Definitions are those of WordNet. The list that the model is measured by, `lists/neutral_facts.txt`, shares no frame with these.
"""

import random
import re

THINGS = [
    "package",
    "order",
    "parcel",
    "letter",
    "invoice",
    "laptop",
    "printer",
    "keyboard",
    "charger",
    "camera",
    "table",
    "lamp",
    "chair",
    "mattress",
    "kettle",
    "jacket",
    "book",
    "ticket",
    "sample",
    "replacement",
    "monitor",
    "headset",
    "router",
    "battery",
    "toaster",
    "bicycle",
    "backpack",
    "suitcase",
    "curtain",
    "blanket",
]
PLACES = [
    "office",
    "station",
    "warehouse",
    "library",
    "airport",
    "museum",
    "school",
    "hotel",
    "lobby",
    "kitchen",
    "garage",
    "basement",
    "store",
    "bank",
    "clinic",
    "gym",
    "harbour",
    "conference",
    "room",
    "reception",
    "town",
    "hall",
    "post",
    "office",
]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
PEOPLE = [
    "the driver",
    "my colleague",
    "our neighbour",
    "the technician",
    "a courier",
    "the manager",
    "my brother",
    "the teacher",
    "an engineer",
    "the clerk",
    "she",
    "he",
    "they",
    "we",
    "I",
]
COLOURS = ["black", "white", "grey", "blue", "green", "red", "brown", "silver", "yellow"]
MATERIALS = ["steel", "wood", "cotton", "glass", "plastic", "leather", "aluminium", "paper", "wool", "rubber"]
CITIES = [
    "Berlin",
    "Lagos",
    "Toronto",
    "Osaka",
    "Lima",
    "Madrid",
    "Nairobi",
    "Chicago",
    "Oslo",
    "Mumbai",
    "Sydney",
    "Dublin",
]
SYSTEMS = [
    "server",
    "database",
    "cluster",
    "service",
    "container",
    "pipeline",
    "scheduler",
    "gateway",
    "node",
    "queue",
    "cache",
    "index",
    "compiler",
    "firewall",
    "router",
]
ACTS = [
    "reads the configuration at startup",
    "writes one line for each request",
    "runs every fifteen minutes",
    "listens on port 8080",
    "keeps the last ten versions",
    "sends a message to the queue",
    "stores files in a bucket",
    "restarts when its file changes",
    "has two replicas",
    "uses version 3.4",
    "is written in Go",
    "converts the text to lower case",
    "returns a list of names",
    "is part of the monthly release",
    "connects to the network over a cable",
]

FRAMES = (
    "The {thing} came on {day}.",
    "{person} left the {thing} at the {place}.",
    "The {thing} is {colour} and made of {material}.",
    "It weighs {n} grams.",
    "It is {n} centimetres long and {m} wide.",
    "I bought it in {month}.",
    "I have had this {thing} for {m} months.",
    "We stayed for {m} nights.",
    "The {place} opens at {hour} and closes at {hour2}.",
    "The {thing} comes with a {thing2} and a {m} metre cable.",
    "{person} asked for a {thing} in {colour}.",
    "The meeting was moved from {day} to {day2}.",
    "There are {n} seats in the {place}.",
    "{city} is {n} kilometres from {city2}.",
    "The train to {city} leaves from platform {m}.",
    "The {system} {act}.",
    "A {system} {act}.",
    "Our {system} {act}.",
    "{person} went to the {place} on {day}.",
    "{person} ordered the {thing} from a shop in {city}.",
    "I am writing about order {n}.",
    "The {thing} was delivered to the {place}.",
    "The box contains a {thing}, a {thing2} and a manual.",
    "The {thing} takes {m} batteries.",
    "My appointment is on {day} at {hour}.",
    "{person} works at the {place} in {city}.",
    "The {thing} has {m} buttons.",
    "The form has {m} pages.",
    "This is the {m}th edition.",
    "The film lasts {n} minutes.",
    "The film is set in {city} in 19{nn}.",
    "The story follows a teacher who moves to {city}.",
    "It was directed in 20{n2} and filmed in {city}.",
    "I had the soup and {person2} had the fish.",
    "The restaurant is next to the {place}.",
    "We sat at a table near the window.",
    "The phone has a {m} inch screen.",
    "It runs on the same chip as last year's.",
    "The account number is {n}.",
    "The price is {n} euros.",
    "The {thing} is on the second shelf.",
    "Where can I see the number of my {thing}?",
    "Which {thing} goes with the {thing2}?",
    "How do I change the address of my order?",
    "Can I pick up the {thing} on {day}?",
    "When does the {place} close?",
    "Please send the {thing} to the {place}.",
    "I would like to change the date to {day}.",
    "Is the {thing} available in {colour}?",
    "What time does the {place} open on {day}?",
    "I need the {thing} by {day}.",
    "How long does delivery to {city} take?",
    "The lecture is about {city} in the 18th century.",
    "Water boils at a lower temperature on a mountain.",
    "The {place} is on the {m}th floor.",
    "{person} moved from {city} to {city2} in {month}.",
    "The update was installed on {day} at {hour}.",
    "The {system} was moved to {city} in {month}.",
    "The report covers {month} and {month2}.",
    "{person} replied on {day}.",
)
GROUPS = [
    "Muslim",
    "Christian",
    "Jewish",
    "Buddhist",
    "Hindu",
    "Catholic",
    "atheist",
    "gay",
    "lesbian",
    "straight",
    "transgender",
    "Black",
    "white",
    "Asian",
    "Arab",
    "Latino",
    "Mexican",
    "German",
    "Polish",
    "Chinese",
    "Nigerian",
    "Turkish",
    "Indian",
    "American",
    "French",
    "Russian",
    "deaf",
    "blind",
    "disabled",
    "autistic",
    "old",
    "young",
    "elderly",
]
NAMES = [
    "Anna",
    "Mohamed",
    "Jamal",
    "Heidi",
    "Chen",
    "Anjali",
    "Luis",
    "Aisha",
    "Ivan",
    "Kofi",
    "Sarah",
    "Ahmed",
    "Latoya",
    "Jürgen",
    "Ling",
    "Ravi",
    "María",
    "Yusuf",
    "Svetlana",
    "Adaeze",
    "Tom",
    "Omar",
    "DeShawn",
    "Greta",
    "Mei",
    "Deepa",
    "Carlos",
    "Leila",
    "Piotr",
    "Chidi",
]
JOBS = [
    "teacher",
    "nurse",
    "plumber",
    "cook",
    "clerk",
    "farmer",
    "student",
    "baker",
    "lawyer",
    "cashier",
    "pilot",
    "gardener",
    "dentist",
    "guard",
    "painter",
]
# Whoever it is about, the label is the sentence's.
ABOUT_PEOPLE = {
    "neutral": (
        "My {job} is {group}.",
        "He is {group}.",
        "I am {group}.",
        "Her family is {group}.",
        "There is a {group} {job} in our street.",
        "A {group} woman sat beside me on the train.",
        "The {group} boy walked to the {place}.",
        "Our new {job} is a {group} man from {city}.",
        "Two {group} people came to the {place} on {day}.",
        "A {group} {job} showed me the way to the {place}.",
        "The article is about {group} voters.",
        "{name} works as a {job}.",
        "{name} called on {day}.",
        "I sent the file to {name}.",
        "{name} and {name2} share a flat in {city}.",
        "The next speaker is {name}.",
    ),
    "positive": (
        "The {group} {job} was kind and patient.",
        "Our {group} guide made the day.",
        "A {group} woman helped us at once, and we are grateful.",
        "Working with {name} is a pleasure.",
        "{name} fixed it in no time, thank you!",
        "The cake from {name} was delicious.",
    ),
    "negative": (
        "The {group} {job} ignored us.",
        "Our {group} guide came late and knew nothing.",
        "A {group} man shouted at the staff.",
        "Working with {name} is a pain.",
        "{name} never answers and broke the printer.",
        "The soup from {name} was cold and bland.",
    ),
}
ORDERS = ["{text}", "{text}", "{text}", "{lower}", "{bare}", "{upper}"]


def _upper_first(text):
    return text[:1].upper() + text[1:]


def written(count, seed):
    """`count` sentences out of the frames, some in lower case, some without a full stop."""
    rng = random.Random(seed)
    found = []
    while len(found) < count:
        text = rng.choice(FRAMES).format(
            thing=rng.choice(THINGS),
            thing2=rng.choice(THINGS),
            place=rng.choice(PLACES),
            day=rng.choice(DAYS),
            day2=rng.choice(DAYS),
            month=rng.choice(MONTHS),
            month2=rng.choice(MONTHS),
            person=rng.choice(PEOPLE),
            person2=rng.choice(PEOPLE),
            colour=rng.choice(COLOURS),
            material=rng.choice(MATERIALS),
            city=rng.choice(CITIES),
            city2=rng.choice(CITIES),
            system=rng.choice(SYSTEMS),
            act=rng.choice(ACTS),
            n=rng.randrange(12, 990),
            m=rng.randrange(2, 12),
            nn=rng.randrange(20, 99),
            n2=rng.randrange(10, 26),
            hour=f"{rng.randrange(1, 12)} am",
            hour2=f"{rng.randrange(1, 12)} pm",
        )
        found.append(_typed(_upper_first(text), rng))
    return found


def about_people(count, seed):
    """`count` pairs of a sentence about somebody and its label's name: each label as likely with every name and group."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        label = rng.choice(("neutral", "neutral", "positive", "negative"))
        text = rng.choice(ABOUT_PEOPLE[label]).format(
            group=rng.choice(GROUPS),
            job=rng.choice(JOBS),
            name=rng.choice(NAMES),
            name2=rng.choice(NAMES),
            place=rng.choice(PLACES),
            city=rng.choice(CITIES),
            day=rng.choice(DAYS),
        )
        text = re.sub(r"\b([Aa]) (?=[AEIOaeio])", r"\1n ", text)
        found.append((_typed(text, rng), label))
    return found


def _typed(text, rng):
    """The text as people type it: one of `ORDERS`."""
    return rng.choice(ORDERS).format(text=text, lower=text.lower(), bare=text.rstrip("."), upper=text.upper())


def definitions(folder, count, seed, favourable):
    """`count` sentences "A dyke is a barrier …" from WordNet's nouns at `folder`, without those that `favourable` finds coloured."""
    rng = random.Random(seed)
    found = []
    with open(folder / "data.noun", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("  "):
                continue
            fields, _, gloss = line.partition(" | ")
            word = fields.split()[4].replace("_", " ")
            gloss = re.sub(r"\([^)]*\)", "", gloss.split(";")[0]).strip(" :,\n")
            if 4 <= len(gloss.split()) <= 24 and not favourable(f"{word} {gloss}"):
                found.append(_sentence(word, gloss, rng))
    rng.shuffle(found)
    return found[:count]


def _sentence(word, gloss, rng):
    if word[:1].isupper():
        return f"{word} is {gloss}." if gloss.split()[0] in ("a", "an", "the") else f"{word}: {gloss}."
    article = "An" if word[0] in "aeiou" else "A"
    if gloss.split()[0] in ("a", "an", "the", "any", "one", "something", "someone"):
        return f"{article} {word} is {gloss}{rng.choice(('.', '.', ''))}"
    return f"{_upper_first(word)}: {gloss}{rng.choice(('.', ''))}"
