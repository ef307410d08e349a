#!/usr/bin/env python3
"""bench_torch_train.py DIR [name=value …]: the twin of bench_train.c in PyTorch, eager (compile=1: torch.compile).

transformers' model without dropout, AdamW of torch.optim with its defaults but the twins' settings, the logits and the
loss as most trainers compute them. Prints one line of JSON.
"""
import json
import resource
import statistics
import sys
import time

import torch
from transformers import AutoModelForCausalLM

s = dict(batch=4, length=64, steps=6, threads=0, compile=0)
for a in sys.argv[2:]:
    k, v = a.split("=")
    s[k] = int(v)
if s["threads"]:
    torch.set_num_threads(s["threads"])
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32).eval()  # eval: no dropout; gradients remain
vocab = model.config.vocab_size
x, ids = 1, []
for _ in range(s["batch"] * (s["length"] + 1)):
    x = (x * 1103515245 + 12345) & 0x7fffffff
    ids.append((x >> 8) % vocab)
ids = torch.tensor(ids).view(s["batch"], s["length"] + 1)
opt = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
forward = torch.compile(model) if s["compile"] else model
seconds, losses = [], []
for _ in range(s["steps"]):
    t = time.perf_counter()
    logits = forward(input_ids=ids[:, :-1], use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(logits.view(-1, vocab), ids[:, 1:].reshape(-1))
    opt.zero_grad()
    loss.backward()
    opt.step()
    losses.append(round(loss.item(), 4))
    seconds.append(time.perf_counter() - t)
step = statistics.median(seconds[1:])
print(json.dumps({"engine": "torch", "batch": s["batch"], "length": s["length"], "step_s": round(step, 4),
                  "train_tokens_per_s": round(s["batch"] * s["length"] / step, 1),
                  "peak_rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024), "losses": losses}))
