#!/usr/bin/env python3
"""make_suite.py: writes shots.jsonl and questions.jsonl beside itself: 5 shots and 200 questions of four choices.

The questions are about the rules of an invented town, so no model has read them; what matters here is their shape, that of
common few-shot suites: a long prompt that all questions share (5 shots), a question of some 60 tokens behind it, choices of a
few tokens. A random model answers a quarter of them. Needs nothing but Python; the same seed, so the same bytes.
"""
import json
import os
import random

HERE = os.path.dirname(os.path.abspath(__file__))
PLACES = ["the north gate", "the ferry landing", "the old granary", "the mill bridge", "the salt market", "the lower quay"]
GOODS = ["a cart of timber", "six barrels of herring", "a crate of window glass", "two sacks of rye flour",
         "a bundle of raw wool", "a cask of lamp oil"]
PEOPLE = ["a carter", "a widow of the parish", "a journeyman mason", "the ferryman's apprentice", "a travelling tinker"]
WHEN = ["before the morning bell", "on the second market day", "after the gates are shut", "in the week of the harvest fair"]
OFFICES = ["the harbour clerk", "the warden of weights", "the keeper of the keys", "the master of tolls", "the parish scribe",
           "the market provost", "the bridge reeve", "the captain of the watch"]
ASKS = ["Who must enter the matter in the town book before noon of the following day?",
        "To whom is the sealed token handed, so that the toll of the next visit is waived?",
        "Whose consent is needed before the goods may be moved to the upper store?",
        "Who may lower the duty by a third if the weather has held up the road?"]


def document(rng, i):
    choices = rng.sample(OFFICES, 4)
    fee, days = rng.randint(2, 19), rng.randint(2, 30)
    return {"id": f"q{i:03d}",
            "question": f"By the charter of the town, {rng.choice(PEOPLE)} who brings {rng.choice(GOODS)} to "
                        f"{rng.choice(PLACES)} {rng.choice(WHEN)} owes {fee} pence and has {days} days to pay it at "
                        f"{rng.choice(PLACES)}. {rng.choice(ASKS)}",
            "choices": choices, "answer": rng.randrange(4)}


def write(name, documents):
    with open(os.path.join(HERE, name), "w", encoding="utf-8") as f:
        for d in documents:
            f.write(json.dumps(d) + "\n")


rng = random.Random(3)
write("shots.jsonl", [document(rng, i) for i in range(5)])
write("questions.jsonl", [document(rng, i) for i in range(5, 205)])
