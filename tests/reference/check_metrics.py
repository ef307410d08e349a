#!/usr/bin/env python3
"""check_metrics.py BINARY [ROUNDS]: random texts and labels, scored by assay's metrics (build/reference/score_metrics) and by
the libraries that define them: sacrebleu, rouge_score, scikit-learn, jsonschema. Values and scores must agree to 1e-9, stems exactly;
standard errors of a corpus with numpy's bootstrap, to four times what draws of that number miss it by."""
import json
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))
import make_metrics as golden  # noqa: E402


def close(a, b):
    return abs(a - b) <= 1e-9 * max(1, abs(b))


def main():
    binary, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 10
    seed = int(os.environ.get("SEED", "1"))
    rng = random.Random(seed)
    cases = golden.fixed() + golden.cases(rng, 20, rounds)
    words = golden.stem_words(rng, 2000 * rounds)
    lines = [json.dumps(c) for c in cases] + [json.dumps({"stem": w}) for w in words]
    out = subprocess.run([binary], input="\n".join(lines), capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(out) == len(lines), (len(out), len(lines))
    bad, said, samples, drawn = 0, {}, 0, 0
    for case, line in zip(cases, out):
        got = json.loads(line)
        value, scores = golden.reference(case)
        samples += len(case["samples"])
        said[case["metric"]] = said.get(case["metric"], 0) + 1
        same = isinstance(got, dict) and close(got["value"], value)
        if same and scores:
            same = all(close(a, b) for a, b in zip(got["scores"], scores))
        if same and not scores and len(case["samples"]) > 1 and case["metric"] != "bypass":
            error, within = golden.drawn_error(case, 5000)
            drawn += 1
            if not abs(got["stderr"] - error) <= within + 1e-9:
                bad += 1
                print("DIFFERS standard error", case["metric"], case["options"], "assay", got["stderr"], "drawn", error, "allowed", within)
        if not same:
            bad += 1
            print("DIFFERS", case["metric"], case["options"], "assay", got if isinstance(got, str) else got["value"],
                  "reference", value)
            if bad <= 3:
                print(json.dumps(case)[:2000])
    stems = golden.stems(words)
    for word, line, want in zip(words, out[len(cases):], stems):
        if json.loads(line) != want:
            bad += 1
            print("DIFFERS stem", word, json.loads(line), want)
    print(f"seed {seed}: {len(cases)} corpora, {samples} samples, {drawn} standard errors, {len(words)} stems; {bad} differ;",
          ", ".join(f"{k} {n}" for k, n in sorted(said.items())))
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
