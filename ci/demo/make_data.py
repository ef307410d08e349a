#!/usr/bin/env python3
"""Makes the data of the demo: dates written out in twenty languages, with their ISO 8601 form.

    python3 ci/demo/make_data.py            writes ci/demo/data/ anew (needs Babel 2.18, which carries CLDR 47)

The files are committed; `make demo` does not run this script. It is kept so that the data can be read as a recipe.

Names of months and weekdays come from Unicode CLDR, through Babel; so do most patterns (letters as in UTS #35). Two
letters are ours: `~` is the ordinal ending of the day before it, in the languages that write one.

Three rules hold, and the script ends with an error where one does not:
  - One date is either for training or for testing, in all languages: a held-out question is never a translation of a
    training line. Which one is decided by a digest of the date (one in ten is for testing).
  - Within a language a written date has one meaning. Between languages it may not ("07/03/2024"), so that each line
    starts with the language's code.
  - The same script gives the same bytes: nothing here depends on the clock, the order of a set or the locale.
"""
import datetime
import hashlib
import json
import os
import random
import sys

from babel import dates as cldr

FIRST = {  # family: languages of the first model
	"germanic": ["en", "de", "nl", "sv", "da"],
	"romance": ["fr", "es", "it", "pt", "ro"],
	"slavic": ["pl", "cs", "ru", "uk"],
}
NEWCOMERS = ["fi", "hu", "el", "tr", "vi", "cy"]
FAMILIES = dict(FIRST, newcomers=NEWCOMERS)
LANGUAGES = [code for codes in FAMILIES.values() for code in codes]

# Ways to write a date. The last of each language is all in figures.
PATTERNS = {
	"en": ["EEEE, MMMM d, y", "MMMM d, y", "MMM d, y", "EEEE, d MMMM y", "MMMM d~, y", "MM/dd/y"],
	"de": ["EEEE, d. MMMM y", "d. MMMM y", "EEE, d. MMM y", "'am' d. MMMM y", "dd.MM.y"],
	"nl": ["EEEE d MMMM y", "d MMMM y", "EEE d MMM y", "d MMM y", "dd-MM-y"],
	"sv": ["EEEE d MMMM y", "d MMMM y", "EEE d MMM y", "'den' d MMMM y", "y-MM-dd"],
	"da": ["EEEE 'den' d. MMMM y", "d. MMMM y", "EEE d. MMM y", "'den' d. MMMM y", "dd.MM.y"],
	"fr": ["EEEE d~ MMMM y", "d~ MMMM y", "EEE d MMM y", "'le' d~ MMMM y", "dd/MM/y"],
	"es": ["EEEE, d 'de' MMMM 'de' y", "d 'de' MMMM 'de' y", "EEE, d MMM y", "d MMM y", "dd/MM/y"],
	"it": ["EEEE d~ MMMM y", "d~ MMMM y", "EEE d MMM y", "d MMM y", "dd/MM/y"],
	"pt": ["EEEE, d 'de' MMMM 'de' y", "d~ 'de' MMMM 'de' y", "EEE, d 'de' MMM 'de' y", "dd/MM/y"],
	"ro": ["EEEE, d MMMM y", "d MMMM y", "EEE, d MMM y", "d MMM y", "dd.MM.y"],
	"pl": ["EEEE, d MMMM y", "d MMMM y", "EEE, d MMM y", "d MMMM y 'r'.", "dd.MM.y"],
	"cs": ["EEEE d. MMMM y", "d. MMMM y", "EEE d. MMMM y", "'dne' d. MMMM y", "d. M. y"],
	"ru": ["EEEE, d MMMM y 'г'.", "d MMMM y 'г'.", "EEE, d MMM y", "d MMMM y", "dd.MM.y"],
	"uk": ["EEEE, d MMMM y 'р'.", "d MMMM y 'р'.", "EEE, d MMM y", "d MMMM y", "dd.MM.y"],
	"fi": ["cccc d. MMMM y", "d. MMMM y", "ccc d. MMMM y", "ccc d.M.y", "d.M.y"],
	"hu": ["y. MMMM d., EEEE", "y. MMMM d.", "y. MMM d., EEE", "y. MMM d.", "y. MM. dd."],
	"el": ["EEEE d MMMM y", "d MMMM y", "EEE d MMM y", "d MMM y", "dd/MM/y"],
	"tr": ["d MMMM y EEEE", "d MMMM y", "d MMM y EEE", "d MMM y", "dd.MM.y"],
	"vi": ["EEEE, d MMMM, y", "'ngày' d MMMM 'năm' y", "d MMMM, y", "EEE, d MMM, y", "dd/MM/y"],
	"cy": ["EEEE, d MMMM y", "d MMMM y", "EEE, d MMM y", "d MMM y", "dd/MM/y"],
}
CASELESS = {"tr", "el"}  # upper and lower case need more than Unicode's default rules here

TRAIN_PER_LANGUAGE = 1000
EXACT_PER_LANGUAGE = 30
CHOICE_PER_LANGUAGE = 12
TEXT_PER_LANGUAGE = 12
FIRST_DAY, LAST_DAY = datetime.date(1950, 1, 1), datetime.date(2049, 12, 31)


class Dice:
	"""Random numbers that stay the same from one version of Python to the next."""

	def __init__(self, name):
		self.random = random.Random(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))

	def below(self, n):
		return int(self.random.random() * n)

	def one_of(self, items):
		return items[self.below(len(items))]

	def shuffle(self, items):
		for i in range(len(items) - 1, 0, -1):
			j = self.below(i + 1)
			items[i], items[j] = items[j], items[i]


def is_heldout(date):
	return hashlib.sha256(("held out? " + date.isoformat()).encode()).digest()[0] % 10 == 0


def ordinal(code, day):
	if code == "en":
		return "th" if 10 < day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
	if code in ("fr", "it", "pt"):
		return {"fr": "er", "it": "º", "pt": "º"}[code] if day == 1 else ""
	raise ValueError(code)


def written(code, date, pattern, dice):
	"""The date in words: the pattern filled in, now and then in capitals or in small letters."""
	head, tilde, tail = pattern.partition("~")
	text = cldr.format_date(date, head, locale=code)
	if tilde:
		text += ordinal(code, date.day) + cldr.format_date(date, tail, locale=code)
	text = " ".join(text.split())
	roll = dice.below(20)
	if code not in CASELESS and roll == 0:
		text = text.upper()
	elif code not in CASELESS and roll == 1:
		text = text.lower()
	return text


class Corpus:
	"""Hands out lines; sees to it that none comes twice and none has two meanings."""

	def __init__(self):
		self.meaning = {}

	def lines(self, purpose, code, dates, count):
		dice = Dice(purpose + " " + code)
		dates = list(dates)
		dice.shuffle(dates)
		out = []
		for date in dates:
			if len(out) == count:
				return out
			prompt = "%s: %s\n" % (code, written(code, date, dice.one_of(PATTERNS[code]), dice))
			known = self.meaning.setdefault(prompt.casefold(), date)
			if known != date:
				sys.exit("%r means both %s and %s" % (prompt, known, date))
			out.append((prompt, date))
		sys.exit("%s: not enough dates for %d lines" % (code, count))


def train_line(i, prompt, date):
	"""One in four is whole text, so that the model learns to predict the written date as well."""
	if i % 4 == 3:
		return {"text": prompt + date.isoformat()}
	return {"prompt": prompt, "completion": date.isoformat()}


def wrong_answers(date, dice):
	"""Three ISO dates that are near the right one, the mistakes one really makes."""
	swapped = "%04d-%02d-%02d" % (date.year, date.day, date.month)
	month = date.month % 12 + 1
	near = [
		"%04d-%02d-%02d" % (date.year, month, date.day),
		"%04d-%02d-%02d" % (date.year, date.month, date.day % 28 + 1),
		"%04d-%02d-%02d" % (date.year + 1 - 2 * dice.below(2), date.month, date.day),
	]
	if swapped != date.isoformat():
		near[dice.below(3)] = swapped
	return near


def choice_line(ident, prompt, date, dice):
	choices = wrong_answers(date, dice) + [date.isoformat()]
	dice.shuffle(choices)
	return {"id": ident, "prompt": prompt, "choices": choices, "answer": choices.index(date.isoformat())}


def write_jsonl(folder, name, rows):
	path = os.path.join(folder, name)
	os.makedirs(os.path.dirname(path), exist_ok=True)
	with open(path, "w", encoding="utf-8", newline="\n") as file:
		for row in rows:
			file.write(json.dumps(row, ensure_ascii=False) + "\n")
	return os.path.getsize(path)


def main():
	folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
	days = [FIRST_DAY + datetime.timedelta(n) for n in range((LAST_DAY - FIRST_DAY).days + 1)]
	train_days = [d for d in days if not is_heldout(d)]
	test_days = [d for d in days if is_heldout(d)]
	corpus = Corpus()
	size = 0

	for code in LANGUAGES:
		lines = corpus.lines("train", code, train_days, TRAIN_PER_LANGUAGE)
		rows = [train_line(i, prompt, date) for i, (prompt, date) in enumerate(lines)]
		size += write_jsonl(folder, "train/%s.jsonl" % code, rows)
	for family, codes in FAMILIES.items():
		rows = []
		for code in codes:
			for i, (prompt, date) in enumerate(corpus.lines("exact", code, test_days, EXACT_PER_LANGUAGE)):
				rows.append({"id": "%s-%02d" % (code, i + 1), "prompt": prompt, "completion": date.isoformat()})
		size += write_jsonl(folder, "test/%s.jsonl" % family, rows)
	choice, text = [], []
	for code in LANGUAGES:
		dice = Dice("choice answers " + code)
		for i, (prompt, date) in enumerate(corpus.lines("choice", code, test_days, CHOICE_PER_LANGUAGE)):
			choice.append(choice_line("%s-%02d" % (code, i + 1), prompt, date, dice))
		for i, (prompt, date) in enumerate(corpus.lines("text", code, test_days, TEXT_PER_LANGUAGE)):
			text.append({"id": "%s-%02d" % (code, i + 1), "text": prompt + date.isoformat()})
	size += write_jsonl(folder, "test/choice.jsonl", choice)
	size += write_jsonl(folder, "test/text.jsonl", text)
	print("%d languages, %d days for training, %d for testing, %d bytes"
	      % (len(LANGUAGES), len(train_days), len(test_days), size))


if __name__ == "__main__":
	main()
