#!/usr/bin/env python3
"""check_tasks.py RENDER_TASKS [PREFIX…]: task files of lm-evaluation-harness, unchanged, against the harness itself.

For every task file of the installed lm_eval that names no Python function (its includes followed): documents are made to
the fields that its templates use, and the harness and assay (tests/reference/render_tasks.c) turn them into requests,
without shots and with two (first_n). Contexts, continuations, choices and right answers must be equal byte for byte.
Where only a metric or a filter is not known yet, the file is rendered without that key and counted apart.

Prints counts, then what fails, by reason. PREFIX: only files whose path in the task folder begins so. Exit 0 if at least
95 % of the files hold. An oracle outside the product: needs lm_eval and its datasets.
"""
import ast
import collections
import csv
import io
import json
import logging
import os
import random
import re
import subprocess
import sys
import warnings
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
warnings.filterwarnings("ignore")

import datasets
import yaml
from jinja2 import nodes as J
from lm_eval import tasks as harness_tasks
from lm_eval.api import task as harness
from lm_eval.utils import env

logging.disable(logging.CRITICAL)
datasets.disable_progress_bars()
ROOT = Path(harness_tasks.__file__).parent
DOCS, SHOTS = 3, 2
SPLITS = ("training_split", "validation_split", "test_split", "fewshot_split")

# ---- task files ------------------------------------------------------------------------------------------------------


class Function(str):
    """The name behind !function."""


class Loader(yaml.CSafeLoader):
    pass


Loader.add_constructor("!function", lambda loader, node: Function(loader.construct_scalar(node)))


def load(path, seen=()):
    path = path.resolve()
    assert path not in seen, "include cycle"
    cfg = yaml.load(path.read_bytes(), Loader=Loader)
    includes = cfg.pop("include", None) or []
    merged = {}
    for name in includes if isinstance(includes, list) else [includes]:
        merged.update(load(path.parent / name, (*seen, path)))
    return {**merged, **cfg}


def has_function(v):
    if isinstance(v, dict):
        return any(map(has_function, v.values()))
    return any(map(has_function, v)) if isinstance(v, list) else isinstance(v, Function)


# ---- documents to a task's schema ------------------------------------------------------------------------------------

TEXTS = ["What's that?", 'He said "no": it\'s 5 > 3', "  two\nlines\t", "naïve – 日本語 🙂", "a\\b {x} 'y'", "Yes.", "The end",
         "one, two; three", "x=1 & y<2", "Ünïcode", "\"quoted\"", "ends with space ", "(A) first (B) second", "“smart”"]
STRING_METHODS = {"strip", "lstrip", "rstrip", "split", "replace", "lower", "upper", "title", "capitalize", "startswith",
                  "endswith", "find", "count", "splitlines", "format", "rsplit", "partition", "join", "isdigit", "zfill"}


class Shape:
    """What the templates do with a field."""

    def __init__(self):
        self.kinds, self.members, self.item, self.values, self.length = set(), {}, None, [], 0
        self.of, self.distinct = None, False

    def member(self, name):
        self.kinds.add("dict")
        return self.members.setdefault(name, Shape())

    def mapped(self, name):
        """A list of one member of each."""
        out = Shape()
        out.kinds, out.item = {"list"}, self.at(1).member(name)
        return out

    def at(self, i=0):
        self.kinds.add("list")
        self.length = max(self.length, i + 1 if i >= 0 else -i)
        self.item = self.item or Shape()
        return self.item


class Inference:
    def __init__(self):
        self.fields = {}

    def template(self, text):
        self.scope = {}
        self.body(env.parse(text).body)

    def body(self, nodes):
        for n in nodes:
            s = self.visit(n)
            if self.key == "doc_to_choice" and isinstance(n, J.Output) and len(n.nodes) == 1 and isinstance(s, Shape):
                s.at(1).kinds.add("str")  # the whole template is one list of texts

    def visit(self, n, kind=None):
        s = self.shape(n)
        if kind and isinstance(s, Shape):
            s.kinds.add(kind)
        return s

    def shape(self, n):
        """A Shape for what comes out of a document; a list of constants for a literal; else None."""
        if isinstance(n, J.Name):
            if n.name in self.scope:
                return self.scope[n.name]
            return self.fields.setdefault(n.name, Shape()) if n.name not in env.globals else None
        if isinstance(n, J.Const):
            return [n.value]
        if isinstance(n, (J.List, J.Tuple)):
            return [v for i in n.items for v in (self.shape(i) if isinstance(i, J.Const) else [self.visit(i)])]
        if isinstance(n, J.Dict):
            for p in n.items:
                self.visit(p.value)
            return [p.key.value for p in n.items if isinstance(p.key, J.Const)]
        if isinstance(n, J.Getattr):
            base = self.visit(n.node)
            return base.member(n.attr) if isinstance(base, Shape) else None
        if isinstance(n, J.Getitem):
            return self.item(n)
        if isinstance(n, J.Call):
            return self.call(n)
        if isinstance(n, J.Filter):
            return self.filter(n)
        if isinstance(n, J.Test):
            s = self.visit(n.node)
            if isinstance(s, Shape):
                s.kinds.update({"none": {"null"}, "string": {"str"}, "number": {"int"}}.get(n.name, ()))
            return None
        if isinstance(n, J.Compare):
            left = self.visit(n.expr)
            for op in n.ops:
                right = self.visit(op.expr)
                for a, b in ((left, right), (right, left)):
                    if isinstance(a, Shape) and isinstance(b, list) and not (op.op in ("in", "notin") and a is right):
                        a.values += [v for v in b if not isinstance(v, Shape)]
                    if isinstance(a, Shape) and a is right and op.op in ("in", "notin"):
                        a.kinds.add("str")
            return None
        if isinstance(n, (J.Add, J.Sub, J.Mul, J.Div, J.Mod, J.FloorDiv)):
            sides = [self.visit(n.left), self.visit(n.right)]
            kind = "str" if any(isinstance(s, list) and s and isinstance(s[0], str) for s in sides) else "int"
            for s in sides:
                if isinstance(s, Shape) and not s.kinds & {"str", "list"}:
                    s.kinds.add(kind)
            return None
        if isinstance(n, J.For):
            source = self.visit(n.iter)
            item = source.at() if isinstance(source, Shape) else None
            names = [n.target] if isinstance(n.target, J.Name) else n.target.items
            for i, name in enumerate(names):
                self.scope[name.name] = item if len(names) == 1 or item is None else item.at(i)
            self.scope["loop"] = None
            self.body(n.body + n.else_)
            return None
        if isinstance(n, J.Assign):
            self.scope[getattr(n.target, "name", "?")] = self.visit(n.node)
            return None
        last = None
        for child in n.iter_child_nodes():
            last = self.visit(child)
        return last if isinstance(n, (J.CondExpr, J.Not, J.Output)) else None

    def item(self, n):
        base = self.visit(n.node)
        if isinstance(n.arg, J.Slice):
            if isinstance(base, Shape) and "list" not in base.kinds:
                base.kinds.add("str")
            for part in (n.arg.start, n.arg.stop):
                if part:
                    self.visit(part, "int")
            return base if isinstance(base, Shape) else None
        if isinstance(n.arg, J.Const) or (isinstance(n.arg, J.Neg) and isinstance(n.arg.node, J.Const)):
            key = n.arg.value if isinstance(n.arg, J.Const) else -n.arg.node.value
            if isinstance(base, Shape):
                return base.member(key) if isinstance(key, str) else base.at(key)
            return None
        at = self.visit(n.arg)
        if isinstance(base, list):
            if isinstance(at, Shape):
                at.values += list(base) if isinstance(n.node, J.Dict) else list(range(len(base)))
            return None
        if isinstance(at, Shape):
            at.kinds.add("int")
        return base.at(1) if isinstance(base, Shape) else None

    def call(self, n):
        for a in n.args:
            self.visit(a)
        if not isinstance(n.node, J.Getattr):
            self.visit(n.node)
            return None
        base, method = self.visit(n.node.node), n.node.attr
        if method == "index" and n.args:
            arg, prefix = n.args[0], ""
            if isinstance(arg, J.Add) and isinstance(arg.left, J.Const):
                arg, prefix = arg.right, arg.left.value
            while isinstance(arg, J.Call) and isinstance(arg.node, J.Getattr) and arg.node.attr.endswith("strip"):
                arg = arg.node.node
            wanted = self.shape(arg)
            if isinstance(base, list) and isinstance(wanted, Shape):
                wanted.values += [v[len(prefix):] if prefix else v for v in base if not isinstance(v, Shape)]
            elif isinstance(base, Shape) and isinstance(wanted, Shape):
                wanted.kinds.add("of")
                wanted.of = base
                base.at(1).values += ["A", "B", "C", "D", "E"]
                base.item.distinct = True
        elif isinstance(base, Shape):
            if method in STRING_METHODS:
                base.kinds.add("str")
            elif method in ("items", "keys", "values", "get"):
                base.kinds.add("dict")
        return None

    def filter(self, n):
        s = self.visit(n.node) if n.node is not None else None
        for a in n.args:
            self.visit(a)
        if isinstance(s, Shape):
            if n.name == "map" and n.kwargs:
                return s.mapped(n.kwargs[0].value.value)
            if n.name in ("join", "map", "list", "first", "last", "random", "sort"):
                s.at()
            elif n.name in ("int", "float"):
                s.kinds.add("digits")
            elif n.name in ("trim", "lower", "upper", "replace", "regex_replace", "capitalize"):
                s.kinds.add("str")
        return s if n.name in ("trim", "string", "lower", "list") else None


class Maker:
    def __init__(self, seed, plain):
        self.rng, self.plain, self.odd = random.Random(seed), plain, {}

    def text(self):
        if self.plain:
            return "text %d" % self.rng.randrange(1000)
        return self.rng.choice(TEXTS) + (" %d" % self.rng.randrange(100) if self.rng.random() < 0.4 else "")

    def value(self, s, path=""):
        kind = self.odd.get(path)
        if kind:
            return self.guess(kind)
        if s.values:
            v = self.rng.choice(s.values)
            return v if not isinstance(v, str) or "digits" not in s.kinds else "1"
        if "of" in s.kinds:
            return None  # set by document()
        if "list" in s.kinds:
            n = max(s.length, 2) + self.rng.randrange(2)
            if s.item.distinct:
                return s.item.values[:n]
            return [self.value(s.item, path + "[]") for _ in range(n)]
        if "dict" in s.kinds:
            return {k: self.value(v, path + "." + str(k)) for k, v in s.members.items()}
        if "digits" in s.kinds:
            return str(self.rng.randrange(2))
        if "int" in s.kinds:
            return self.rng.randrange(2)
        return self.text()

    def guess(self, kind):
        r = self.rng
        return {"str": self.text, "int": lambda: r.randrange(2), "digits": lambda: str(r.randrange(2)),
                "letter": lambda: r.choice("AB"), "list": lambda: [self.text() + str(i) for i in range(3)],
                "float": lambda: r.random(), "bool": lambda: r.random() < 0.5, "ints": lambda: [0, 1],
                "dicts": lambda: [{"text": self.text()}, {"text": self.text()}]}[kind]()

    def document(self, fields):
        doc = {k: self.value(s, k) for k, s in fields.items()}
        for k, s in fields.items():
            if "of" in s.kinds and k not in self.odd:
                source = next((doc.get(n) for n, f in fields.items() if f is s.of), None)
                if source is None:
                    source = next((m for n, f in fields.items() if f.members for key, m in (doc[n] or {}).items()
                                   if f.members[key] is s.of), None)
                doc[k] = self.rng.choice(source) if isinstance(source, list) and source else self.text()
        return doc


GUESSES = ["str", "int", "digits", "letter", "list", "float", "bool", "ints", "dicts"]


def infer(cfg):
    inference = Inference()
    choice = cfg.get("doc_to_choice")
    for key in ("doc_to_text", "doc_to_target", "doc_to_choice", "description", "gen_prefix"):
        text = cfg.get(key)
        inference.key = key
        if not isinstance(text, str):
            continue
        if re.fullmatch(r"[\w-]+( \w+)?", text) and key.startswith("doc_to"):
            s = inference.fields.setdefault(text, Shape())
            if key == "doc_to_choice":
                s.at(1).kinds.add("str")
            elif key == "doc_to_target" and choice is not None and not s.kinds:
                s.kinds.add("int")
        else:
            inference.template(text)
    if choice is not None and isinstance(cfg.get("doc_to_target"), str):
        m = re.fullmatch(r"\{\{\s*(\w+)\s*\}\}", cfg["doc_to_target"])
        s = inference.fields.get(m[1]) if m else None
        if s and not s.kinds and not s.values:
            s.kinds.add("int")
    return inference.fields


# ---- the harness -----------------------------------------------------------------------------------------------------

class Oracle(harness.ConfigurableTask):
    documents = {}

    def download(self, *_args, **_kwargs):
        self.dataset = self.documents


def any_metric(name, _hf=False):
    return lambda *a, **k: 0.0


harness.get_metric = any_metric
harness.get_aggregation = any_metric
harness.get_metric_aggregation = lambda name: harness.mean
harness.is_higher_better = lambda name: True


def normal_gold(task, doc):
    choices = task.doc_to_choice(doc)
    gold = task.doc_to_text(doc) if task.multiple_input else task.doc_to_target(doc)
    gold = gold if isinstance(gold, list) else [gold]
    out = []
    for g in gold:
        if isinstance(g, bool):
            g = int(g)
        if isinstance(g, str):
            g = choices.index(g) if g in choices else -1
        out.append(g if isinstance(g, int) and 0 <= g < len(choices) else -1)
    return out


def with_shots(cfg):
    """The changes that ask for shots."""
    return {"num_fewshot": SHOTS, "fewshot_config": {**(cfg.get("fewshot_config") or {}), "sampler": "first_n"}}


def ask_harness(cfg, documents, shots):
    """The requests of the first documents, as render_tasks prints them."""
    Oracle.documents = documents
    cfg = json.loads(json.dumps({k: v for k, v in cfg.items() if k not in ("tag", "group", "task_list")}))
    if shots:
        cfg.update(with_shots(cfg))
    task = Oracle(config=cfg)
    task.set_fewshot_seed(1234)
    out = []
    for doc in list(task.eval_docs):
        context = task.fewshot_context(doc, num_fewshot=task.config.num_fewshot or 0, gen_prefix=task.doc_to_prefix(doc))
        made = task.construct_requests(doc=doc, ctx=context, metadata=(task.config.task, 0, 1))
        row = {"contexts": [context]}
        if task.OUTPUT_TYPE == "multiple_choice":
            n = len(task.doc_to_choice(doc))
            row = {"contexts": [i.args[0] for i in made[:n]][:None if task.multiple_input else 1],
                   "continuations": [i.args[1] for i in made[:n]],
                   "choices": task.doc_to_choice(doc), "gold": normal_gold(task, doc)}
        elif task.OUTPUT_TYPE == "loglikelihood":
            row["continuations"] = [made.args[1]]
        elif task.OUTPUT_TYPE == "loglikelihood_rolling":
            row["contexts"] = [made.args[0]]
        else:
            target = task.doc_to_target(doc)
            if task.config.doc_to_choice is not None:
                target = task.doc_to_choice(doc)[target]
            row["targets"] = [str(t) for t in target] if isinstance(target, list) else [str(target)]
        out.append(row)
    return out


def split_names(cfg):
    shots = cfg.get("fewshot_config") or {}
    return {cfg[k] for k in SPLITS if cfg.get(k)} | ({shots["split"]} if shots.get("split") else set())


def make_documents(cfg, fields, seed, plain, odd=None):
    made = {}
    for i, name in enumerate(sorted(split_names(cfg))):
        maker = Maker(seed * 100 + i, plain)
        maker.odd = odd or {}
        n = max(DOCS, cfg.get("num_fewshot") or 0) + 1
        made[name] = datasets.Dataset.from_list([maker.document(fields) for _ in range(n)])
    return made


def synthesise(cfg):
    """Documents that the harness itself can read; and what it makes of them. None, reason: none was found."""
    fields = infer(cfg) or {"text": Shape()}
    rng, why = random.Random(1), None
    for attempt in range(120):
        odd = {}
        if attempt >= 12:
            for name in fields:
                if rng.random() < 0.5:
                    odd[name] = rng.choice(GUESSES)
        try:
            documents = make_documents(cfg, fields, attempt, plain=attempt >= 6, odd=odd)
            return documents, (ask_harness(cfg, documents, False), ask_harness(cfg, documents, True))
        except Exception as e:
            why = why or "%s: %s" % (type(e).__name__, str(e)[:100])
    return None, why


# ---- assay -----------------------------------------------------------------------------------------------------------

def place(cfg, split):
    """Where the file of a split lies in the folder of its data set."""
    named = ((cfg.get("dataset_kwargs") or {}).get("data_files") or {}).get(split)
    if named:
        return re.sub("hf://datasets/[^/]*/[^/]*/", "", named)
    return "%s/%s.jsonl" % (cfg.get("dataset_name") or "x", split)


def written(name, split):
    if name.endswith(".csv"):
        out = io.StringIO()
        rows = csv.DictWriter(out, split.column_names)
        rows.writeheader()
        rows.writerows(split)
        return out.getvalue()
    return "".join(json.dumps(d) + "\n" for d in split)


def job(path, cfg, documents, changes=None):
    files = {"hub/" + place(cfg, name): written(place(cfg, name), split) for name, split in documents.items()}
    hubs = re.findall("hf://datasets/([^/]*/[^/]*)/", json.dumps(cfg.get("dataset_kwargs"))) + [cfg["dataset_path"]]
    suite = path
    if changes is not None:
        suite = "wrapped.yaml"
        files[suite] = json.dumps({"include": path, **changes})
    return {"suite": suite, "files": files, "datasets": {hub: "hub" for hub in hubs}}


def ask_assay(render, jobs):
    text = "".join(json.dumps(j) + "\n" for j in jobs)
    out = subprocess.run([render, str(ROOT)], input=text, capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in out.splitlines()]


LATER = re.compile(r"metric|filter|aggregat")


def differs(answer, want):
    if "error" in answer:
        return answer["error"]
    got = answer["tasks"][0]["docs"]
    for i, (g, w) in enumerate(zip(got, want)):
        for key, value in w.items():
            if g.get(key) != value:
                return "doc %d: %s differs: %.200r, the harness has %.200r" % (i, key, g.get(key), value)
    return None if len(got) >= len(want) else "%d documents" % len(got)


def reason(text):
    """Without what is particular to one file."""
    text = re.sub(r" differs: .*", " differs", text)
    text = re.sub(r"(\S+/)*\S+\.yaml(:\d+:\d+)?:? ?|_?\S*_yaml(:\d+:\d+)?:? ?|hub/\S+:\d+:? ?", "", text)
    return re.sub(r"task \S+:? |\d+", "", text)[:110]


def main():
    render, prefixes = sys.argv[1], sys.argv[2:]
    counts, failures = collections.Counter(), collections.defaultdict(list)
    work, made = [], {}
    for path in sorted(ROOT.glob("**/*.yaml")):
        name = str(path.relative_to(ROOT))
        if prefixes and not name.startswith(tuple(prefixes)):
            continue
        cfg = load(path)
        if not isinstance(cfg.get("task"), str) or "class" in cfg or "group" in cfg:
            continue
        if has_function(cfg):
            counts["need Python"] += 1
            continue
        counts["Python-free"] += 1
        key = json.dumps([cfg.get(k) for k in sorted(cfg) if k not in ("task", "tag", "task_alias", "metadata", "dataset_name",
                          "dataset_path", "dataset_kwargs", "metric_list", "filter_list")], sort_keys=True)
        if key not in made:
            made[key] = synthesise(cfg)
        documents, want = made[key]
        if documents is None:
            failures["no documents that the harness itself takes: " + reason(want)].append(name)
        else:
            work.append((name, cfg, documents, want))
    print("%d different sets of templates" % len(made), file=sys.stderr)
    plain = ask_assay(render, [job(n, c, d) for n, c, d, _ in work])
    again = {"metric_list": None, "filter_list": None}
    bare = ask_assay(render, [job(n, c, d, again) for n, c, d, _ in work])
    few = ask_assay(render, [job(n, c, d, {**again, **with_shots(c), "repeats": None}) for n, c, d, _ in work])
    for (name, cfg, _, want), p, b, f in zip(work, plain, bare, few):
        later = None
        if "error" in p and LATER.search(p["error"]):
            later, p = p["error"], b
        problem = None if later and "error" in p and LATER.search(p["error"]) else differs(p, want[0])
        shown = cfg.get("output_type") != "loglikelihood_rolling"
        if problem is None and shown and (problem := differs(f, want[1])):
            problem = "with shots: " + problem
        if problem:
            failures[reason(problem)].append("%s\n\t\t%s" % (name, problem))
        elif later:
            counts["equal but for a metric or filter"] += 1
            failures["(equal) " + reason(later)].append(name)
        else:
            counts["equal, unchanged"] += 1
    for key, n in counts.items():
        print("%6d %s" % (n, key))
    for why, names in sorted(failures.items(), key=lambda x: -len(x[1])):
        print("%6d %s" % (len(names), why))
        for name in names[:3]:
            print("\t" + name)
    good = counts["equal, unchanged"] + counts["equal but for a metric or filter"]
    print("%.2f %% of %d files" % (100 * good / max(1, counts["Python-free"]), counts["Python-free"]))
    sys.exit(0 if good >= 0.95 * counts["Python-free"] else 1)


if __name__ == "__main__":
    main()
