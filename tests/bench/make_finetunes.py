#!/usr/bin/env python3
"""make_finetunes.py DIR [N] [STEPS]: a base and N fine-tunes of it, by real training steps.

A Llama of 7 M parameters is trained on this repository's pages from random weights (fp32, AdamW, 200 steps, so that it has
learnt something), then N times further on another part each, STEPS steps at 2e-5. All are saved as bf16, which is how
fine-tunes are published, and as fp32. Also "frozen": a fine-tune of the last layer alone; and N adapters: factors of rank 8 beside
the query and value matrices, trained as long at 1e-3, in PEFT's names. Needs torch, transformers, safetensors."""

import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

out = pathlib.Path(sys.argv[1])
n = int(sys.argv[2]) if len(sys.argv) > 2 else 10
steps = int(sys.argv[3]) if len(sys.argv) > 3 else 50
root = pathlib.Path(__file__).resolve().parents[2]
text = b"".join(p.read_bytes() for p in sorted(root.glob("docs/*.md")) + sorted(root.glob("*/*.c")))
data = torch.frombuffer(bytearray(text), dtype=torch.uint8).long()
torch.manual_seed(1)
config = LlamaConfig(vocab_size=256, hidden_size=256, intermediate_size=1024, num_hidden_layers=6, num_attention_heads=4,
                     num_key_value_heads=4, max_position_embeddings=256, tie_word_embeddings=False)


def train(model, part, steps, lr, seed, parameters=None):
    g = torch.Generator().manual_seed(seed)
    low, high = part
    opt = torch.optim.AdamW(parameters or model.parameters(), lr=lr, weight_decay=0.01)
    first = last = None
    for step in range(steps):
        at = torch.randint(low, high - 33, (8,), generator=g)
        ids = torch.stack([data[a:a + 32] for a in at])
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
print("base", sum(p.numel() for p in base.parameters()), "parameters, loss", train(base, (0, half), 200, 1e-3, 1), flush=True)
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


class Lora(torch.nn.Module):
    def __init__(self, frozen, rank=8):
        super().__init__()
        self.frozen = frozen
        self.a = torch.nn.Parameter(torch.randn(rank, frozen.in_features) / frozen.in_features**0.5)
        self.b = torch.nn.Parameter(torch.zeros(frozen.out_features, rank))

    def forward(self, x):
        return self.frozen(x) + 2 * (x @ self.a.T) @ self.b.T


for i in range(n):
    base.load_state_dict(state)
    factors = {}
    originals = []
    for k, layer in enumerate(base.model.layers):
        for name in ("q_proj", "v_proj"):
            original = getattr(layer.self_attn, name)
            originals.append((layer.self_attn, name, original))
            factors[f"base_model.model.model.layers.{k}.self_attn.{name}"] = wrapped = Lora(original)
            setattr(layer.self_attn, name, wrapped)
    low = half + (len(data) - half) * i // n
    trained = [p for f in factors.values() for p in (f.a, f.b)]
    print("adapter", i, train(base, (low, low + (len(data) - half) // n), steps, 1e-3, 200 + i, trained), flush=True)
    (out / "lora").mkdir(parents=True, exist_ok=True)
    save_file({f"{k}.{part}.weight": v.detach().contiguous() for k, f in factors.items() for part, v in (("lora_A", f.a), ("lora_B", f.b))},
              out / "lora" / f"adapter{i}.safetensors")
    for module, name, original in originals:
        setattr(module, name, original)
    for p in base.parameters():
        p.grad = None
