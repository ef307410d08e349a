#!/usr/bin/env python3
"""compare_samples.py ASSAY MODEL HARNESS.jsonl [SAMPLES.jsonl]: both tools asked the same and were answered the same.

HARNESS.jsonl is what lm-evaluation-harness wrote with --log_samples. Its requests, context and continuation or text, are
given to `assay score` as they are: every log-likelihood is within 1e-4 + 1e-6 |ll|. With the samples of `assay eval` also
each document's scores. Prints one line, exit 0 if all holds and something was compared.
"""
import json
import subprocess
import sys

assay, model, harness = sys.argv[1:4]
docs = sorted(map(json.loads, open(harness, encoding="utf-8")), key=lambda d: d["doc_id"])
requests, theirs = [], []
for d in docs:
    for k, answer in enumerate(d["filtered_resps"]):
        args = d["arguments"][f"gen_args_{k}"]
        asked = {"text": args["arg_0"]} if "arg_1" not in args else {"context": args["arg_0"], "continuation": args["arg_1"]}
        requests.append(json.dumps({"id": len(requests), **asked}) + "\n")
        theirs.append(float(answer[0] if isinstance(answer, list) else answer))
out = subprocess.run([assay, "score", model], input="".join(requests), capture_output=True, text=True, check=True).stdout
ours = [json.loads(line)["logprob"] for line in out.splitlines()]
assert len(ours) == len(theirs) > 0, (len(ours), len(theirs))
worst, far = max(abs(a - b) for a, b in zip(ours, theirs)), 0
for a, b in zip(ours, theirs):
    far += not abs(a - b) <= 1e-4 + 1e-6 * abs(b)
differ = 0
if len(sys.argv) > 4:
    lines = [json.loads(line) for line in open(sys.argv[4], encoding="utf-8")]
    names, samples = [m["name"] for m in lines[0]["metrics"]], {s["id"]: s["scores"] for s in lines[1:]}
    assert len(samples) == len(docs), (len(samples), len(docs))
    for d in docs:
        differ += any(samples[d["doc"]["id"]][k] != d[name] for k, name in enumerate(names))
print(f"{len(ours)} log-likelihoods, largest difference {worst:.2e}, {far} out of bounds; {differ} of {len(docs)} documents "
      "scored otherwise")
sys.exit(1 if far or differ else 0)
