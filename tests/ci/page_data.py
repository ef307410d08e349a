#!/usr/bin/env python3
"""page_data.py FOLDER [SAMPLES]: a report and its samples as a run would leave them, for page.mjs: report.json, pairs.json.

Everything a stranger may write (names, notes, prompts, answers, paths, a commit's subject) is hostile in some rows, plain in
most, so that the page can be looked at and attacked in one. Seeded: the same bytes every time.
"""
import json
import math
import random
import sys

EVIL = [
    "<script>window.pwned=1</script>",
    "</script><script>window.pwned=2</script>",
    "<!--<script>window.pwned=3</script>-->",
    "\"><img src=x onerror=\"window.pwned=4\">",
    "' onmouseover='window.pwned=5",
    "<svg/onload=window.pwned=6>",
    "javascript:window.pwned=7",
    "]]><style>body{display:none}</style>",
    "\u202egnp.exe \u2066hidden\u2069 \ufeff\u200b end",
    "::set-output name=x::y\n::error::pwned\n/close\n@all #1 !2",
    "\x1b[31mred\x1b]0;title\x07 \x9b31m \x00 \x08\x7f",
    "<iframe srcdoc=\"<script>parent.pwned=8</script>\"></iframe>",
    "<a href=\"http://evil.example/x\">http://evil.example/x</a> <link rel=stylesheet href=http://evil.example/y>",
    "${window.pwned=9}{{constructor.constructor('window.pwned=10')()}}",
    "\u2028\u2029&lt;script&gt;&#60;script&#62;",
    "e\u0301\u0301\u0301\u0301\u0301\u0301\u0301\u0301 \u0e01\u0e47\u0e47\u0e47\u0e47 \U000e0041",
]
TASKS = ["answers", "intents", "dates", "summaries"]
SLICES = ["en", "de", "fr", "es", "pt", "pl", "uk", "tr", "hi", "ja"]
NOUNS = "invoice refund shipment order account password delivery address discount subscription warranty receipt".split()
VERBS = "has arrived|was cancelled|is on its way|needs a signature|was paid twice|cannot be found|will be replaced".split("|")


def sentence(rng):
    return f"Your {rng.choice(NOUNS)} {rng.choice(VERBS)}, and the {rng.choice(NOUNS)} {rng.choice(VERBS)}."


def rule(text, task, metric, verdict, base, cand, lo, hi, n, lost=0, won=0, up=True, gated=True, why=""):
    return {"rule": text, "task": task, "metric": metric, "filter": "none", "verdict": verdict, "baseline": base,
            "candidate": cand, "delta": None if base is None else cand - base, "interval": [lo, hi], "n": n, "lost": lost,
            "won": won, "method": "exact count", "confidence": 0.95, "explanation": why, "higher_is_better": up, "gated": gated}


def report(rng):
    steps = [("read", "done", 0.004), ("plan", "done", 0.35), ("train", "done", 184.2), ("eval", "done", 96.4),
             ("gate", "done", 0.21), ("record", "done", 1.9), ("report", "done", 0.6)]
    loss = [[s, 3.4 * math.exp(-s / 160) + 0.62 + rng.gauss(0, 0.05), 2e-4, 1.0, 9000.0] for s in range(1, 1201)]
    before = [[s, 3.4 * math.exp(-s / 210) + 0.66 + rng.gauss(0, 0.05)] for s in range(1, 1001)]
    valid = [[s, 3.3 * math.exp(-s / 170) + 0.74 + max(0, s - 800) * 1.2e-4] for s in range(100, 1201, 100)]
    bins = [[(k + 0.5) / 10, min(1, max(0, (k + 0.5) / 10 * 0.86 + rng.gauss(0, 0.02))), rng.randint(40, 400)] for k in range(2, 10)]
    slices = []
    for metric, up in (("exact_match", True), ("acc", True)):
        for s in SLICES:
            base = rng.uniform(0.62, 0.94)
            slices.append({"task": "answers" if metric == "exact_match" else "intents", "metric": metric, "filter": "none",
                           "slice": s, "n": rng.randint(60, 900), "value": base + rng.gauss(-0.01, 0.03),
                           "stderr": 0.015, "baseline": base, "higher_is_better": up})
    hexes = [f"{rng.getrandbits(256):064x}" for _ in range(8)]
    commit, target = (f"{rng.getrandbits(160):040x}" for _ in range(2))
    return {
        "format": "assay-report/1", "run": hexes[0], "model": "support-bot", "commit": commit,
        "subject": "Train on the spring tickets " + EVIL[0], "branch": "spring-tickets", "trust": "branch", "verdict": "FAIL",
        "exit": 1, "blocks": True, "created": "2026-11-24T03:38:00Z",
        "sentence": "1 of 5 rules fails; first answers.exact_match: dropped by 2.4 points on these 1,250 samples "
                    "(lost 41, won 11); allowed 1.0",
        "seconds": 283.7, "tool": {"version": "0.1.0", "numerics": "cpu/1 f32 x86-64-v3"},
        "baseline": {"name": "production", "version": 7, "run": hexes[1], "commit": target},
        "policy": {"source": "target " + target, "target": "suite", "confidence": 0.95},
        "rules": [
            rule("answers.exact_match: max_drop 0.01", "answers", "exact_match", "FAIL", 0.712, 0.688, -0.0374, -0.0111, 1250,
                 41, 11, why="dropped by 2.4 points on these 1,250 samples (lost 41, won 11); allowed 1.0"),
            rule("dates.exact_match: max_drop 0.02", "dates", "exact_match", "INCONCLUSIVE", 0.884, 0.8683, -0.031, 0.0076, 164,
                 7, 5, why="between 3.1 points worse and 0.8 better; some 1,100 more samples would decide"),
            rule("intents.acc: max_drop 0.03", "intents", "acc", "PASS", 0.912, 0.919, -0.004, 0.018, 2400, 38, 55),
            rule("intents.acc: min 0.8", "intents", "acc", "PASS", 0.912, 0.919, 0.909, 0.928, 2400),
            rule("heldout.bits_per_byte: max_increase 1%", "heldout", "bits_per_byte", "PASS", 1.2345, 1.2101, -0.031, -0.0172,
                 512, up=False),
            rule("summaries.rouge_l: min_gain 0.01", "summaries", "rouge_l", "PASS", 0.41, 0.4433, 0.0188, 0.0478, 300),
            rule("summaries.chrf", "summaries", "chrf", "PASS", 61.2, 63.9, 1.1, 4.4, 300, gated=False),
            rule("fr.acc", "fr", "acc", "PASS", 0.96, 0.91, -0.07, -0.03, 400, 21, 1, gated=False),
            rule("hi.acc", "hi", "acc", "PASS", 0.9, 0.9, -0.004, 0.004, 400, gated=False),
            rule(EVIL[1], EVIL[3], EVIL[8], "PASS", 0.5, 0.51, -0.02, 0.03, 90, gated=False),
        ],
        "metrics": [{"suite": "s", "task": "sv", "metric": "acc", "filter": "none", "value": 0.99, "stderr": 0.005, "n": 100,
                     "baseline": None, "higher_is_better": True}],
        "samples": {"broken": [{"task": "answers", "id": f"t-{i}", "prompt": sentence(rng) + EVIL[i % len(EVIL)],
                                "target": sentence(rng), "before": sentence(rng), "after": EVIL[(i + 3) % len(EVIL)]}
                               for i in range(20)], "n_broken": 41, "n_fixed": 11},
        "training": {"method": "lora", "steps": 1200, "tokens": 4915200, "first_loss": 3.41, "last_loss": 0.66, "seconds": 184.2,
                     "reused": False, "curve": loss, "validation": valid, "best_step": 800,
                     "before": {"run": hexes[1], "curve": before, "validation": []}},
        "overlap": {"tasks": [{"suite": "s", "task": "answers", "n": 1250, "exact": 2, "ngram": 1, "documents": 3, "examples": [
            {"id": "t-17", "how": "exact", "where": "data/train.jsonl:203"}, {"id": EVIL[3], "how": "ngram", "where": EVIL[12]}]}],
                    "missing": []},
        "slices": slices,
        "calibration": [{"task": "intents", "bins": bins, "baseline": [[c, min(1, c * 0.97), n] for c, _, n in bins]}],
        "datasets": [{"path": "data/train.jsonl", "digest": hexes[2], "rows": 18233, "bytes": 9123321, "role": "train"},
                     {"path": "data/spring.jsonl", "digest": hexes[3], "rows": 4120, "bytes": 2110233, "role": "train"},
                     {"path": "data/valid.jsonl", "digest": hexes[4], "rows": 900, "bytes": 451200, "role": "validation"}],
        "edges": [{"from": "commit:" + commit, "to": "model:" + hexes[5], "relation": "defines"},
                  {"from": "data:" + hexes[2], "to": "model:" + hexes[5], "relation": "trained"},
                  {"from": "data:" + hexes[3], "to": "model:" + hexes[5], "relation": "trained"},
                  {"from": "data:" + hexes[4], "to": "model:" + hexes[5], "relation": "validated"},
                  {"from": "model:" + hexes[6], "to": "model:" + hexes[5], "relation": "base of"}],
        "steps": [{"name": n, "status": s, "seconds": t} for n, s, t in steps],
        "version": {"model": "support-bot", "number": 8, "object": hexes[5]},
        "promotion": {"state": "kept", "alias": "production", "from": 7, "to": 8, "why": "the gate failed"},
        "notes": ["the target's questions were asked", EVIL[4] + EVIL[9] + EVIL[10]],
    }


def pairs(rng, total):
    tasks, at = [], 0
    for t, name in enumerate(TASKS):
        rows = []
        for i in range(total // len(TASKS) + (t < total % len(TASKS))):
            evil = EVIL[at % len(EVIL)] if at % 40 == 7 else None
            target = sentence(rng)
            before = target if rng.random() < 0.75 else sentence(rng)
            after = before if rng.random() < 0.9 else sentence(rng)
            prompt = f"Ticket {at}: {sentence(rng)}\n{sentence(rng)}\n\nAnswer:"
            if evil:
                prompt, before, after = prompt + evil, evil, evil[::-1] if rng.random() < 0.5 else evil + " and more"
            rows.append([evil if evil and at % 80 == 7 else f"{name[0]}-{i:05d}", rng.choice(SLICES), prompt, target, before,
                         after, [float(before == target), rng.random()], [float(after == target), rng.random()]])
            at += 1
        seen = set()
        for i, row in enumerate(rows):
            row[0] = row[0] if row[0] not in seen else f"{row[0]} {i}"
            seen.add(row[0])
        tasks.append({"task": name, "metrics": ["exact_match", "chrf"], "up": [True, True], "key": 0, "binary": True, "rows": rows})
    return {"tasks": tasks, "total": total, "shown": total}


if __name__ == "__main__":
    folder, total = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    rng = random.Random(7)
    for name, doc in (("report", report(rng)), ("pairs", pairs(rng, total))):
        with open(f"{folder}/{name}.json", "w", encoding="utf-8") as f:
            json.dump(doc, f, ensure_ascii=False)
