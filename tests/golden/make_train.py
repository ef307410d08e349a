#!/usr/bin/env python3
"""Golden values for trainings on the folders of make_families.py: LoRA as PEFT does it, and preferences (DPO).

Writes train/lora-FAMILY.safetensors beside itself: factors to begin with, named as PEFT names them, their gradients, ten
losses and gradient norms of AdamW; and train/dpo-FAMILY.safetensors: pairs of answers, ten losses and gradient norms of a
full training and of one of factors whose B is zero at first. All is computed in fp32 from the weights as stored. Run once
with torch, transformers and peft; the files are committed.
"""
import copy
import os
import sys

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

here = os.path.dirname(os.path.abspath(__file__))
out_dir = os.path.join(here, "train")
torch.set_num_threads(1)
RANK, ALPHA, BETA = 3, 6, 0.5


def base(family):
    return AutoModelForCausalLM.from_pretrained(os.path.join(here, "families", family), dtype=torch.float32,
                                                attn_implementation="eager").train()


def with_factors(family, zero_b):
    torch.manual_seed(5)
    model = get_peft_model(base(family), LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.0,
                                                    target_modules="all-linear", task_type="CAUSAL_LM")).train()
    factors = {k.replace(".default", ""): p for k, p in model.named_parameters() if p.requires_grad}
    assert all("lora_" in k for k in factors), sorted(factors)
    with torch.no_grad():
        for key, p in factors.items():
            p.copy_(torch.zeros_like(p) if zero_b and "lora_B" in key else 0.3 * torch.randn_like(p))
    return model, factors


def logprobs(model, ids, mask):
    logits = model(input_ids=torch.tensor([ids[:-1]])).logits[0]
    lp = torch.log_softmax(logits.double(), -1)
    return torch.stack([lp[i - 1, ids[i]] for i in range(1, len(ids)) if mask[i]])


def adamw(params, split):
    matrices = [p for p in params if p.dim() > 1 or not split]
    vectors = [p for p in params if p.dim() == 1 and split]
    groups = [{"params": matrices, "weight_decay": 0.1}]
    if vectors:
        groups.append({"params": vectors, "weight_decay": 0.0})
    return torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.95), eps=1e-8)


def ten_steps(params, loss_of, split):
    opt = adamw(params, split)
    losses, norms = [], []
    for _ in range(10):
        opt.zero_grad()
        loss = loss_of()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(params, 1.0).item())
        opt.step()
        losses.append(loss.item())
    return torch.tensor(losses, dtype=torch.float64), torch.tensor(norms, dtype=torch.float64)


def cut(flat, lengths):
    at, out = 0, []
    for n in lengths:
        out.append(flat[at:at + n])
        at += n
    return out


def lora(family):
    g = load_file(os.path.join(here, "families", family, "golden.safetensors"))
    lengths = g["lengths"].tolist()
    seqs, masks = cut(g["ids"].tolist(), lengths), cut(g["counts"].tolist(), lengths)
    model, factors = with_factors(family, False)
    out = {k: p.detach().clone() for k, p in factors.items()}

    def loss_of():
        return -torch.cat([logprobs(model, s, m) for s, m in zip(seqs, masks)]).mean()

    loss_of().backward()
    for key, p in factors.items():
        out["grad." + key] = p.grad.clone()
    out["losses"], out["norms"] = ten_steps(list(factors.values()), loss_of, False)
    save_file(out, os.path.join(out_dir, f"lora-{family}.safetensors"))
    print("lora", family, out["losses"].tolist())


def dpo(family):
    gen = torch.Generator().manual_seed(23)
    pairs, flat, lengths, counts = [], [], [], []
    for prompt, chosen, rejected in ((5, 4, 9), (1, 7, 2), (9, 1, 3)):
        shared = torch.randint(0, 48, (prompt,), generator=gen).tolist()
        pair = []
        for n in (chosen, rejected):
            ids = shared + torch.randint(0, 48, (n,), generator=gen).tolist()
            mask = [0] * prompt + [1] * n
            pair.append((ids, mask))
            flat, counts, lengths = flat + ids, counts + mask, lengths + [len(ids)]
        pairs.append(pair)

    def answers(model):
        return [[logprobs(model, ids, mask).sum() for ids, mask in pair] for pair in pairs]

    def loss_against(model, reference):
        zs = [BETA * ((pc - pr) - (rc - rr)) for (pc, pr), (rc, rr) in zip(answers(model), reference)]
        return -torch.nn.functional.logsigmoid(torch.stack(zs)).mean()

    out = {"ids": torch.tensor(flat, dtype=torch.int32), "counts": torch.tensor(counts, dtype=torch.int32),
           "lengths": torch.tensor(lengths, dtype=torch.int32)}
    model = base(family)
    with torch.no_grad():
        reference = answers(copy.deepcopy(model))
    out["full.losses"], out["full.norms"] = ten_steps(list(model.parameters()), lambda: loss_against(model, reference),
                                                      True)
    model, factors = with_factors(family, True)
    with torch.no_grad(), model.disable_adapter():
        reference = answers(model)
    out.update({k: p.detach().clone() for k, p in factors.items()})
    out["lora.losses"], out["lora.norms"] = ten_steps(list(factors.values()), lambda: loss_against(model, reference),
                                                      False)
    save_file(out, os.path.join(out_dir, f"dpo-{family}.safetensors"))
    print("dpo", family, out["full.losses"].tolist(), out["lora.losses"].tolist())


os.makedirs(out_dir, exist_ok=True)
for f in ("llama3", "smollm2", "gpt2"):
    lora(f)
for f in ("llama3", "smollm2"):
    dpo(f)
for f in os.listdir(out_dir):
    os.chmod(os.path.join(out_dir, f), 0o644)
sys.stdout.flush()
