#!/usr/bin/env python3
"""bench_torch_score.py DIR [name=value …]: the twin of bench_ask.c's score=N over transformers.

A plain loop: requests sorted by length, 32 at a time, padded on the right, the logits of the scored rows alone through
log_softmax. harness=1: the same requests through lm-evaluation-harness' own `hf` model instead, batch 32; ends with 77
where it is not installed. device=cuda, bf16=1 (the weights' type); what else is given for the training twin is passed over.
Prints one line of JSON.
"""
import json
import sys
import time

import torch
import transformers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

DTYPE = "dtype" if tuple(map(int, transformers.__version__.split(".")[:2])) >= (4, 56) else "torch_dtype"  # renamed there

s = dict(score=100, length=64, rounds=2, bf16=0, harness=0, device="cpu", fused=0, compile=0)
for a in sys.argv[2:]:
    k, v = a.split("=")
    s[k] = v if k == "device" else int(v)
folder = sys.argv[1]
model = AutoModelForCausalLM.from_pretrained(folder, **{DTYPE: torch.bfloat16 if s["bf16"] else torch.float32},
                                             attn_implementation="sdpa").to(s["device"]).eval()
x = 1


def next_(n):
    global x
    x = (x * 1103515245 + 12345) & 0x7fffffff
    return (x >> 8) % n


requests = []
for _ in range(s["score"]):
    n = s["length"] // 2 + next_(s["length"] - s["length"] // 2 + 1)
    ids = [next_(model.config.vocab_size) for _ in range(n)]
    requests.append((ids[:n - n // 4], ids[n - n // 4:]))


def plain():
    total = 0.0
    order = sorted(requests, key=lambda r: -len(r[0]) - len(r[1]))
    for at in range(0, len(order), 32):
        part = order[at:at + 32]
        width = max(len(c) + len(k) for c, k in part) - 1
        ids = torch.tensor([(c + k)[:-1] + [0] * (width + 1 - len(c) - len(k)) for c, k in part], device=s["device"])
        logits = model(input_ids=ids, use_cache=False).logits
        for row, (c, k) in enumerate(part):
            lp = torch.log_softmax(logits[row, len(c) - 1:len(c) + len(k) - 1].float(), -1)
            total += lp.gather(1, torch.tensor(k, device=s["device"])[:, None]).sum().item()
    return total


if s["harness"]:
    try:
        from lm_eval.models.huggingface import HFLM
    except ImportError:
        print("this Python has no lm_eval")
        sys.exit(77)
    lm = HFLM(pretrained=model, tokenizer=PreTrainedTokenizerFast.from_pretrained(folder), batch_size=32)

    def run():
        asked = [(("", ""), c, k) for c, k in requests]
        return sum(answer[0] for answer in lm._loglikelihood_tokens(asked, disable_tqdm=True))
else:
    run = plain
best = float("inf")
with torch.no_grad():
    for _ in range(s["rounds"]):
        t = time.perf_counter()
        total = run()
        best = min(best, time.perf_counter() - t)
tokens = sum(len(c) + len(k) - 1 for c, k in requests)
print(json.dumps({"engine": "lm-eval" if s["harness"] else "transformers", "requests": s["score"],
                  "score_tokens_per_s": round(tokens / best), "requests_per_s": round(s["score"] / best, 1),
                  "logprob": round(total, 3)}))
