#!/usr/bin/env python3
"""make_finetunes.py DIR [N] [STEPS]: a base and N fine-tunes of it, by real training steps.

A Llama of 19 M parameters is trained on this repository's pages from random weights (fp32, AdamW, 300 steps, so that it has
learnt something), then N times further on another part each, STEPS steps at 2e-5. All are saved as bf16, which is how
fine-tunes are published, and as fp32. Also "frozen": a fine-tune of the last layer alone. Needs torch, transformers, safetensors."""

import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

out = pathlib.Path(sys.argv[1])
n = int(sys.argv[2]) if len(sys.argv) > 2 else 10
steps = int(sys.argv[3]) if len(sys.argv) > 3 else 100
root = pathlib.Path(__file__).resolve().parents[2]
text = b"".join(p.read_bytes() for p in sorted(root.glob("docs/*.md")) + sorted(root.glob("*/*.c")))
data = torch.frombuffer(bytearray(text), dtype=torch.uint8).long()
torch.manual_seed(1)
config = LlamaConfig(vocab_size=256, hidden_size=384, intermediate_size=1536, num_hidden_layers=8, num_attention_heads=6,
                     num_key_value_heads=6, max_position_embeddings=256, tie_word_embeddings=False)


def train(model, part, steps, lr, seed, parameters=None):
    g = torch.Generator().manual_seed(seed)
    low, high = part
    opt = torch.optim.AdamW(parameters or model.parameters(), lr=lr, weight_decay=0.01)
    first = last = None
    for step in range(steps):
        at = torch.randint(low, high - 65, (8,), generator=g)
        ids = torch.stack([data[a:a + 64] for a in at])
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        opt.zero_grad()
        last = loss.item()
        first = first if first is not None else last
    return first, last


def save(model, name):
    for kind, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        (out / kind).mkdir(parents=True, exist_ok=True)
        save_file({k: v.detach().to(dtype).contiguous() for k, v in model.state_dict().items()}, out / kind / f"{name}.safetensors")


base = LlamaForCausalLM(config)
half = len(data) // 2
print("base", sum(p.numel() for p in base.parameters()), "parameters, loss", train(base, (0, half), 300, 1e-3, 1), flush=True)
save(base, "base")
state = {k: v.clone() for k, v in base.state_dict().items()}
for i in range(n):
    base.load_state_dict(state)
    low = half + (len(data) - half) * i // n
    print("tune", i, train(base, (low, low + (len(data) - half) // n), steps, 2e-5, 100 + i), flush=True)
    save(base, f"tune{i}")
base.load_state_dict(state)
train(base, (half, len(data)), steps, 2e-5, 99, list(base.model.layers[-1].parameters()))
save(base, "frozen")
