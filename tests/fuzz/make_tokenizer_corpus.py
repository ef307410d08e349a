#!/usr/bin/env python3
"""Writes the seeds of fuzz_tokenizer: a small vocabulary under every stage that is built, a NUL, a text."""
import json
import os

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus", "tokenizer")
CHARS = ["<unk>", "<s>", "▁", "a", "b", "c", "Ġ", "Ã", "©", "ab", "▁a", "▁▁", "<0x0A>", "<0xC3>", "<0xA9>", "Ġa", "Ċ"]
MODEL = {"type": "BPE", "unk_token": "<unk>", "byte_fallback": True, "fuse_unk": True, "vocab": {c: i for i, c in enumerate(CHARS)},
         "merges": [["a", "b"], ["▁", "▁"], ["▁", "a"], ["Ġ", "a"]]}
ADDED = [{"id": 1, "content": "<s>", "special": True, "normalized": False, "lstrip": True, "single_word": True},
         {"id": len(CHARS), "content": "A b", "normalized": True, "rstrip": True}]
LLAMA3 = r"(?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
T = lambda kind, **more: dict({"type": kind}, **more)
POST = T("TemplateProcessing", single=[{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
         special_tokens={"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}})
SEEDS = {
    "llama2": {"normalizer": T("Sequence", normalizers=[T("Prepend", prepend="▁"), T("Replace", pattern={"String": " "}, content="▁")]),
               "post_processor": POST, "decoder": T("Sequence", decoders=[
                   T("Replace", pattern={"String": "▁"}, content=" "), T("ByteFallback"), T("Fuse"),
                   T("Strip", content=" ", start=1, stop=1)])},
    "metaspace": {"normalizer": T("NFKC"), "pre_tokenizer": T("Metaspace", replacement="▁", prepend_scheme="first", split=True),
                  "decoder": T("Metaspace", replacement="▁", prepend_scheme="always")},
    "bytes": {"normalizer": T("NFC"), "pre_tokenizer": T("Sequence", pretokenizers=[
        T("Split", pattern={"Regex": LLAMA3}, behavior="Isolated", invert=False), T("Digits", individual_digits=True),
        T("ByteLevel", add_prefix_space=True, use_regex=True)]), "decoder": T("ByteLevel")},
    "words": {"normalizer": T("Sequence", normalizers=[T("NFD"), T("StripAccents"), T("Lowercase"), T("Strip")]),
              "pre_tokenizer": T("Sequence", pretokenizers=[T("WhitespaceSplit"), T("Whitespace"), T(
                  "Split", pattern={"String": "b"}, behavior="MergedWithNext", invert=True)]), "decoder": None},
    "affixes": {"model": dict(MODEL, continuing_subword_prefix="", end_of_word_suffix="b", ignore_merges=True),
                "decoder": T("Sequence", decoders=[T("Fuse"), T("Replace", pattern={"Regex": "a+"}, content="é")])},
}
TEXT = "<s> a ab é\r\n\u0301\u0323 A b ﬁ 한 12x\U0001f600".encode() + b"\xff\xe4"

os.makedirs(HERE, exist_ok=True)
for name, patch in SEEDS.items():
    full = {"version": "1.0", "added_tokens": ADDED, "normalizer": None, "pre_tokenizer": None, "post_processor": None,
            "decoder": None, "model": MODEL}
    full.update(patch)
    with open(os.path.join(HERE, name), "wb") as f:
        f.write(json.dumps(full, ensure_ascii=False, separators=(",", ":")).encode() + b"\0" + TEXT)
