#!/usr/bin/env python3
"""check_tokenizers.py ASSAY WORK [N]: `assay tokenize` against the tokenizers library, N random texts a kind.

The kinds are those of the golden vectors (tests/golden/make_tokenizer.py, make_tokenizer_kinds.py). Texts are drawn from
characters that have gone wrong somewhere before: spaces of every kind, marks, jamo, letters of new Unicode, ligatures,
added tokens, bytes in angle brackets. Ids with and without special tokens, and decoding both ways.
"""
import json
import os
import random
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "golden"))
import make_tokenizer as byte_level  # noqa: E402
import make_tokenizer_kinds as spm  # noqa: E402

BITS = (["<s>", "</s>", "<unk>", "<|im_end|>", "<mask>", "<0x0A>", "<0xE4>", "<x y>", "<x Y>", "AB", "Ab", "'s", "'S", "'LL", "'ſ", "123",
         "the", "model", "ing", " ", "  ", "    ", "▁", "▁▁", "\t", "\r", "\n", "\r\n", "\n\n"] + list("abcXYZ019.,!?'\"/-_=<>|")
        + list("\u00a0\u3000\u0085\u180e\u200b\ufeff\u200d\u2028\u0300\u0301\u0323\u0345\u0334\u3099\u05b0\u0f71\u0f72\u1161\u11a8\u1100"
               "가각éÅÅ½Ⅷ²٣ﬁﬃſßİıΣςǅǄ漢字かがカ한글ไทยกำनमस्ते👩👨🏽\U0010ffff\U0002ebf0\U00010d50\ua7cb\u0958\u1e9b\u0344\u037e\u2126\ufdfa\u32ff"))


def texts(rng, n):
    for _ in range(n):
        parts = []
        for _ in range(rng.choice([1, 3, 8, 20, 60, 200])):
            k = rng.random()
            parts.append(rng.choice(BITS) if k < 0.8 else rng.choice(byte_level.CORPUS) * rng.randint(1, 3) if k < 0.95
                         else chr(rng.choice([rng.randrange(0x20, 0xD800), rng.randrange(0xE000, 0x20000)])))
        yield "".join(parts)


def all_kinds():
    base = spm.spm()
    with open(os.path.join(spm.HERE, "trained.json"), encoding="utf-8") as f:
        trained = json.load(f)
    for kind in spm.kinds(base, trained):
        yield kind[0], spm.full_of(base, trained, kind)
    for name, (pre, whole, post) in byte_level.VARIANTS.items():
        full = dict(trained, pre_tokenizer=spm.state(pre), post_processor=spm.state(post))
        full["model"] = dict(trained["model"], ignore_merges=whole)
        yield "bytes: " + name, full


def assay(binary, path, args, data):
    return subprocess.run([binary, "tokenize", path, *args], input=data, stdout=subprocess.PIPE, check=True).stdout


def check(binary, path, full, n, rng):
    """The first difference, or None."""
    t = spm.load(full)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(full, f)
    all_texts = list(texts(rng, n))
    lines = [x.replace("\n", "\r") for x in all_texts]
    for special in (True, False):
        args = [] if special else ["--no-special"]
        got = assay(binary, path, args + ["--lines"], ("\n".join(lines) + "\n").encode()).decode().splitlines()
        for x, g in zip(lines, got, strict=True):
            want = t.encode(x, add_special_tokens=special).ids
            if json.loads(g) != want:
                return f"{x!r}: {g} instead of {want}"
        for start in range(0, n, max(1, n // 20)):  # with line feeds: a whole input each
            x = "".join(all_texts[start:start + 50])
            want = t.encode(x, add_special_tokens=special).ids
            if json.loads(assay(binary, path, args, x.encode())) != want:
                return f"{x!r}: not {want}"
    ids = [t.encode(x).ids for x in all_texts]
    ids += [[rng.randrange(t.get_vocab_size()) for _ in range(rng.randint(0, 30))] for _ in range(n)]
    data = "".join(json.dumps(i) + "\n" for i in ids).encode()
    for skip in (True, False):
        got = assay(binary, path, ["--decode", "--lines"] + ([] if skip else ["--no-special"]), data)
        want = "".join(t.decode(i, skip_special_tokens=skip) + "\n" for i in ids).encode()
        if got != want:
            at = next(k for k in range(min(len(got), len(want)) + 1) if got[k:k + 1] != want[k:k + 1])
            return f"decoding: {got[max(0, at - 40):at + 40]!r} instead of {want[max(0, at - 40):at + 40]!r}"
    return None


def every_code_point(binary, path):
    """Each character, alone between letters and behind a mark, through the steps that look at one; ids are its bytes."""
    n, p = spm.normalizers, spm.pre_tokenizers
    steps = [("normalizer", k, getattr(n, k)()) for k in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Strip")]
    steps += [("pre_tokenizer", k, getattr(p, k)()) for k in ("Whitespace", "WhitespaceSplit")]
    chars = [chr(c) for c in range(1, 0x110000) if c != 10 and not (
        0xD800 <= c < 0xE000 or 0x4F00 < c < 0x9F00 or 0xAD00 < c < 0xD700 or 0x20000 < c < 0x2F700 or 0xE0200 < c < 0x10FFF0)]
    lines = ["".join(f"a{c}\u0301\u0323{c}{c}" for c in chars[i:i + 100]) for i in range(0, len(chars), 100)]
    lines += [c for c in chars if ord(c) < 0x3100]
    for where, name, step in steps:
        full = {"version": "1.0", "added_tokens": [], where: spm.state(step), "model": {
            "type": "BPE", "byte_fallback": True, "vocab": {b: i for i, b in enumerate(spm.BYTES)}, "merges": []}}
        for k in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
            full.setdefault(k, None)
        # two letters and a merge: where a word is cut shows
        full["model"]["vocab"].update({"a": 256, "aa": 257})
        full["model"]["merges"] = [["a", "a"]]
        t = spm.load(full)
        with open(path, "w", encoding="utf-8") as f:
            json.dump(full, f)
        got = assay(binary, path, ["--lines"], ("\n".join(lines) + "\n").encode()).decode().splitlines()
        wrong = [x for x, g in zip(lines, got, strict=True) if json.loads(g) != t.encode(x).ids]
        yield name, f"{len(wrong)} lines, first {wrong[0]!r}" if wrong else None


def main():
    binary, work, n = sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 2000
    os.makedirs(work, exist_ok=True)
    failed = 0
    for name, full in all_kinds():
        wrong = check(binary, os.path.join(work, "tokenizer.json"), full, n, random.Random(name))
        print(f"{'FAIL' if wrong else 'ok  '} {name}" + (f": {wrong[:1500]}" if wrong else ""), flush=True)
        failed += wrong is not None
    for name, wrong in every_code_point(binary, os.path.join(work, "tokenizer.json")):
        print(f"{'FAIL' if wrong else 'ok  '} every code point, {name}" + (f": {wrong[:600]}" if wrong else ""), flush=True)
        failed += wrong is not None
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
