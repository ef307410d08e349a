#!/usr/bin/env python3
"""Golden adapters: what PEFT saves for the folders of make_families.py, and what its merge makes of the base.

Writes peft/NAME/ beside itself: adapter_config.json and adapter_model.safetensors as PEFT wrote them, and
merged.safetensors with the tensors that the merge changed, in the type of the base. Run once with torch, transformers and
peft; the files are committed.
"""
import json
import os
import shutil

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

here = os.path.dirname(os.path.abspath(__file__))
torch.set_num_threads(1)

# name: (family, type of the adapter's tensors, LoraConfig)
cases = {
    # Conv1D; patterns as regular expressions and as ends of paths
    "conv1d": ("gpt2", torch.float32, dict(
        r=3, lora_alpha=6, fan_in_fan_out=True, target_modules=["c_attn", "c_proj", "c_fc"],
        rank_pattern={"mlp.c_proj": 2, r"h\.1\.attn\..*": 5}, alpha_pattern={r".*h\.0\.mlp\.[cx]_fc": 9, "c_attn": 1})),
    # an untied base: factors for the embeddings, rsLoRA, whole modules
    "whole": ("llama3", torch.float32, dict(
        r=4, lora_alpha=5, use_rslora=True, target_modules=["q_proj", "down_proj", "embed_tokens"],
        modules_to_save=["lm_head", "post_attention_layernorm"])),
    # half precision, of the base and of the adapter
    "bf16": ("smollm2", torch.float32, dict(r=2, lora_alpha=4, target_modules="all-linear")),
    "f16": ("qwen2", torch.bfloat16, dict(r=2, lora_alpha=3, target_modules=["gate_proj", "k_proj"],
                                          layers_to_transform=[1])),
}


def base(family):
    return AutoModelForCausalLM.from_pretrained(os.path.join(here, "families", family))


for name, (family, dtype, config) in cases.items():
    out = os.path.join(here, "peft", name)
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    torch.manual_seed(7)
    model = get_peft_model(base(family), LoraConfig(task_type="CAUSAL_LM", **config))
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.copy_(0.2 * torch.randn_like(p))
    model.save_pretrained(out)
    os.remove(os.path.join(out, "README.md"))
    path = os.path.join(out, "adapter_config.json")
    kept = json.load(open(path))
    kept["base_model_name_or_path"] = family  # no path of this machine
    if isinstance(kept["target_modules"], list):
        kept["target_modules"].sort()  # a set, in no order
    with open(path, "w") as f:
        json.dump(kept, f, indent=2, sort_keys=True)
        f.write("\n")
    weights = os.path.join(out, "adapter_model.safetensors")
    save_file({k: v.to(dtype) for k, v in load_file(weights).items()}, weights, metadata={"format": "pt"})

    plain = base(family).state_dict()
    merged = PeftModel.from_pretrained(base(family), out).merge_and_unload()
    changed = {k: v.contiguous().clone() for k, v in merged.state_dict().items() if not torch.equal(v, plain[k])}
    assert changed and all(v.dtype == plain[k].dtype for k, v in changed.items())
    changed.pop("lm_head.weight", None) if merged.config.tie_word_embeddings else None
    save_file(changed, os.path.join(out, "merged.safetensors"), metadata={"format": "pt"})
    print(name, len(changed), "tensors", sum(os.path.getsize(os.path.join(out, f)) for f in os.listdir(out)), "bytes")
