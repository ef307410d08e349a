#!/usr/bin/env python3
"""bench_torch.py [name=value …]: the twin of bench_model.c in PyTorch, same shape and same examples.

packed=0 (default): what most trainers do: padded batches of transformers' Llama, sorted by length, so that padding is
small, causal attention by scaled_dot_product_attention. packed=1: one row of all tokens and a block mask. The tokens
counted are real ones. Prints one line of JSON.
"""
import json
import sys
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

s = dict(hidden=192, layers=6, heads=6, kv_heads=6, ff=512, vocab=1024, length=40, batch=4096, steps=12, threads=0, packed=0)
for a in sys.argv[1:]:
    k, v = a.split("=")
    if k in s:
        s[k] = int(v)
if s["threads"]:
    torch.set_num_threads(s["threads"])
torch.manual_seed(1)

x = 1


def next_(n):
    global x
    x = (x * 1103515245 + 12345) & 0x7fffffff
    return (x >> 8) % n


examples, rows = [], 0
while rows < s["batch"] * s["steps"]:
    n = max(2, s["length"] // 2 + next_(s["length"] + 1))
    examples.append([next_(s["vocab"]) for _ in range(n)])
    rows += n - 1

config = LlamaConfig(vocab_size=s["vocab"], hidden_size=s["hidden"], intermediate_size=s["ff"], num_hidden_layers=s["layers"],
                     num_attention_heads=s["heads"], num_key_value_heads=s["kv_heads"],
                     max_position_embeddings=2 * s["length"], tie_word_embeddings=True, attn_implementation="sdpa")
model = LlamaForCausalLM(config).float()
opt = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.01)


def steps_of(list_):
    batch, n = [], 0
    for e in list_:
        if batch and n + len(e) - 1 > s["batch"]:
            yield batch
            batch, n = [], 0
        batch.append(e)
        n += len(e) - 1
    if batch:
        yield batch


def packed_logits(batch):
    ids = torch.tensor([t for e in batch for t in e[:-1]])
    pos = torch.tensor([i for e in batch for i in range(len(e) - 1)])
    seq = torch.tensor([k for k, e in enumerate(batch) for _ in e[:-1]])
    mask = (seq[:, None] == seq[None, :]) & (pos[:, None] >= pos[None, :])
    out = model(input_ids=ids[None], position_ids=pos[None], attention_mask=mask[None, None]).logits[0]
    return out, torch.tensor([t for e in batch for t in e[1:]])


def padded_logits(batch):
    batch = sorted(batch, key=len)
    logits, targets = [], []
    for at in range(0, len(batch), 16):  # sixteen of like length at a time
        part = batch[at:at + 16]
        width = max(map(len, part)) - 1
        ids = torch.tensor([e[:-1] + [0] * (width + 1 - len(e)) for e in part])
        keep = torch.tensor([[1] * (len(e) - 1) + [0] * (width + 1 - len(e)) for e in part]).bool()
        logits.append(model(input_ids=ids).logits[keep])  # causal: what is behind the end is not seen
        targets += [t for e in part for t in e[1:]]
    return torch.cat(logits), torch.tensor(targets)


forward = packed_logits if s["packed"] else padded_logits
tokens = seconds = 0
for k, batch in enumerate(list(steps_of(examples))[:s["steps"]]):
    t = time.perf_counter()
    opt.zero_grad()
    logits, targets = forward(batch)
    loss = torch.nn.functional.cross_entropy(logits, targets)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    opt.step()
    loss.item()
    if k >= 2:
        tokens += len(targets)
        seconds += time.perf_counter() - t
model.eval()
began, scored = time.perf_counter(), 0
with torch.no_grad():
    for batch in steps_of(examples):
        logits, targets = forward(batch)
        torch.log_softmax(logits, -1).gather(1, targets[:, None]).sum().item()
        scored += len(targets)
spent = time.perf_counter() - began
print(json.dumps({"engine": "torch", "threads": torch.get_num_threads(), "train_tokens_per_s": round(tokens / seconds),
                  "score_tokens_per_s": round(scored / spent), "score_items_per_s": round(len(examples) / spent),
                  "last_loss": round(loss.item(), 4)}))
