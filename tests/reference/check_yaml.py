#!/usr/bin/env python3
"""base/yaml.c against PyYAML, which lm-evaluation-harness reads its files with (make check-reference).

    check_yaml.py READ_YAML [ROUNDS]

1. Every YAML file of the installed harness: the same value.
2. ROUNDS random texts in quotes, as values, as keys and in flow lists: the same text. Where PyYAML refuses one, we may read it
   (JSON's surrogate pairs); where we refuse one that PyYAML reads, its kind is counted and must be among KNOWN.
"""
import glob
import json
import os
import random
import subprocess
import sys
from collections import Counter

import lm_eval
import yaml

KNOWN = (
    "NUL byte",  # a C string cannot hold it
    "invalid tab used as indentation",  # YAML 1.2, libfyaml
    "invalid escape '\\N'",  # before a line break that is one in YAML 1.1 only
    "invalid escape '\\L'",
    "invalid escape '\\P'",
    "invalid comment without whitespace after",  # "a"#b
    "invalid trailing content after",
)
PIECES = [
    "'", "''", '"', "\\", "\\\\", "\\n", '\\"', "\\ ", "\\\t", "\\t", "\\/", "\\x41", "\\u00e9", "\\U0001f600", "\\N", "\\_", "\\L",
    "\\P", "\\e", "\\0", "\\a", "\\b", "\\v", "\\f", "\\r", "\\q", "\\x4", "\\ud800", "\\\n", "\\\n  ", "\\\r\n  ", "\n", "\n  ",
    "\n\n  ", " \n \n\t ", "\r\n  ", "\r  ", " ", "  ", "\t", "a", "b: ", "c", "#", " #", "{{x}}", "é", "日", "😀", "\u00a0", "\u0085",
    "\u2028", "\u2029", "\u2028\n  ", "- ", ", ", "[", "]", "{", "}", ":", "|", ">", "%", "1", "~",
]  # fmt: skip


class Loader(yaml.CSafeLoader):
    pass


Loader.add_constructor("!function", lambda loader, node: {"!function": loader.construct_scalar(node)})


def plain(value):
    """As JSON has it: keys are text."""
    if isinstance(value, dict):
        return {"null" if k is None else "true" if k is True else str(k): plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list) else value


def theirs(text):
    try:
        value = yaml.load(text, Loader=Loader)
        return {"value": {} if value is None else plain(value)}
    except yaml.YAMLError as e:
        return {"error": str(e)}


def ours(tool, texts, python):
    jobs = "".join(json.dumps({"text": t, "python": python}) + "\n" for t in texts)
    done = subprocess.run([tool], input=jobs.encode(), stdout=subprocess.PIPE, check=True)
    answers = [json.loads(line) for line in done.stdout.decode().split("\n") if line]
    assert len(answers) == len(texts)
    return answers


def same(a, b):
    return json.dumps(a, sort_keys=True, default=str) == json.dumps(b, sort_keys=True, default=str)


def check_files(tool):
    top = os.path.join(os.path.dirname(lm_eval.__file__), "tasks")
    names = sorted(glob.glob(top + "/**/*.y*ml", recursive=True))
    texts = [open(n, encoding="utf-8", newline="").read() for n in names]
    bad = 0
    for name, text, got in zip(names, texts, ours(tool, texts, True)):
        want = theirs(text)
        if not same(want, got) and not ("error" in want and "error" in got):
            bad += 1
            print(f"FILE {os.path.relpath(name, top)}: {str(got)[:150]}")
    print(f"{len(names)} files of the harness, {bad} read otherwise")
    return bad + (not names)


def quoted(r):
    body = "".join(r.choice(PIECES) for _ in range(r.randrange(9)))
    if r.random() < 0.5:
        text = "'" + (body if r.random() < 0.1 else body.replace("'", "''")) + "'"
    else:
        text = '"' + (body if r.random() < 0.1 else body.replace('"', '\\"')) + '"'
    return r.choice(["a: %s\n", "a: %s\nb: 1\n", "- %s", "[%s, x]", "{a: %s}", "%s: 1\n", "? %s\n: 1\n", "%s", "a:\n  - !!str %s\n"]) % text


def check_random(tool, rounds):
    r = random.Random(7)
    texts = [quoted(r) for _ in range(rounds)]
    seen, bad = Counter(), 0
    for python in (True, False):
        for text, got in zip(texts, ours(tool, texts, python)):
            if not python and any(c in text for c in "\u0085\u2028\u2029"):
                continue  # line breaks of YAML 1.1 only
            want = theirs(text)
            if "error" in want:
                seen["both refuse" if "error" in got else "only PyYAML refuses"] += 1
            elif "error" in got:
                known = any(k in got["error"] for k in KNOWN)
                seen["only we refuse: " + got["error"].split(": ", 1)[-1]] += 1
                bad += not known
                if not known:
                    print(f"REFUSED {text!r}: {got['error']}")
            elif same(want, got):
                seen["same"] += 1
            else:
                bad += 1
                print(f"TEXT {text!r}\n  theirs {want['value']!r}\n  ours   {got['value']!r}")
    for what, n in seen.most_common():
        print(f"{n:8} {what}")
    return bad


if __name__ == "__main__":
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 20000
    sys.exit(1 if check_files(sys.argv[1]) + check_random(sys.argv[1], rounds) else 0)
