#!/usr/bin/env python3
"""make_shape.py DIR name=value…: a Hugging Face folder of random weights in BF16, for measurements on a card.

family=gpt2|llama vocab= hidden= layers= heads= length= and for llama ff= kv_heads=. Its tokenizer knows the bytes and nothing
else: what is measured takes ids. The same arguments, the same bytes on the same version of torch.
"""
import json
import os
import sys

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
import transformers
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

DTYPE = "dtype" if tuple(map(int, transformers.__version__.split(".")[:2])) >= (4, 56) else "torch_dtype"  # renamed there

folder = sys.argv[1]
s = dict(a.split("=") for a in sys.argv[2:])
n = {k: int(v) for k, v in s.items() if k != "family"}
if s["family"] == "gpt2":
    config = GPT2Config(vocab_size=n["vocab"], n_positions=n["length"], n_embd=n["hidden"], n_layer=n["layers"],
                        n_head=n["heads"], bos_token_id=0, eos_token_id=0)
else:
    config = LlamaConfig(vocab_size=n["vocab"], hidden_size=n["hidden"], intermediate_size=n["ff"],
                         num_hidden_layers=n["layers"], num_attention_heads=n["heads"], num_key_value_heads=n["kv_heads"],
                         max_position_embeddings=n["length"], tie_word_embeddings=True, bos_token_id=0, eos_token_id=0)
torch.manual_seed(1)
with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
    model = AutoModelForCausalLM.from_config(config, **{DTYPE: torch.bfloat16})
model.save_pretrained(folder)
letters = sorted(pre_tokenizers.ByteLevel.alphabet())
t = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(letters)}, merges=[]))
t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
t.decoder = decoders.ByteLevel()
t.add_special_tokens(["<|endoftext|>"])
t.save(os.path.join(folder, "tokenizer.json"))
with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as f:
    json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}, f)
print(json.dumps({"folder": folder, "params": sum(p.numel() for p in model.parameters())}))
