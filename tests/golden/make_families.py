#!/usr/bin/env python3
"""Golden values for every family of model/arch.c: tiny random models from transformers, and what PyTorch makes of them.

Writes families/NAME/ beside itself: a Hugging Face folder (config.json, model.safetensors or its shards) and
golden.safetensors with the ids and counts of three sequences, the logits of every row, the gradient of every parameter,
and ten losses of AdamW. All is computed in fp32 from the weights as stored. Run once with torch and transformers; the files
are committed. Sequences are longer than the windows and than the original contexts of the scaled rotary positions.
"""
import json
import os
import shutil

import torch
from safetensors.torch import load_file, save_file
from transformers import (AutoModelForCausalLM, GPT2Config, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config)

here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "families")
torch.set_num_threads(1)
V, L = 48, 40
small = dict(vocab_size=V, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=L, initializer_range=0.3, bos_token_id=1, eos_token_id=2,
             pad_token_id=None, attn_implementation="eager")


def rope(**kw):
    return dict({"rope_theta": 500.0}, **kw)


families = {
    "llama3": LlamaConfig(**small, rms_norm_eps=1e-5, tie_word_embeddings=False, attention_bias=True, mlp_bias=True,
                          rope_parameters=rope(rope_type="llama3", factor=8.0, low_freq_factor=1.0,
                                               high_freq_factor=4.0, original_max_position_embeddings=16)),
    "linear": LlamaConfig(**small, tie_word_embeddings=False, rope_parameters=rope(rope_type="linear", factor=4.0)),
    "yarn": Qwen2Config(**small, tie_word_embeddings=False,
                        rope_parameters=rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=10)),
    "smollm2": LlamaConfig(**small, tie_word_embeddings=True, rope_parameters=rope(rope_type="default")),
    "mistral": MistralConfig(**small, sliding_window=7, tie_word_embeddings=False,
                             rope_parameters=rope(rope_type="default")),
    "qwen2": Qwen2Config(**small, tie_word_embeddings=True, rope_parameters=rope(rope_type="default")),
    "qwen2-window": Qwen2Config(**small, tie_word_embeddings=True, use_sliding_window=True, sliding_window=5,
                                max_window_layers=1, rope_parameters=rope(rope_type="default")),
    "qwen3": Qwen3Config(**small, head_dim=6, tie_word_embeddings=False, rope_parameters=rope(rope_type="default")),
    "gpt2": GPT2Config(vocab_size=V, n_embd=16, n_layer=2, n_head=4, n_positions=L, initializer_range=0.3,
                       resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, bos_token_id=1, eos_token_id=2,
                       attn_implementation="eager"),
}
stored = {"smollm2": torch.bfloat16, "qwen2": torch.float16}

gen = torch.Generator().manual_seed(11)
seqs = [torch.randint(0, V, (n,), generator=gen).tolist() for n in (13, 2, L + 1)]
counts = [[0] + [int(torch.rand((), generator=gen) < 0.7) for _ in s[1:]] for s in seqs]
counts[1][1] = 1


def loss_of(model):
    nll, n, rows = 0.0, 0, []
    for ids, mask in zip(seqs, counts):
        logits = model(input_ids=torch.tensor([ids[:-1]])).logits[0]
        rows.append(logits.detach())
        lp = torch.log_softmax(logits.double(), -1)
        for i in range(1, len(ids)):
            if mask[i]:
                nll, n = nll - lp[i - 1, ids[i]], n + 1
    return nll / n, rows


def ten_losses(model):
    decay = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() == 1]
    opt = torch.optim.AdamW([{"params": decay, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}], lr=0.01,
                            betas=(0.9, 0.95), eps=1e-8)
    losses = []
    for _ in range(10):
        opt.zero_grad()
        loss, _ = loss_of(model)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        losses.append(loss.item())
    return torch.tensor(losses, dtype=torch.float64)


for seed, (name, config) in enumerate(families.items()):
    folder = os.path.join(here, name)
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float()
    with torch.no_grad():
        for key, p in model.named_parameters():  # so that a norm or a bias that is left out shows
            if p.dim() == 1:
                p.copy_((0 if key.endswith("bias") else 1) + 0.3 * torch.randn_like(p))
    if name in stored:
        model = model.to(stored[name])
    model.save_pretrained(folder, **({"max_shard_size": "6KB"} if name == "llama3" else {}))
    if name == "gpt2":  # the hub's gpt2 leaves the prefix out
        path = os.path.join(folder, "model.safetensors")
        save_file({k.removeprefix("transformer."): v for k, v in load_file(path).items()}, path, {"format": "pt"})
    # read again, not cast: a cast to bf16 and back would round the frequencies of the positions, too
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").train()
    loss, rows = loss_of(model)
    loss.backward()
    out = {"logits": torch.cat(rows).contiguous(), "loss": loss.detach().reshape(1),
           "ids": torch.tensor(sum(seqs, []), dtype=torch.int32), "counts": torch.tensor(sum(counts, []), dtype=torch.int32),
           "lengths": torch.tensor([len(s) for s in seqs], dtype=torch.int32)}
    for key, p in model.named_parameters():
        out["grad." + key] = p.grad.clone().contiguous()
    model.zero_grad()
    out["losses"] = ten_losses(model)
    save_file(out, os.path.join(folder, "golden.safetensors"))
    for f in os.listdir(folder):
        os.chmod(os.path.join(folder, f), 0o644)
    print(name, loss.item(), out["losses"][-1].item(), json.dumps(sorted(os.listdir(folder))))
