#!/usr/bin/env python3
"""bench_torch_train.py DIR [name=value …]: the twin of bench_train.c in PyTorch, eager (compile=1: torch.compile).

device=cuda takes the card; bf16=1 computes under autocast to bf16, over fp32 weights, or bf16 ones that LoRA leaves alone;
fused=1 is AdamW's fused kernel; lora=R trains PEFT's factors of rank R beside all linear layers, and ends with 77 where there
is no peft. Attention is scaled_dot_product_attention, which takes flash attention where it can. transformers' model without dropout, AdamW of torch.optim with its defaults but the twins' settings, the logits and the
loss as most trainers compute them. Prints one line of JSON.
"""
import contextlib
import json
import resource
import statistics
import sys
import time

import torch
import transformers
from transformers import AutoModelForCausalLM

DTYPE = "dtype" if tuple(map(int, transformers.__version__.split(".")[:2])) >= (4, 56) else "torch_dtype"  # renamed there

s = dict(batch=4, length=64, steps=6, threads=0, compile=0, bf16=0, fused=0, lora=0, device="cpu")
for a in sys.argv[2:]:
    k, v = a.split("=")
    s[k] = v if k == "device" else int(v)
if s["threads"]:
    torch.set_num_threads(s["threads"])
dtype = torch.bfloat16 if s["lora"] and s["bf16"] else torch.float32
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], **{DTYPE: dtype}, attn_implementation="sdpa")
vocab = model.config.vocab_size
if s["lora"]:
    try:
        import peft
    except ImportError:
        print("this Python has no peft")
        sys.exit(77)
    model = peft.get_peft_model(model, peft.LoraConfig(r=s["lora"], lora_alpha=2 * s["lora"], lora_dropout=0.0,
                                                       target_modules="all-linear", task_type="CAUSAL_LM"))
model = model.to(s["device"]).eval()  # eval: no dropout; gradients remain
wait = torch.cuda.synchronize if s["device"].startswith("cuda") else lambda: None
autocast = torch.autocast("cuda" if s["device"].startswith("cuda") else "cpu", torch.bfloat16) if s["bf16"] else contextlib.nullcontext()
x, ids = 1, []
for _ in range(s["batch"] * (s["length"] + 1)):
    x = (x * 1103515245 + 12345) & 0x7fffffff
    ids.append((x >> 8) % vocab)
ids = torch.tensor(ids).view(s["batch"], s["length"] + 1).to(s["device"])
opt = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, betas=(0.9, 0.999), eps=1e-8,
                        weight_decay=0.0, fused=bool(s["fused"]) or None)
forward = torch.compile(model) if s["compile"] else model
seconds, losses = [], []
for _ in range(s["steps"]):
    t = time.perf_counter()
    with autocast:
        logits = forward(input_ids=ids[:, :-1], use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.view(-1, vocab), ids[:, 1:].reshape(-1))
    opt.zero_grad()
    loss.backward()
    opt.step()
    losses.append(round(loss.item(), 4))
    wait()
    seconds.append(time.perf_counter() - t)
step = statistics.median(seconds[1:])
print(json.dumps({"engine": "peft" if s["lora"] else "torch", "batch": s["batch"], "length": s["length"], "step_s": round(step, 4),
                  "train_tokens_per_s": round(s["batch"] * s["length"] / step, 1),
                  "peak_rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024), "losses": losses}))
