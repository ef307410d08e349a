#!/usr/bin/env python3
"""Golden values of the metrics, from the libraries that define them.

    python3 tests/golden/make_metrics.py > tests/golden/metrics.json

needs sacrebleu, rouge_score and scikit-learn. Every case is a metric with its options and some samples; "value" is the
library's on the corpus, "scores" its scores of the samples where the corpus's value is their mean. The texts are random:
words of several scripts with all kinds of punctuation, and answers made of a reference by cutting, changing and moving
words. tests/reference/check_metrics.py makes thousands more with the same functions."""
import json
import math
import random
import re
import string
import sys

WORDS = """the a of to and in is it you that he was for on are with as his they be at one have this from by hot word what
said there use each which their time will way about many then them write would like so these her long make thing see him
relational conditional rationally hopping falling hissing agreed feeding flies dies spied tied happily enjoyment
vietnamization predication operators feudalism decisiveness hopefulness callousness formality sensitivity geologies
skies dying news innings proceed succeeds controlling rolled probate cease adjustable replacement adoption""".split()
OTHER = """привет мир это тест слово дом größe straße Ärger naïve œuvre İstanbul ΑΣ ΣΟΦΟΣ ñandú 東京 に 行く カタカナ ひらがな 你好
世界 中文，测试。 한국어 नमस्ते 👍 🙂🙂 é\u0301 ﬁ Ǆ ½ ² € $5 £3.50 ° ± “quoted” ‘single’ – — … « x » \u3000 \u00a0 \u2003""".split(" ")
MARKS = [".", ",", "!", "?", ";", ":", "-", "'s", "(", ")", '"', "/", "&amp;", "&quot;", "&lt;", "%", "@", "#", "<skipped>"]
NUMBERS = ["3", "1,000", "3.14", "2019.", "5-6", "10%", "1.", ".5", "7th", "3.5km"]


def sentence(rng, most=24):
    out = []
    for _ in range(rng.randint(0 if rng.random() < 0.05 else 1, most)):
        kind = rng.random()
        if kind < 0.62:
            word = rng.choice(WORDS[:60] if rng.random() < 0.7 else WORDS)
        elif kind < 0.74:
            word = rng.choice(OTHER)
        elif kind < 0.84:
            word = rng.choice(NUMBERS)
        else:
            word = rng.choice(MARKS)
        if rng.random() < 0.08:
            word = word.capitalize() if rng.random() < 0.5 else word.upper()
        if rng.random() < 0.12:
            word += rng.choice(MARKS)
        out.append(word)
        out.append("" if rng.random() < 0.08 else rng.choice(["  ", "\n", "\t", "-\n"]) if rng.random() < 0.04 else " ")
    return "".join(out[:-1])


def changed(rng, text):
    words = text.split(" ")
    for _ in range(rng.randint(0, 5)):
        if not words:
            break
        at = rng.randrange(len(words))
        kind = rng.random()
        if kind < 0.2:
            del words[at]
        elif kind < 0.4:
            words[at] = rng.choice(WORDS)
        elif kind < 0.55:
            words.insert(at, rng.choice(WORDS[:20]))
        else:  # what TER calls a shift
            n = rng.randint(1, 6)
            run = words[at:at + n]
            del words[at:at + n]
            to = rng.randint(0, len(words))
            words[to:to] = run
    return " ".join(words)


def texts(rng, n, refs=1, most=24):
    samples = []
    for _ in range(n):
        targets = [sentence(rng, most)]
        targets += [changed(rng, targets[0]) for _ in range(refs - 1)]
        said = changed(rng, rng.choice(targets)) if rng.random() < 0.9 else sentence(rng, most)
        samples.append({"said": said, "targets": targets})
    return samples


def labels(rng, n, classes):
    out = []
    for _ in range(n):
        ll = [round(-5 * rng.random(), 3) for _ in range(classes)]
        gold = max(range(classes), key=lambda i: ll[i]) if rng.random() < 0.6 else rng.randrange(classes)
        out.append({"ll": ll, "alone": [round(-5 * rng.random(), 3) for _ in range(classes)], "gold": gold})
    return out


def streams(samples):
    most = max(len(s["targets"]) for s in samples)
    refs = [[s["targets"][i] if i < len(s["targets"]) else None for s in samples] for i in range(most)]
    return [s["said"] for s in samples], refs


def exact(said, target, o):
    """exact_match of lm-evaluation-harness, of one answer."""
    for pattern in o.get("regexes_to_ignore", []):
        said, target = re.sub(pattern, "", said), re.sub(pattern, "", target)
    if o.get("ignore_case"):
        said, target = said.lower(), target.lower()
    if o.get("ignore_punctuation"):
        drop = str.maketrans("", "", string.punctuation)
        said, target = said.translate(drop), target.translate(drop)
    if o.get("ignore_numbers"):
        drop = str.maketrans("", "", string.digits)
        said, target = said.translate(drop), target.translate(drop)
    return float(said == target)


def softmax(ll):
    e = [math.exp(x - max(ll)) for x in ll]
    return [x / sum(e) for x in e]


def reference(case):
    """(value, scores or None) of a case."""
    metric, o, samples = case["metric"], dict(case["options"]), case["samples"]
    scores = None
    if metric in ("bleu", "chrf", "chrf++", "ter"):
        from sacrebleu.metrics import BLEU, CHRF, TER
        said, refs = streams(samples)
        if metric == "chrf++":
            o.setdefault("word_order", 2)
        scorer = BLEU(**o) if metric == "bleu" else TER(**o) if metric == "ter" else CHRF(**o)
        return scorer.corpus_score(said, refs).score, None
    if metric.startswith("rouge"):
        from rouge_score import rouge_scorer
        scorer = rouge_scorer.RougeScorer([metric], use_stemmer=o.get("stemmer", False))
        scores = [scorer.score_multi(s["targets"], s["said"])[metric].fmeasure for s in samples]
    elif metric == "exact_match":
        scores = [max(exact(s["said"], t, o) for t in s["targets"]) for s in samples]
    elif metric in ("f1", "mcc"):
        import sklearn.metrics
        gold = [s["gold"] for s in samples]
        said = [max(range(len(s["ll"])), key=lambda i: s["ll"][i]) for s in samples]
        f = sklearn.metrics.f1_score if metric == "f1" else sklearn.metrics.matthews_corrcoef
        return float(f(gold, said)), None
    elif metric == "acc_mutual_info":
        scores = []
        for s in samples:
            gain = [a - b for a, b in zip(s["ll"], s["alone"])]
            scores.append(float(gain.index(max(gain)) == s["gold"]))
    elif metric == "brier_score":
        scores = [sum((p - (i == s["gold"])) ** 2 for i, p in enumerate(softmax(s["ll"]))) for s in samples]
    else:
        raise ValueError(metric)
    return sum(scores) / len(scores), scores


def cases(rng, n, rounds=1):
    """All metrics with their options on n samples each."""
    out = []

    def add(metric, samples, **options):
        out.append({"metric": metric, "options": options, "samples": samples})
    for _ in range(rounds):
        for tokenize in ("13a", "intl", "zh", "char", "none"):
            add("bleu", texts(rng, n), tokenize=tokenize)
        add("bleu", texts(rng, n, refs=3), lowercase=True)
        add("bleu", texts(rng, 1, most=3))
        add("chrf", texts(rng, n))
        add("chrf", texts(rng, n, refs=2), lowercase=True, whitespace=True, char_order=4)
        add("chrf++", texts(rng, n))
        add("chrf++", texts(rng, n, refs=3), word_order=1, lowercase=True)
        add("ter", texts(rng, n))
        add("ter", texts(rng, n, refs=3), normalized=True)
        add("ter", texts(rng, n), normalized=True, asian_support=True, no_punct=True, case_sensitive=True)
        add("ter", texts(rng, max(1, n // 4), most=90))
        for metric in ("rouge1", "rouge2", "rougeL"):
            add(metric, texts(rng, n))
            add(metric, texts(rng, n, refs=2), stemmer=True)
        add("exact_match", texts(rng, n, most=2), ignore_case=True, ignore_punctuation=True, ignore_numbers=True)
        add("exact_match", texts(rng, n, most=3), regexes_to_ignore=["[,.]", r"\s+", "(?i)the"])
        add("f1", labels(rng, n, 2))
        add("mcc", labels(rng, n, 2))
        add("mcc", labels(rng, n, 5))
        add("brier_score", labels(rng, n, 4))
        add("acc_mutual_info", labels(rng, n, 4))
    return out


# What the random texts do not reach: empty sides, repeats, extreme lengths, the figures of the notes.
FIXED = [
    ("bleu", {}, [("the cat sat on the mat", "the cat is on the mat"),
                  ('He said: "hello, world!" at 3.5km.', 'He said "hello, world" at 3.5 km.'),
                  ("a quick brown fox", "the quick brown fox jumps")]),
    ("bleu", {}, [("", "a b c d"), ("", "")]),
    ("bleu", {}, [("x y z", "a b c d e")]),
    ("bleu", {}, [("a b c d e", "a b x d e")]),
    ("chrf", {}, [("", "abc"), ("abc", "")]),
    ("chrf", {}, [("", "")]),
    ("chrf++", {}, [("(hi) there.", "( hi ) there ."), ("a", "a")]),
    ("ter", {}, [("", "a b c"), ("a b", "")]),
    ("ter", {}, [("", "")]),
    ("ter", {}, [("a b", "")]),
    ("ter", {}, [("d e f a b c", "a b c d e f"), ("b a b a b a b a", "a b a b a b a b")]),
    ("ter", {}, [(" ".join(["a b"] * 40), " ".join(["b a"] * 40))]),  # ends at the bound of moves tried
    ("ter", {}, [("x " * 3 + "end", "y " * 200 + "end")]),            # a beam that is wider than 25
    ("ter", {}, [("x " * 200 + "end", "y end")]),
    ("ter", {"normalized": True}, [("it is his dog", "it is Bob's\tdog")]),  # references are tokenized twice
    ("rougeL", {}, [("", "a"), ("a", ""), ("a b c", "c b a")]),
]


def fixed():
    return [{"metric": m, "options": o, "samples": [{"said": s, "targets": [t]} for s, t in pairs]}
            for m, o, pairs in FIXED]


def stems(words):
    from nltk.stem import porter
    stemmer = porter.PorterStemmer()
    return [stemmer.stem(w) for w in words]


SUFFIXES = """ational tional enci anci izer abli bli alli entli eli ousli ization ation ator alism iveness fulness ousness aliti
iviti biliti fulli logi icate ative alize iciti ical ful ness al ance ence er ic able ible ant ement ment ent ion sion tion ou
ism ate iti ous ive ize e ll ed ing ied ies eed ss s y at bl iz tt""".split()


def stem_words(rng, n):
    out = list(WORDS)
    while len(out) < n:
        root = "".join(rng.choice("bcdfgklmnprstvwxyz" if rng.random() < 0.6 else "aeiouy") for _ in range(rng.randint(1, 6)))
        out.append(root + "".join(rng.choice(SUFFIXES) for _ in range(rng.randint(0, 3))))
    return [w for w in out if len(w) > 3]


def main():
    rng = random.Random(20)
    out = fixed() + cases(rng, 6)
    for case in out:
        case["value"], case["scores"] = reference(case)
        if case["scores"] is None:
            del case["scores"]
    words = stem_words(rng, 600)
    print("{\"cases\":[")
    print(",\n".join(json.dumps(c, ensure_ascii=False) for c in out))
    print("],\"stems\":" + json.dumps(dict(zip(words, stems(words))), ensure_ascii=False) + "}")


if __name__ == "__main__":
    sys.exit(main())
