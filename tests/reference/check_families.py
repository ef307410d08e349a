#!/usr/bin/env python3
"""check_families.py ASSAY: every family, larger than the golden ones, against transformers and PEFT, live.

For a random model of each family: log-likelihoods and greedy text of `assay score` and `assay generate`; then `assay train`
with LoRA: the merged folder loads in transformers, the adapter loads in PEFT, both give the same logits; and assay scores the merged one as
transformers does.
"""
import json
import os
import subprocess
import sys
import tempfile

import torch
from peft import PeftModel
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

small = dict(vocab_size=320, hidden_size=96, intermediate_size=160, num_hidden_layers=4, num_attention_heads=6,
             num_key_value_heads=2, max_position_embeddings=256, initializer_range=0.15, bos_token_id=0, eos_token_id=0)
llama3 = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}
yarn = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 64}
families = {
    "llama2": (LlamaConfig(**small), torch.float32),
    "llama3": (LlamaConfig(**small, rope_parameters=llama3), torch.bfloat16),
    "smollm2": (LlamaConfig(**small, tie_word_embeddings=True), torch.bfloat16),
    "mistral": (MistralConfig(**small, sliding_window=40), torch.float32),
    "qwen2": (Qwen2Config(**small, tie_word_embeddings=True), torch.float16),
    "yarn": (Qwen2Config(**small, rope_parameters=yarn), torch.float32),
    "qwen3": (Qwen3Config(**small, head_dim=32), torch.bfloat16),
    "gpt2": (GPT2Config(vocab_size=320, n_embd=96, n_layer=4, n_head=6, n_positions=256, initializer_range=0.15,
                        bos_token_id=0, eos_token_id=0), torch.float32),
}
TEXT = ("It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a "
        "wife. However little known the feelings or views of such a man may be, this truth is well fixed. ")


def run(assay, *args, lines=None):
    text = "".join(json.dumps(x) + "\n" for x in lines) if lines else None
    out = subprocess.run([assay, *args], input=text, text=True, stdout=subprocess.PIPE, check=True,
                         stderr=subprocess.PIPE).stdout
    return [json.loads(x) for x in out.splitlines()] if lines else out


@torch.no_grad()
def check_scores(assay, folder, model, tok):
    asks = [{"id": str(i), "context": TEXT[:i], "continuation": TEXT[i:i + 20]} for i in range(1, 200, 13)]
    for ask, got in zip(asks, run(assay, "score", folder, lines=asks)):
        context = ask["context"].rstrip()
        whole, c = tok.encode(ask["context"] + ask["continuation"]).ids, tok.encode(context).ids
        ids = c + whole[len(c):]
        lp = torch.log_softmax(model(torch.tensor([ids[:-1]])).logits[0].double(), -1)
        ll = sum(lp[i - 1, ids[i]].item() for i in range(len(c), len(ids)))
        assert abs(got["logprob"] - ll) <= 1e-4 + 1e-6 * abs(ll), (ask, got, ll)


@torch.no_grad()
def check_text(assay, folder, model, tok):
    asks = [{"id": str(i), "prompt": TEXT[:i]} for i in (3, 40, 90, 180)]
    for ask, got in zip(asks, run(assay, "generate", folder, "--max-tokens", "24", lines=asks)):
        ids, new = tok.encode(ask["prompt"]).ids, []
        while len(new) < 24:
            top = model(torch.tensor([ids + new])).logits[0, -1].topk(2)
            if (top.values[0] - top.values[1]).item() < 2e-4 or top.indices[0].item() == 0:
                break
            new.append(top.indices[0].item())
        want = tok.decode(new).split("\0")[0]  # a text of ours ends there
        assert got["text"].startswith(want.rstrip("\ufffd")), (ask, got["text"], want)


@torch.no_grad()
def check_lora(assay, folder, work, ids):
    data, out = os.path.join(work, "data.jsonl"), os.path.join(work, "out")
    with open(data, "w") as f:
        for i in range(24):
            f.write(json.dumps({"prompt": TEXT[:30 + i], "completion": TEXT[30 + i:70 + i]}) + "\n")
    run(assay, "train", folder, "--data", data, "--out", out, "--set", "method=lora", "--set", "rank=4", "--set",
        "learning_rate=1e-2", "--set", "epochs=3", "--set", "batch_tokens=256", "--set", "target_modules=all-linear")
    merged = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32).eval()
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    plain = base(ids).logits
    peft = PeftModel.from_pretrained(base, os.path.join(out, "adapter")).eval()
    a, b = merged(ids).logits, peft(ids).logits
    stored = json.load(open(os.path.join(folder, "config.json")))["dtype"]
    bound = 2e-4 if stored == "float32" else 0.1  # merged weights are rounded to the type of the base
    assert (a - b).abs().max() < bound * b.abs().max(), (a - b).abs().max()
    assert (plain - b).abs().max() > 20 * (a - b).abs().max(), "the adapter does nothing"
    return out


with tempfile.TemporaryDirectory() as work:
    assay = os.path.abspath(sys.argv[1])
    torch.set_num_threads(2)
    for name, (config, dtype) in families.items():
        folder, room = os.path.join(work, name), os.path.join(work, name + "-room")
        os.makedirs(room)
        torch.manual_seed(3)
        AutoModelForCausalLM.from_config(config).to(dtype).save_pretrained(folder)
        tok = Tokenizer(models.BPE())
        tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tok.decoder = decoders.ByteLevel()
        tok.train_from_iterator([TEXT], trainers.BpeTrainer(vocab_size=320, special_tokens=["<|end|>"], show_progress=False,
                                                            initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
        tok.save(os.path.join(folder, "tokenizer.json"))
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        check_scores(assay, folder, model, tok)
        check_text(assay, folder, model, tok)
        out = check_lora(assay, folder, room, torch.tensor([tok.encode(TEXT).ids[:100]]))
        merged = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32, attn_implementation="eager").eval()
        check_scores(assay, out, merged, tok)
        print("ok  ", name, flush=True)
