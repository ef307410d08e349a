#!/usr/bin/env python3
"""Writes tests/golden/tokenizer/: a small corpus, what the tokenizers library trains on it, and what it makes of texts.

    python3 tests/golden/make_tokenizer.py

corpus.txt      text of our own in a dozen scripts; one text a line
trained.json    tokenizer.json of BpeTrainer on it (byte level, special tokens first), as the library saves it
cases.json      {"texts", "variants": [{"name", "patch": members that replace those of trained.json,
                "ids": per text, "decoded": [with, without special tokens] of some, "sweep": FNV-1a of the ids of all
                assigned code points}]}
Needs tokenizers (made with 0.23.3: Oniguruma with Unicode 16, Rust with Unicode 17).
"""
import json
import os

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tokenizer")
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]

CORPUS = """The model was trained on Monday and judged on Tuesday; on Wednesday it was promoted.
A push becomes a version, a version becomes a promise, and a promise is kept by a gate.
It's what they'd said: we'll see, we've seen, I'm sure, you're right, don't, can't, won't.
the the the there then these those this that than thus thistle thinner thinking thing things
banana bandana ananas bananas an ana anan aaaa aaaaaaaa aa aaa abababab abcabcabc abc bca cab
2026-11-24 1999-12-31 03:38:00 3.14159 1,000,000 12345678 42 42 42 007 0x7f 1e-5
int main(void) { return 0; }  /* nothing */   for (int i = 0; i < n; i++) sum += a[i] * b[i];
\tif x == None:\n\t\treturn [y for y in range(10) if y % 2]
Der Prüfer prüft, ob die Größe des Gefäßes stimmt; das Maß ist voll, die Straße naß.
Le modèle a été entraîné hier ; l'été, l'élève préfère l'école où naît l'œuvre. Ça va ?
El niño mañana enseñará español; ¿qué pasó con la cigüeña? ¡Ánimo, corazón!
Model dün eğitildi, bugün ölçüldü; İstanbul'da ışık söndü, ıslık çaldı.
Wczoraj źdźbło, dziś gęś, jutro łódź: zażółć gęślą jaźń, proszę państwa.
Модель обучили в понедельник, проверили во вторник, а в среду выпустили. Съешь ещё этих мягких булок.
Το μοντέλο εκπαιδεύτηκε χθες και κρίθηκε σήμερα· αύριο θα προαχθεί.
המודל אומן אתמול ונבדק היום, ומחר יקודם אם יעמוד בתנאים.
تم تدريب النموذج أمس وتم اختباره اليوم، وغدا سيعتمد إذا نجح. ١٢٣٤٥
मॉडल को कल प्रशिक्षित किया गया और आज जाँचा गया; कल उसे आगे बढ़ाया जाएगा। १२३
โมเดลถูกฝึกเมื่อวานและถูกตัดสินวันนี้ พรุ่งนี้จะได้เลื่อนขั้น
模型昨天训练，今天评估，明天上线。模型越好，门槛越高；门槛越高，模型越好。
モデルは昨日訓練され、今日評価され、明日公開される。カタカナとひらがなと漢字。
모델은 어제 훈련되었고 오늘 평가되었으며 내일 승격된다. 한글과 영어를 섞어 쓴다.
Émoji: 👍 👍🏽 👩‍👩‍👧‍👦 🇩🇪 ☕️ ✅ ❌ — “quotes” ‘single’ … • § ½ ² Ⅷ ﬁ Å e\u0301 a\u0308o\u0308
month: January February March April May June July August September October November December
Monat: Januar Februar März April Mai Juni Juli August September Oktober November Dezember
mois : janvier février mars avril mai juin juillet août septembre octobre novembre décembre
   leading spaces,  double  spaces,   triple   spaces, trailing spaces   
"""

GPT2 = pre_tokenizers.ByteLevel(add_prefix_space=False)
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
LETTERS = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
           r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?")
O200K = LETTERS + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
DEEPSEEK = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
            r"|\s*[\r\n]+|\s+(?!\S)|\s+")
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert=invert)


def seq(*steps):
    return pre_tokenizers.Sequence(list(steps))


VARIANTS = {  # name: (pre-tokenizer, ignore_merges, post-processor)
    "gpt2": (GPT2, False, None),
    "gpt2 with a prefix space": (pre_tokenizers.ByteLevel(add_prefix_space=True), False, None),
    "llama 3": (seq(split(LLAMA3), BYTES), True, processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<|im_start|> $A", pair="$A $B", special_tokens=[("<|im_start|>", 1)])])),
    "qwen 2": (seq(split(QWEN2), BYTES), False, None),
    "o200k": (seq(split(O200K), BYTES), True, None),
    "smollm": (seq(pre_tokenizers.Digits(individual_digits=True), GPT2), False, None),
    "digits together": (seq(pre_tokenizers.Digits(individual_digits=False), BYTES), False, None),
    "deepseek": (seq(split(r"\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(DEEPSEEK), BYTES), False, processors.TemplateProcessing(
        single="<|im_start|> $A <|im_end|>:1", pair="$A $B", special_tokens=[("<|im_start|>", 1), ("<|im_end|>", 2)])),
    "no pattern": (BYTES, False, None),
    "removed": (seq(split(r"\p{N}|-", "removed"), BYTES), False, None),
    "kept only": (seq(split(r"\p{N}|-", "removed", True), BYTES), False, None),
    "with the one before": (seq(split(r"\p{N}|-", "merged_with_previous"), BYTES), False, None),
    "with the one behind": (seq(split(r"\p{N}|-", "merged_with_next"), BYTES), False, None),
    "contiguous": (seq(split(r"\p{N}|-", "contiguous"), BYTES), False, None),
    "text, not pattern": (seq(pre_tokenizers.Split(".*", "merged_with_next"), BYTES), False, None),
}
SWEPT = ["o200k", "smollm"]

TEXTS = [
    "", " ", "   a", "a   b", "a \n\n \n b", "\r\n\r\n x", "\t\tx", "x\u00a0y", "x\u3000y", "x\u0085y", "x\u180ey", "x\u200by",
    "\ufeffx", "I'M 'RE don't'Ve", "it'ſ", "12345678", "٣٤٥", "½Ⅷ²", "3.3...3", "e\u0301 é ﬁ \u212b", "한글 \u1112\u1161\u11ab",
    "กำ ไทย", "नमस्ते", "👩‍👩‍👧‍👦🏽", "----=====''''``", "\u2581▁x", "<|im_end|>x<s> y</s>", " <s> ", "<0x0A>", "\U0010ffff",
    "\U0002ebf0", "a\U00010d50\U00010d41b", "\U00011de0\U00016ff4", "a" * 100, " " * 99 + "x", "ab" * 60, "The model's версия 模型 3",
    "x<mask>y <mask> z", "<mask><mask>  <mask>\n", "a <w> b<w>c _<w> é<w> ½<w> ²<w> <w>ⓐ <w>\u0301 <w>٣", "<r>   x <r>\n\n<l>",
    "a  <l><r>  <l>", "<r> \t<rr>x", "<ab>c<abc>d<abcd>", "a--b-1-22--", "1-2--3a", "a.b..c.*d.*.*", "foo<é>bar", "banana\n\n\nthe",
]

ADDED = [AddedToken("<mask>", lstrip=True, normalized=False), AddedToken("<w>", single_word=True), AddedToken("<l>", lstrip=True),
         AddedToken("<r>", rstrip=True, normalized=False), AddedToken("<rr>", lstrip=True), AddedToken("<ab>"), AddedToken("<abc>"),
         AddedToken("<abcd>"), AddedToken("<é>"), AddedToken("\n\n", normalized=False)]


def sweep(t):
    """FNV-1a over the ids, little-endian 32 bits, of all code points but the large uniform blocks, 3000 a text."""
    cps = [c for c in range(0x20, 0x110000) if not (0xD800 <= c < 0xE000 or 0xE0200 < c < 0x10FFF0 or 0x4F00 < c < 0x9F00 or
                                                    0xAD00 < c < 0xD700)]
    h = 0xCBF29CE484222325
    for i in range(0, len(cps), 3000):
        text = "".join(chr(c) + " a1"[c % 3] for c in cps[i:i + 3000])
        for x in t.encode(text, add_special_tokens=False).ids:
            for b in x.to_bytes(4, "little"):
                h = (h ^ b) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{h:016x}"


def main():
    os.makedirs(HERE, exist_ok=True)
    with open(os.path.join(HERE, "corpus.txt"), "w", encoding="utf-8", newline="") as f:
        f.write(CORPUS)
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = GPT2
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(CORPUS.splitlines(keepends=True), trainers.BpeTrainer(
        vocab_size=700, show_progress=False, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    base = json.loads(t.to_str())
    with open(os.path.join(HERE, "trained.json"), "w", encoding="utf-8") as f:
        json.dump(base, f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")
    t.add_tokens(ADDED)
    variants = []
    for name, (pre, whole, post) in VARIANTS.items():
        v = Tokenizer.from_str(t.to_str())
        v.pre_tokenizer = pre
        if post:
            v.post_processor = post
        full = json.loads(v.to_str())
        full["model"]["ignore_merges"] = whole
        v = Tokenizer.from_str(json.dumps(full))
        ids = [v.encode(x).ids for x in TEXTS]
        patch = {k: full[k] for k in ("added_tokens", "pre_tokenizer", "post_processor") if full[k] != base[k]}
        if variants:
            patch.pop("added_tokens", None)  # those of the first variant
        variants.append({"name": name, "ignore_merges": whole, "patch": patch, "ids": ids, "sweep": sweep(v) if name in SWEPT else None})
        if name == "gpt2":
            variants[-1]["decoded"] = [[v.decode(i, skip_special_tokens=s) for i in ids] for s in (False, True)]
    with open(os.path.join(HERE, "cases.json"), "w", encoding="utf-8") as f:
        f.write('{"texts": ' + json.dumps(TEXTS) + ',\n"variants": [\n')
        f.write(",\n".join(json.dumps(v, separators=(",", ":")) for v in variants))
        f.write("\n]}\n")


if __name__ == "__main__":
    main()
