#!/usr/bin/env python3
"""check_gguf.py ASSAY: GGUF files of small random models, against the weights that transformers reads.

Every tensor is compared after the permutation of q and k is undone; keys that llama.cpp needs are looked up. Needs torch,
transformers, tokenizers and gguf.
"""
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
from gguf import GGUFReader
from gguf.quants import dequantize
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, Qwen2Config, Qwen3Config

small = dict(vocab_size=300, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=128, bos_token_id=0, eos_token_id=0)
families = {
    "llama": LlamaConfig(**small, attention_bias=True, rope_parameters={
        "rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64}),
    "qwen2": Qwen2Config(**small, tie_word_embeddings=True),
    "qwen3": Qwen3Config(**small, head_dim=32),
    "gpt2": GPT2Config(vocab_size=300, n_embd=64, n_layer=2, n_head=4, n_positions=128, bos_token_id=0, eos_token_id=0),
}
NAMES = {"embed_tokens": "token_embd", "wte": "token_embd", "wpe": "position_embd", "lm_head": "output",
         "ln_f": "output_norm", "input_layernorm": "attn_norm", "ln_1": "attn_norm", "post_attention_layernorm": "ffn_norm",
         "ln_2": "ffn_norm", "q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v", "o_proj": "attn_output",
         "c_attn": "attn_qkv", "q_norm": "attn_q_norm", "k_norm": "attn_k_norm", "gate_proj": "ffn_gate",
         "up_proj": "ffn_up", "down_proj": "ffn_down", "c_fc": "ffn_up"}


def gguf_name(name):
    parts = name.split(".")
    if name in ("model.norm.weight",):
        return "output_norm.weight"
    module, end = parts[-2], parts[-1]
    if module == "c_proj":
        out = "attn_output" if parts[-3] == "attn" else "ffn_down"
    else:
        out = NAMES[module]
    digits = [p for p in parts if p.isdigit()]
    return (f"blk.{digits[0]}." if digits else "") + f"{out}.{end}"


def unpermute(x, heads):
    d = x.shape[0] // heads
    return x.reshape(heads, d // 2, 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)


def check(assay, name, config, folder):
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(config).float()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
    model.save_pretrained(folder)
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(["the cat sat on the mat " * 9, "and so on, and so on"], trainers.BpeTrainer(
        vocab_size=290, special_tokens=["<|end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tok.save(os.path.join(folder, "tokenizer.json"))
    weights = model.state_dict()
    for kind, bound in (("f32", 0), ("f16", 1e-3), ("bf16", 8e-3), ("q8_0", 1e-2)):
        path = os.path.join(folder, kind + ".gguf")
        subprocess.run([assay, "artifact", "export", folder, path, "--type", kind], check=True, stdout=subprocess.DEVNULL)
        reader = GGUFReader(path)
        got = {t.name: t for t in reader.tensors}
        assert reader.fields["general.architecture"].contents() == name
        assert reader.fields["tokenizer.ggml.pre"].contents() == "gpt-2"
        tokens = reader.fields["tokenizer.ggml.tokens"].contents()
        assert len(tokens) == 300 and tokens[0] == "<|end|>" and tokens[299] == "[PAD299]", tokens[-1]
        want = {gguf_name(k): v for k, v in weights.items() if not (k == "lm_head.weight" and config.tie_word_embeddings)}
        extra = {"rope_freqs.weight"} if name == "llama" else set()
        assert set(got) == set(want) | extra, set(got) ^ set(want)
        for key, w in want.items():
            x = dequantize(got[key].data, got[key].tensor_type).reshape(-1)
            w = w.numpy()
            if name == "gpt2" and w.ndim == 2 and "blk" in key:
                w = w.T
            x = x.reshape(w.shape)
            if name == "llama" and ("attn_q." in key or "attn_k." in key):
                x = unpermute(x, 4 if "attn_q." in key else 2)
            top = np.abs(w).max()
            assert np.abs(x - w).max() <= bound * top + 1e-12, (name, kind, key, np.abs(x - w).max(), top)
    print("ok  ", name)


with tempfile.TemporaryDirectory() as work:
    for name, config in families.items():
        check(os.path.abspath(sys.argv[1]), name, config, os.path.join(work, name))
