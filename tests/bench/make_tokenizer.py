#!/usr/bin/env python3
"""make_tokenizer.py FOLDER TEXT…: a byte-level BPE trained on the TEXT files into FOLDER/tokenizer.json, with a
tokenizer_config.json that transformers needs to load it.

The models of the benchmarks have random weights, yet the number of tokens of a text is part of what is measured: a
vocabulary that knows the words of the suite gives prompts of the length real ones have. As many ids as the model's
vocabulary at most; unused ones stay unused. Needs the tokenizers library.
"""
import json
import os
import sys

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers


def write(folder, texts):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
        config = json.load(f)
    end = "<|endoftext|>"
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.train(texts, trainers.BpeTrainer(vocab_size=min(config["vocab_size"], 8192), special_tokens=[end],
                                       show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    t.save(os.path.join(folder, "tokenizer.json"))
    with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as f:
        json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": end, "eos_token": end,
                   "model_max_length": config.get("n_positions") or config["max_position_embeddings"]}, f, indent=1)


if __name__ == "__main__":
    write(sys.argv[1], sys.argv[2:])
