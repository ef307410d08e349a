#!/usr/bin/env python3
"""make_models.py DIR: the models of the benchmarks, with random weights, into DIR/gpt2-124m and DIR/smollm2-135m.

gpt2-124m is GPT-2's smallest shape in F32, smollm2-135m SmolLM2's in BF16, as transformers saves them; both with a
byte-level BPE of the suite and of this repository's documentation, so that prompts have the length that real ones have.
DIR/gpt2-124m.bin is the same GPT-2 for llm.c's programs (its version 3: a header of 256 integers, then each kind of tensor
for all layers, fp32, vocabulary padded to 128). Needs torch, transformers and tokenizers. The same seed, so the same bytes.
"""
import glob
import os
import sys

import make_tokenizer
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

out = sys.argv[1]
here = os.path.dirname(os.path.abspath(__file__))
texts = sorted(glob.glob(os.path.join(here, "suite", "*.jsonl")) + glob.glob(os.path.join(here, "..", "..", "docs", "*.md")))


def save(name, model):
    folder = os.path.join(out, name)
    model.save_pretrained(folder)
    make_tokenizer.write(folder, texts)
    return model


def llmc_checkpoint(path, model):
    c, w = model.config, {k: v.detach().float() for k, v in model.named_parameters()}
    vocab = w["transformer.wte.weight"]
    padded = -(-c.vocab_size // 128) * 128
    header = torch.zeros(256, dtype=torch.int32)
    header[:8] = torch.tensor([20240326, 3, c.n_positions, c.vocab_size, c.n_layer, c.n_head, c.n_embd, padded])
    with open(path, "wb") as f:
        f.write(header.numpy().tobytes())
        f.write(torch.nn.functional.pad(vocab, (0, 0, 0, padded - c.vocab_size)).numpy().tobytes())
        f.write(w["transformer.wpe.weight"].numpy().tobytes())
        for kind in ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"):
            for part in ("weight", "bias"):
                for layer in range(c.n_layer):
                    t = w[f"transformer.h.{layer}.{kind}.{part}"]
                    # Hugging Face's Conv1D keeps a matrix as (in, out), llm.c as (out, in)
                    f.write((t.t().contiguous() if t.dim() == 2 else t).numpy().tobytes())
        for part in ("weight", "bias"):
            f.write(w[f"transformer.ln_f.{part}"].numpy().tobytes())


torch.manual_seed(1)
os.makedirs(out, exist_ok=True)
gpt2 = save("gpt2-124m", GPT2LMHeadModel(GPT2Config()))
llmc_checkpoint(os.path.join(out, "gpt2-124m.bin"), gpt2)
save("smollm2-135m", LlamaForCausalLM(LlamaConfig(
    vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
    num_key_value_heads=3, max_position_embeddings=8192, rms_norm_eps=1e-5, rope_theta=100000.0, tie_word_embeddings=True,
    bos_token_id=0, eos_token_id=0)).to(torch.bfloat16))
