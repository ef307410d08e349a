#!/usr/bin/env python3
"""Golden values of the metrics, from the libraries that define them.

    python3 tests/golden/make_metrics.py > tests/golden/metrics.json

needs sacrebleu, rouge_score, scikit-learn, jsonschema, numpy and lm_eval. Every case is a metric with its options and some samples;
"value" is the library's on the corpus, "scores" its scores of the samples where the corpus's value is their mean; else
"stderr" is its standard deviation over 20,000 bootstrap draws of numpy's, and "stderr_within" four times what 1000 draws
miss it by. The texts are random:
words of several scripts with all kinds of punctuation, and answers made of a reference by cutting, changing and moving
words. tests/reference/check_metrics.py makes thousands more with the same functions."""
import collections
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


def lined(rng, samples):
    """Some of the spaces as ends of lines: what rougeLsum takes for sentences."""
    def parted(text):
        return "".join(rng.choice(["\n", "\n\n"]) if c == " " and rng.random() < 0.2 else c for c in text)
    return [{"said": parted(s["said"]), "targets": [parted(t) for t in s["targets"]]} for s in samples]


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


def token_f1(said, target):
    """The F1 of SQuAD's evaluation script, version 2."""
    def tokens(text):
        text = text.lower().translate(str.maketrans("", "", string.punctuation))
        return re.sub(r"\b(a|an|the)\b", " ", text).split()
    a, b = tokens(said), tokens(target)
    if not a or not b:
        return float(a == b)
    shared = sum((collections.Counter(a) & collections.Counter(b)).values())
    return 2 * shared / (len(a) + len(b))


def items(texts, o):
    if len(texts) == 1:
        texts = texts[0].split(o.get("separator", ","))
    out = [t.strip() for t in texts]
    if o.get("ignore_case"):
        out = [t.lower() for t in out]
    return {t for t in out if t}


def parsed(text):
    """A text as JSON, ... if it is none."""
    def unique(pairs):
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a member twice")
        return dict(pairs)

    def constant(name):
        raise ValueError(name)
    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=constant)
    except ValueError:
        return ...


def is_number(v):
    return isinstance(v, (int, float)) and not isinstance(v, bool)


def same(a, b, o):
    if is_number(a) and is_number(b):
        return abs(a - b) <= o.get("tolerance", 0) + o.get("relative_tolerance", 0) * abs(b)
    if type(a) is not type(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(same(x, y, o) for x, y in zip(a, b))
    if isinstance(a, dict):
        return (o.get("subset") or len(a) == len(b)) and all(k in a and same(a[k], b[k], o) for k in b)
    return a == b


def softmax(ll):
    e = [math.exp(x - max(ll)) for x in ll]
    return [x / sum(e) for x in e]


def written_label(metric, said, target, o):
    """f1 and accuracy of the evaluate library of one answer: scikit-learn's, of 32-bit integers."""
    import warnings

    import sklearn.metrics
    try:
        pair = [int(target)], [int(said)]
    except ValueError:
        return 0.0
    if metric == "accuracy":
        return float(sklearn.metrics.accuracy_score(*pair))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(sklearn.metrics.f1_score(*pair, average=o["average"]))


def scorer_of(metric, o):
    from sacrebleu.metrics import BLEU, CHRF, TER
    o = {"word_order": 2, **o} if metric == "chrf++" else o
    return BLEU(**o) if metric == "bleu" else TER(**o) if metric == "ter" else CHRF(**o)


def reference(case):
    """(value, scores or None) of a case."""
    metric, o, samples = case["metric"], dict(case["options"]), case["samples"]
    scores = None
    if metric in ("bleu", "chrf", "chrf++", "ter"):
        return scorer_of(metric, o).corpus_score(*streams(samples)).score, None
    if metric.startswith("rouge"):
        from rouge_score import rouge_scorer
        scorer = rouge_scorer.RougeScorer([metric], use_stemmer=o.get("stemmer", False))
        scores = [scorer.score_multi(s["targets"], s["said"])[metric].fmeasure for s in samples]
    elif metric == "exact_match":
        scores = [max(exact(s["said"], t, o) for t in s["targets"]) for s in samples]
    elif metric == "token_f1":
        scores = [max(token_f1(s["said"], t) for t in s["targets"]) for s in samples]
    elif metric in ("set_match", "set_f1"):
        scores = []
        for s in samples:
            a, b = items([s["said"]], o), items(s["targets"], o)
            f = 2 * len(a & b) / (len(a) + len(b)) if a or b else 1.0
            scores.append(f if metric == "set_f1" else float(a == b))
    elif metric == "regex_match":
        flags = re.IGNORECASE if o.get("ignore_case") else 0
        search = re.fullmatch if o.get("whole") else re.search
        scores = [float(any(search(p, s["said"], flags) for p in ([o["pattern"]] if "pattern" in o else s["targets"])))
                  for s in samples]
    elif metric == "json_valid":
        scores = [float(parsed(s["said"]) is not ...) for s in samples]
    elif metric == "json_match":
        scores = [float(any(same(parsed(s["said"]), parsed(t), o) for t in s["targets"])) for s in samples]
    elif metric == "json_schema":
        import jsonschema
        scores = []
        for s in samples:
            schema = o["schema"] if "schema" in o else parsed(s["targets"][0])
            v = parsed(s["said"])
            scores.append(float(v is not ... and jsonschema.Draft202012Validator(schema).is_valid(v)))
    elif metric == "accuracy" or metric == "f1" and "said" in samples[0]:
        scores = [max(written_label(metric, s["said"], t, o) for t in s["targets"]) for s in samples]
    elif metric == "bypass":
        from lm_eval.api.metrics import bypass_agg
        return float(bypass_agg([None] * len(samples))), None
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
    if o.get("aggregation") == "nanmean":
        from lm_eval.api.metrics import nanmean
        return float(nanmean(scores)), scores
    return sum(scores) / len(scores), scores


OUR_DRAWS = 1000


def statistics(case):
    """(numbers of each sample, the value of their sums): sacrebleu's own, and counts of labels."""
    import numpy
    metric, o, samples = case["metric"], dict(case["options"]), case["samples"]
    if metric in ("f1", "mcc"):
        classes = sorted({s["gold"] for s in samples} | set(range(len(samples[0]["ll"]))))
        k = len(classes)
        rows = [(classes.index(s["gold"]), classes.index(max(range(len(s["ll"])), key=lambda i: s["ll"][i]))) for s in samples]
        if metric == "f1":
            return (numpy.array([(a and b, a != b) for a, b in rows], float),
                    lambda s: 2 * s[0] / (2 * s[0] + s[1]) if s[0] else 0.0)
        table = numpy.zeros((len(rows), k * k))
        for i, (a, b) in enumerate(rows):
            table[i, a * k + b] = 1

        def matthews(s):
            c = s.reshape(k, k)
            n, t, p = c.sum(), c.sum(1), c.sum(0)
            below = (n * n - t @ t) * (n * n - p @ p)
            return (numpy.trace(c) * n - t @ p) / math.sqrt(below) if below > 0 else 0.0
        return table, matthews
    scorer = scorer_of(metric, o)
    rows = numpy.array(scorer._extract_corpus_statistics(*streams(samples)), float)
    return rows, lambda s: scorer._compute_score_from_stats(s.tolist()).score


def drawn_error(case, draws=20000):
    """(standard error, four times the error that OUR_DRAWS draws make in it), from the values' own kurtosis."""
    import numpy
    rows, value = statistics(case)
    rng = numpy.random.default_rng(7)
    n = len(rows)
    v = numpy.array([value(w @ rows) for w in rng.multinomial(n, [1 / n] * n, size=draws)])
    sd, d = v.std(ddof=1), v - v.mean()
    kurtosis = (d ** 4).mean() / (d ** 2).mean() ** 2 if sd > 0 else 1
    return float(sd), float(sd * max(4 * math.sqrt((kurtosis - 1) / 4 * (1 / OUR_DRAWS + 1 / draws)), 0.01))


SCALARS = [0, 1, 2, 3, 1.0, 2.5, -1, 10, True, False, None, "", "a", "ab", "abc", "é", "b1"]
NAMES = ["a", "b", "c", "ab", "x1"]


def value(rng, depth=3):
    kind = rng.random()
    if depth == 0 or kind < 0.5:
        return rng.choice(SCALARS)
    if kind < 0.72:
        return [value(rng, depth - 1) for _ in range(rng.randint(0, 4))]
    return {k: value(rng, depth - 1) for k in rng.sample(NAMES, rng.randint(0, 4))}


def schema(rng, depth=3):
    """A random schema; about a third of the values satisfy it."""
    if depth == 0 or rng.random() < 0.06:
        return rng.choice([True, True, False, {}, {"type": "integer"}, {"type": ["string", "null"]}, {"$ref": "#/$defs/p"}])
    inner = lambda: schema(rng, depth - 1)  # noqa: E731
    some = lambda: [inner() for _ in range(rng.randint(1, 3))]  # noqa: E731
    words = {
        "type": lambda: rng.choice(["object", "array", "string", "number", "integer", "boolean", "null",
                                    ["object", "array"], ["number", "string", "array"]]),
        "enum": lambda: rng.sample(SCALARS, 5), "const": lambda: value(rng, 1),
        "allOf": some, "anyOf": some, "oneOf": some, "not": inner,
        "minimum": lambda: rng.randint(-1, 3), "maximum": lambda: rng.randint(0, 10), "multipleOf": lambda: rng.choice([1, 2, 0.5]),
        "exclusiveMinimum": lambda: rng.randint(-1, 2), "exclusiveMaximum": lambda: rng.choice([2, 2.5, 10]),
        "minLength": lambda: rng.randint(0, 2), "maxLength": lambda: rng.randint(0, 3),
        "pattern": lambda: rng.choice(["^a", "b", "[0-9]$", "^.?$"]),
        "items": inner, "prefixItems": some, "minItems": lambda: rng.randint(0, 2), "maxItems": lambda: rng.randint(1, 4),
        "uniqueItems": lambda: rng.random() < 0.8,
        "properties": lambda: {k: inner() for k in rng.sample(NAMES, rng.randint(1, 3))},
        "patternProperties": lambda: {rng.choice(["^a", "1$", "b"]): inner()},
        "additionalProperties": lambda: rng.choice([False, True, inner()]), "propertyNames": inner,
        "required": lambda: rng.sample(NAMES, rng.randint(0, 2)), "minProperties": lambda: rng.randint(0, 2),
        "dependentRequired": lambda: {rng.choice(NAMES): [rng.choice(NAMES)]}, "maxProperties": lambda: rng.randint(1, 4),
        "title": lambda: "says nothing",
    }
    out = {w: words[w]() for w in rng.sample(sorted(words), rng.randint(1, 4))}
    if rng.random() < 0.15:
        out.update({"if": inner(), "then": inner(), "else": inner()})
    return out


def whole_schema(rng):
    out = schema(rng)
    while not isinstance(out, dict):
        out = schema(rng)
    out["$defs"] = {"p": {"type": rng.choice(["object", "array", "string", "number"]), "items": {"$ref": "#/$defs/p"}}}
    return out


def written(rng, v):
    text = json.dumps(v, ensure_ascii=rng.random() < 0.5, indent=rng.choice([None, 1]))
    if rng.random() < 0.25:
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice([",", "]", "}", '"', " ", "\\", "1", "x", "\n"]) + text[at:]
    return text


def near(rng, v):
    """v, with numbers moved a little and members put in."""
    if is_number(v):
        return v + rng.choice([0, 0, 0.001, 0.05, 1])
    if isinstance(v, list):
        return [near(rng, x) for x in v]
    if isinstance(v, dict):
        out = {k: near(rng, x) for k, x in sorted(v.items(), key=lambda _: rng.random())}
        if rng.random() < 0.15:
            out["new"] = 1
        return out
    return v


def jsons(rng, n):
    out = []
    for _ in range(n):
        v = value(rng)
        out.append({"said": written(rng, near(rng, v)), "targets": [json.dumps(v)]})
    return out


def against(rng, n, own):
    common = whole_schema(rng)
    out = []
    for _ in range(n):
        target = json.dumps(whole_schema(rng)) if own else ""
        out.append({"said": written(rng, value(rng)), "targets": [target]})
    return out, ({} if own else {"schema": common})


def lists(rng, n, several):
    words = ["red", "green", "Blue", "light blue", "", " ", "red "]
    out = []
    for _ in range(n):
        right = rng.sample(words, rng.randint(1, 4))
        said = [w for w in right if rng.random() < 0.85] + rng.sample(words, rng.randint(0, 1))
        rng.shuffle(said)
        out.append({"said": rng.choice([", ", ","]).join(said), "targets": right if several else [",".join(right)]})
    return out


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
        add("rougeLsum", lined(rng, texts(rng, n)))
        add("rougeLsum", lined(rng, texts(rng, n, refs=2, most=60)), stemmer=True)
        add("exact_match", texts(rng, n, most=2), ignore_case=True, ignore_punctuation=True, ignore_numbers=True)
        add("exact_match", texts(rng, n, most=3), regexes_to_ignore=["[,.]", r"\s+", "(?i)the"])
        add("token_f1", texts(rng, n, refs=2, most=6))
        add("set_match", lists(rng, n, False))
        add("set_f1", lists(rng, n, False), ignore_case=True)
        add("set_f1", lists(rng, n, True))
        add("regex_match", texts(rng, n, most=8), pattern=r"(?<![a-z])the\b|\d+")
        add("regex_match", [{"said": rng.choice(["", "x"]) + w, "targets": [w[:2] + ".*", "x+"]} for w in rng.sample(WORDS, n)], whole=True,
            ignore_case=True)
        add("json_valid", jsons(rng, n))
        add("json_match", jsons(rng, n), tolerance=0.01)
        add("json_match", jsons(rng, n), relative_tolerance=0.1, subset=True)
        for own in (True, False, False, False):
            samples, options = against(rng, n, own)
            add("json_schema", samples, **options)
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
    *[(m, {"hf_evaluate": True, **o}, [("1", "1"), ("0", "0"), ("2", "0"), ("-1", "3"), (" +3\n", "3"), ("0", "1"), ("", "0"), ("one", "1"),
                                       ("03", "3"), ("1 1", "11"), ("2.0", "2"), ("\u20032\u3000", "2")])
      for m, o in [("accuracy", {}), ("f1", {"average": "micro"}), ("f1", {"average": "macro"}), ("f1", {"average": "weighted"})]],
    ("exact_match", {"aggregation": "nanmean"}, [("a", "a"), ("a", "b"), ("", "")]),
    ("bypass", {}, [("a", "b"), ("", "c")]),
    ("rougeLsum", {}, [("", "a"), ("a", ""), ("\n\n", "a\n"), ("a b\nb a\na", "b a b\n\na a"), ("a b c", "c b a\n")]),
]


def fixed():
    return [{"metric": m, "options": o, "samples": [{"said": s, "targets": [t]} for s, t in pairs]}
            for m, o, pairs in FIXED]


def no_choice(rng, n):
    """Right labels below 0, and -100, which the harness makes of one above the choices: each is a class."""
    samples = labels(rng, n, 3)
    for i, s in enumerate(samples):
        s["gold"] = [-1, -2, -15, -100, s["gold"]][i % 5] if i < 2 * n // 3 else s["gold"]
    return [{"metric": "mcc", "options": {}, "samples": samples}]


def nearly_zero(rng, n):
    """A BLEU whose few matches stand in one or two samples: where errors go astray."""
    samples = texts(rng, n, most=8)
    for i, s in enumerate(samples):
        s["said"] = s["targets"][0] if i == 3 else sentence(rng, 12)
    return [{"metric": "bleu", "options": {}, "samples": samples}]


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
    out = fixed() + cases(rng, 6) + nearly_zero(random.Random(21), 30) + no_choice(random.Random(22), 24)
    for case in out:
        case["value"], scores = reference(case)
        if scores is not None:
            case["scores"] = scores
        elif len(case["samples"]) > 1 and case["metric"] != "bypass":
            case["stderr"], case["stderr_within"] = drawn_error(case)
    words = stem_words(rng, 600)
    print("{\"cases\":[")
    print(",\n".join(json.dumps(c, ensure_ascii=False) for c in out))
    print("],\"stems\":" + json.dumps(dict(zip(words, stems(words))), ensure_ascii=False) + "}")


if __name__ == "__main__":
    sys.exit(main())
