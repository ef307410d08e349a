#!/usr/bin/env python3
"""Writes tests/golden/tokenizer/spm.json and kinds.json: tokenizers of SentencePiece's kind, normalizers, decoders.

    python3 tests/golden/make_tokenizer_kinds.py

spm.json    tokenizer.json of a character BPE with byte fallback, trained on corpus.txt, as Llama 2 has it
kinds.json  {"texts", "kinds": [{"name", "base": "spm" or "trained", "patch", "model": members that replace those of the
            model, "ids": per text, "plain": of the last 6, without special tokens, "decoded": [with, without special tokens] of the last 16}]}
Needs tokenizers (made with 0.23.3). Run make_tokenizer.py first: the byte-level kinds stand on its trained.json.
tests/reference/check_tokenizers.py asks the same kinds about more texts.
"""
import copy
import json
import os

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import make_tokenizer as byte_level

HERE = byte_level.HERE
BYTES = [f"<0x{b:02X}>" for b in range(256)]
TEXTS = [x for x in byte_level.TEXTS if len(x) < 50][::2] + ["a\u0000b", "   a", "a   b",
    "é e\u0301 E\u0301\u0323 E\u0323\u0301 \u1100\u1161\u11a8 가\u11a8 \u212b \u0344 \u0958", "a\u0315\u0300\u05ae\u0062", "  x  ", "▁a ▁▁b",
    "<s>", "<s> a</s> b", "Hello <s>.", "<unk>x", "\U0001f600\U0001f600a", "<0xE4><0xB8>", "ÀÉÎ İI ﬃ ½ ㋿ \uac00", " \n a \n", "q\u4e00q\u9fa5 z",
]


def spm():
    """The tokens of Llama 2's file in small: specials, bytes, a few characters, merges, runs of spaces."""
    t = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    text = "".join(c for c in byte_level.CORPUS if byte_level.CORPUS.count(c) > 5)  # limit_alphabet would break ties by chance
    t.train_from_iterator(text.splitlines(), trainers.BpeTrainer(
        vocab_size=760, show_progress=False, special_tokens=["<unk>", "<s>", "</s>"] + BYTES))
    full = json.loads(t.to_str())
    full["added_tokens"] = full["added_tokens"][:3]
    vocab, merges = full["model"]["vocab"], full["model"]["merges"]
    for n in (1, 2, 4):
        vocab["▁" * 2 * n] = len(vocab)
        merges.append(["▁" * n, "▁" * n])
    full["normalizer"] = json.loads(normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]).__getstate__())
    full["pre_tokenizer"] = None
    full["decoder"] = json.loads(decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                                    decoders.Strip(" ", 1, 0)]).__getstate__())
    full["post_processor"] = json.loads(processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]).__getstate__())
    return full


def state(x):
    return None if x is None else json.loads(x.__getstate__())


def added(content, i, **more):
    return dict({"id": i, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
                 "special": True}, **more)


def kinds(base, trained):
    """(name, base, patch, model members)"""
    n, d, p = normalizers, decoders, pre_tokenizers
    own = [a for a in base["added_tokens"]]
    size = len(base["model"]["vocab"])
    meta = lambda **k: {"normalizer": None, "pre_tokenizer": state(p.Metaspace(**k)), "decoder": state(d.Metaspace(**{
        "prepend_scheme": k.get("prepend_scheme", "always")}))}
    yield "llama 2", "spm", {}, {}
    yield "llama 2, no byte fallback", "spm", {}, {"byte_fallback": False}
    yield "llama 2, unknowns apart", "spm", {}, {"byte_fallback": False, "fuse_unk": False}
    yield "llama 2, unknowns dropped", "spm", {}, {"byte_fallback": False, "unk_token": None}
    yield "llama 2, words whole", "spm", {}, {"ignore_merges": True}
    yield "mistral", "spm", dict(meta(prepend_scheme="first", split=False), decoder=base["decoder"]), {}
    for scheme in ("always", "first", "never"):
        for split in (True, False) if scheme == "first" else (True,):
            yield f"metaspace {scheme} {split}", "spm", meta(prepend_scheme=scheme, split=split), {}
    yield "roberta", "spm", {"post_processor": state(processors.RobertaProcessing(("</s>", 2), ("<s>", 1)))}, {}
    yield "bert within", "spm", {"post_processor": state(processors.Sequence([
        processors.BertProcessing(("</s>", 2), ("<unk>", 0)), processors.TemplateProcessing(
            single="<s> $A", pair="$A $B", special_tokens=[("<s>", 1)])]))}, {}
    yield "added tokens, normalized", "spm", {"added_tokens": own + [
        added("<x y>", size, normalized=True, special=False), added("Ab", size + 1, normalized=True, special=False)]}, {}
    yield "lower case added tokens", "spm", {"normalizer": state(n.Lowercase()), "added_tokens": own + [
        added("<x Y>", size, normalized=True, special=False), added("AB", size + 1, normalized=True, special=False)]}, {}
    yield "whitespace", "spm", {"normalizer": None, "pre_tokenizer": state(p.Whitespace()), "decoder": None}, {}
    yield "whitespace split", "spm", {"normalizer": None, "pre_tokenizer": state(p.WhitespaceSplit()), "decoder": state(d.Fuse())}, {}
    yield "strip the end", "spm", {"decoder": state(d.Sequence([d.Replace("▁", " "), d.ByteFallback(), d.Strip(" ", 0, 1), d.Fuse()]))}, {}
    yield "regex", "spm", {"normalizer": state(n.Sequence([n.Replace(Regex(r"\s+|\p{N}"), "▁"), n.Strip()])),
                           "decoder": state(d.Sequence([d.Fuse(), d.Replace(Regex("▁+a|b"), "<>")]))}, {}
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        yield form, "trained", {"normalizer": state(getattr(n, form)())}, {}
    yield "qwen 2", "trained", {"normalizer": state(n.NFC()), "pre_tokenizer": state(byte_level.seq(
        byte_level.split(byte_level.QWEN2), byte_level.BYTES))}, {}
    yield "no accents", "trained", {"normalizer": state(n.Sequence([n.NFD(), n.StripAccents(), n.Lowercase(), n.Strip(right=False)]))}, {}


def full_of(base, trained, kind):
    _, which, patch, model = kind
    full = copy.deepcopy(base if which == "spm" else trained)
    full.update(patch)
    full["model"].update(model)
    return full


def load(full):
    return Tokenizer.from_str(json.dumps(full))


def main():
    base = spm()
    with open(os.path.join(HERE, "trained.json"), encoding="utf-8") as f:
        trained = json.load(f)
    with open(os.path.join(HERE, "spm.json"), "w", encoding="utf-8") as f:
        json.dump(base, f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")
    rows = []
    for kind in kinds(base, trained):
        name, which, patch, model = kind
        t = load(full_of(base, trained, kind))
        ids = [t.encode(x).ids for x in TEXTS]
        rows.append({"name": name, "base": which, "patch": patch, "model": model, "ids": ids,
                     "plain": [t.encode(x, add_special_tokens=False).ids for x in TEXTS[-6:]],
                     "decoded": [[t.decode(i, skip_special_tokens=s) for i in ids[-16:]] for s in (False, True)]})
    with open(os.path.join(HERE, "kinds.json"), "w", encoding="utf-8") as f:
        f.write('{"texts": ' + json.dumps(TEXTS) + ',\n"kinds": [\n')
        f.write(",\n".join(json.dumps(r, ensure_ascii=False, separators=(",", ":")) for r in rows))
        f.write("\n]}\n")


if __name__ == "__main__":
    main()
