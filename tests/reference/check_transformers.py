#!/usr/bin/env python3
"""check_transformers.py MODEL_DIR [ASSAY]: transformers loads a folder that assay wrote, and computes the same.

Without ASSAY: the folder loads with every tensor in its place, in fp32, and saves again as the same bytes. With the
binary: greedy texts are equal, and log-likelihoods are within 1e-4 + 1e-6 |ll| for the prompts below. An oracle outside
the product: needs torch, transformers and tokenizers. Exit 0 if all holds.
"""
import json
import os
import subprocess
import sys
import tempfile

import torch
from tokenizers import Tokenizer
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

DTYPE = "dtype" if tuple(map(int, transformers.__version__.split(".")[:2])) >= (4, 56) else "torch_dtype"  # renamed there

PROMPTS = ["The", "12 March", "a", "date: 3 May 1999 ->", "le 5 mai"]


def check_folder(folder):
    model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True, **{DTYPE: torch.float32})
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[key], (key, info[key])
    raw = json.load(open(os.path.join(folder, "config.json")))
    config = AutoConfig.from_pretrained(folder)
    rope = getattr(config, "rope_parameters", None) or {"rope_theta": config.rope_theta}
    assert abs(rope["rope_theta"] - raw["rope_theta"]) < 1e-6 * raw["rope_theta"], (rope, raw["rope_theta"])
    assert config.tie_word_embeddings == raw["tie_word_embeddings"]
    with tempfile.TemporaryDirectory() as tmp:
        model.save_pretrained(tmp)
        a = open(os.path.join(folder, "model.safetensors"), "rb").read()
        b = open(os.path.join(tmp, "model.safetensors"), "rb").read()
        assert a == b, "model.safetensors differs from what transformers writes"
    return model.eval()


def ask(assay, what, folder, requests, *more):
    text = "".join(json.dumps(r) + "\n" for r in requests)
    out = subprocess.run([assay, what, folder, *more], input=text, capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in out.splitlines()]


@torch.no_grad()
def check_numbers(model, folder, assay):
    tok = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    eos = model.generation_config.eos_token_id
    eos = set(eos if isinstance(eos, list) else [eos])
    got = ask(assay, "generate", folder, [{"id": str(i), "prompt": p} for i, p in enumerate(PROMPTS)], "--max-tokens", "12")
    for prompt, g in zip(PROMPTS, got):
        ids, new = tok.encode(prompt).ids, []
        while len(new) < 12:
            top = model(torch.tensor([ids + new])).logits[0, -1].topk(2)
            if (top.values[0] - top.values[1]).item() < 2e-4 or top.indices[0].item() in eos:
                break
            new.append(top.indices[0].item())
        want = tok.decode(new, skip_special_tokens=True)
        assert g["text"].startswith(want), (prompt, g["text"], want)
    got = ask(assay, "score", folder, [{"id": str(i), "context": p, "continuation": " x 1"} for i, p in enumerate(PROMPTS)])
    for prompt, g in zip(PROMPTS, got):
        whole, context = tok.encode(prompt + " x 1").ids, tok.encode(prompt).ids
        ids = context + whole[len(context):]
        lp = torch.log_softmax(model(torch.tensor([ids[:-1]])).logits[0].double(), -1)
        ll = sum(lp[i - 1, ids[i]].item() for i in range(len(context), len(ids)))
        assert abs(g["logprob"] - ll) <= 1e-4 + 1e-6 * abs(ll), (prompt, g["logprob"], ll)


def main():
    torch.set_num_threads(1)
    model = check_folder(sys.argv[1])
    if len(sys.argv) > 2:
        check_numbers(model, sys.argv[1], sys.argv[2])
    print("check_transformers: ok")


main()
