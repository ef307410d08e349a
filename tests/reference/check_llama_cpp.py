#!/usr/bin/env python3
"""check_llama_cpp.py ASSAY FOLDER: llama.cpp's llama-simple in FOLDER answers greedily what transformers and assay answer.

Small random models, exported by assay as F32 GGUF. Only tokens of printable ASCII have rows in the head, so every answer is
text and shows what was chosen. llama.cpp keeps keys and values as F16: an answer counts up to the first token whose margin in
transformers is below MARGIN, and most of all tokens must count. Needs torch, transformers and tokenizers.
"""
import json
import os
import subprocess
import sys
import tempfile

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, Qwen2Config, Qwen3Config

MARGIN, NEW = 0.02, 24
PROMPTS = ["the cat sat on", "and so on, and", "the mat", "on the cat and so the mat sat on the cat, and on"]
small = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=128, bos_token_id=0, eos_token_id=0)
families = {
    "llama3": lambda v: LlamaConfig(vocab_size=v, **small, rope_parameters={
        "rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64}),
    "smollm2": lambda v: LlamaConfig(vocab_size=v, **small, tie_word_embeddings=True, rope_theta=100000.0),
    "qwen2": lambda v: Qwen2Config(vocab_size=v, **small, tie_word_embeddings=True),
    "qwen3": lambda v: Qwen3Config(vocab_size=v, **small, head_dim=32),
    "gpt2": lambda v: GPT2Config(vocab_size=v, n_embd=64, n_layer=2, n_head=4, n_positions=128, bos_token_id=0, eos_token_id=0),
}


def tokenizer():
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(["the cat sat on the mat " * 9, "and so on, and so on"], trainers.BpeTrainer(
        vocab_size=290, special_tokens=["<|end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return tok


def greedy(model, tok, prompt):
    """The text up to the first narrow margin, and how many tokens that is."""
    ids = tok.encode(prompt).ids
    start = len(ids)
    for _ in range(NEW):
        with torch.no_grad():
            top = model(torch.tensor([ids])).logits[0, -1].topk(2)
        if top.values[0] - top.values[1] < MARGIN:
            break
        ids.append(top.indices[0].item())
    return tok.decode(ids[start:]), len(ids) - start


def check(assay, simple, name, folder):
    tok = tokenizer()
    torch.manual_seed(5)
    model = AutoModelForCausalLM.from_config(families[name](tok.get_vocab_size())).float().eval()
    head = model.get_output_embeddings().weight
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
        for i in range(tok.get_vocab_size()):
            text = tok.decode([i])
            if i == 0 or not text.isascii() or not text.isprintable():
                head[i] = 0
    model.save_pretrained(folder)
    tok.save(os.path.join(folder, "tokenizer.json"))
    gguf = os.path.join(folder, "f32.gguf")
    subprocess.run([assay, "artifact", "export", folder, gguf, "--type", "f32"], check=True, stdout=subprocess.DEVNULL)
    asked = "".join(json.dumps({"id": i, "prompt": p}) + "\n" for i, p in enumerate(PROMPTS))
    ours = subprocess.run([assay, "generate", folder, "--max-tokens", str(NEW)], input=asked, capture_output=True, text=True,
                          check=True).stdout.splitlines()
    counted = 0
    for line, prompt in zip(ours, PROMPTS, strict=True):
        want, n = greedy(model, tok, prompt)
        counted += n
        mine = json.loads(line)["text"]
        theirs = subprocess.run([simple, "-m", gguf, "-n", str(NEW), prompt], stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, text=True, errors="replace", check=True).stdout
        assert mine.startswith(want), (name, prompt, "assay", mine, "transformers", want)
        assert theirs.startswith(prompt + want), (name, prompt, "llama.cpp", theirs, "transformers", want)
    assert counted > NEW * len(PROMPTS) // 2, (name, counted, "tokens with a margin are too few to say anything")
    print(f"ok   {name}: {counted} of {NEW * len(PROMPTS)} tokens")


failed = 0
with tempfile.TemporaryDirectory() as work:
    for family in families:
        try:
            check(os.path.abspath(sys.argv[1]), os.path.join(os.path.abspath(sys.argv[2]), "llama-simple"), family,
                  os.path.join(work, family))
        except (AssertionError, subprocess.CalledProcessError) as e:
            failed = 1
            print("FAIL", family, e)
sys.exit(failed)
