"""lm_eval_world.py: what check_lm_eval.py asks about: data sets in the layout of the Hugging Face hub, and two models.

The data sets are made to the schemas of the tasks that the harness ships, from a small world in which every thing has a
colour, so that a model of a few hundred thousand weights learns enough of it to be right more often than not: metrics are
then neither 0 nor 1, and greedy text has its margins. Texts have what prompts trip over: odd white space, quotes, braces,
text beyond ASCII. A folder has a README.md that names its files, as data sets on the hub do, so that the datasets library
and assay read the same task file unchanged. Everything comes of one seed.
"""
import json
import os
import random
import subprocess

COLOURS = ["red", "blue", "green", "white", "black", "dark grey", "yellow", "naïve pink"]
THINGS = ("cup door lamp stone river horse cloud table shirt book clock wheel bottle garden mirror ladder basket candle hammer "
          "pillow carpet kettle window bridge").split()
COLOUR = {t: COLOURS[i * 5 % len(COLOURS)] for i, t in enumerate(THINGS)}
ROMANIAN = {"the": "", "is": "este", "are": "sunt", "cup": "ceașcă", "door": "ușă", "lamp": "lampă", "stone": "piatră",
            "river": "râu", "red": "roșu", "blue": "albastru", "green": "verde", "white": "alb", "black": "negru"}
TAILS = ["", "", "", " ", "  Indeed.", " (so \"they\" say)", " {x} = 5 > 3?", "\nIt is known.", " – 日本 🙂", "\t"]


def romanian(text):
    return " ".join(w for w in (ROMANIAN.get(x, x + "ul") for x in text.lower().rstrip(".").split()) if w) + "."


class World:
    def __init__(self, seed):
        self.r = random.Random(seed)

    def thing(self):
        return self.r.choice(THINGS)

    def colours(self, right, n):
        out = self.r.sample([c for c in COLOURS if c != right], n - 1) + [right]
        self.r.shuffle(out)
        return out

    def arc(self):
        t, n = self.thing(), self.r.choice([3, 4, 4, 4, 5])
        text = self.colours(COLOUR[t], n)
        label = list("ABCDE"[:n]) if self.r.random() < 0.8 else list("12345"[:n])
        return {"id": "Q_%d" % self.r.randrange(10**9), "question": "Which colour has the %s?%s" % (t, self.r.choice(TAILS)),
                "choices": {"text": text, "label": label}, "answerKey": label[text.index(COLOUR[t])]}

    def piqa(self):
        t = self.thing()
        a, b = self.colours(COLOUR[t], 2)
        return {"goal": "To paint a %s%s" % (t, self.r.choice(TAILS)), "sol1": "take %s." % a,
                "sol2": "take %s, %s." % (b, self.r.choice(["and a brush", "quickly", "ünder the roof"])) if self.r.random() < 0.5
                else "take %s." % b, "label": int(b == COLOUR[t])}

    def sentence(self):
        t = self.thing()
        return "The %s is %s." % (t, COLOUR[t])

    def lambada(self):
        t = self.r.choice([t for t in THINGS if " " not in COLOUR[t]])
        return {"text": " ".join(self.sentence() for _ in range(self.r.randrange(1, 5))) + " And the %s is %s" % (t, COLOUR[t])}

    def pile(self):
        parts = [self.sentence() + self.r.choice(TAILS) for _ in range(self.r.randrange(1, 120))]
        return {"text": self.r.choice(["", " ", "\n"]) + " ".join(parts), "meta": {"pile_set_name": "world"}}

    def boolq(self):
        t = self.thing()
        said = self.r.choice([COLOUR[t], self.r.choice(COLOURS)])
        return {"question": "is the %s %s" % (t, said), "passage": " ".join(self.sentence() for _ in range(3)) + self.r.choice(TAILS),
                "idx": self.r.randrange(10**6), "label": int(said == COLOUR[t])}

    def gsm(self):
        a, b, t = self.r.randrange(1, 5), self.r.randrange(1, 5), self.thing()
        return {"question": "There are %d %ss and %d more. How many are there?" % (a, t, b),
                "answer": "%d + %d = <<%d+%d=%d>>%d\n#### %s" % (a, b, a, b, a + b, a + b, a + b if a < 4 else "$%d" % (a + b))}

    def blimp(self):
        t = self.thing()
        good, bad = "The %ss are %s." % (t, COLOUR[t]), "The %ss is %s." % (t, self.r.choice(COLOURS))
        return {"sentence_good": good, "sentence_bad": bad, "pair_id": self.r.randrange(1000)}

    def wmt(self):
        en = " ".join(self.sentence() for _ in range(self.r.randrange(1, 3)))
        return {"translation": {"en": en, "ro": romanian(en)}}

    def mmlu(self):
        t = self.thing()
        choices = self.colours(COLOUR[t], 4)
        return {"question": " Name the colour of the %s:%s" % (t, self.r.choice(TAILS)), "subject": "x", "choices": choices,
                "answer": choices.index(COLOUR[t])}

    def some(self, make, n):
        return [make() for _ in range(n)]


def write_rows(path, rows):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if path.endswith(".parquet"):
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=17)
        return
    with open(path, "w", encoding="utf-8") as f:
        f.writelines(json.dumps(r, ensure_ascii=False) + "\n" for r in rows)


def write_set(folder, sets, suffix):
    """sets: {config: {split: rows}}"""
    said = []
    for config, splits in sets.items():
        files = []
        for split, rows in splits.items():
            name = "%s/%s-00000-of-00001.%s" % (config, split, suffix)
            write_rows(os.path.join(folder, name), rows)
            files.append({"split": split, "path": name})
        said.append({"config_name": config, "data_files": files, **({"default": True} if len(sets) == 1 else {})})
    with open(os.path.join(folder, "README.md"), "w", encoding="utf-8") as f:
        f.write("---\nconfigs: %s\n---\n" % json.dumps(said))


def data_sets(hub, blimp, mmlu, size):
    """Every data set into the folder hub; blimp, mmlu: the configs that the groups name."""
    w = World(7)

    def splits(make, **n):
        return {k: w.some(make, v) for k, v in n.items()}

    write_set(hub + "/allenai/ai2_arc", {"ARC-Easy": splits(w.arc, train=40, validation=20, test=size)}, "parquet")
    write_set(hub + "/baber/piqa", {"plain": splits(w.piqa, train=30, validation=size)}, "jsonl")
    write_set(hub + "/EleutherAI/lambada_openai", {"default": splits(w.lambada, test=size)}, "jsonl")
    write_set(hub + "/NeelNanda/pile-10k", {"default": splits(w.pile, train=size // 3)}, "parquet")
    write_set(hub + "/aps/super_glue", {"boolq": splits(w.boolq, train=30, validation=size)}, "parquet")
    write_set(hub + "/openai/gsm8k", {"main": splits(w.gsm, train=50, test=size // 2)}, "parquet")
    write_set(hub + "/wmt/wmt16", {"ro-en": splits(w.wmt, train=20, validation=20, test=size // 2)}, "parquet")
    write_set(hub + "/nyu-mll/blimp", {c: splits(w.blimp, train=3 + w.r.randrange(9)) for c in blimp}, "jsonl")
    write_set(hub + "/cais/mmlu", {c: splits(w.mmlu, dev=5, test=2 + w.r.randrange(6)) for c in mmlu}, "parquet")


# ---- models ----------------------------------------------------------------------------------------------------------

CHAT = ("{{ bos_token }}{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] | trim + '<|end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}")


def training_text():
    w, out = World(8), []
    for _ in range(500):
        a, p, b, g, m, t = w.arc(), w.piqa(), w.boolq(), w.gsm(), w.mmlu(), w.wmt()["translation"]
        out += ["Question: %s\nAnswer: %s" % (a["question"], a["choices"]["text"][a["choices"]["label"].index(a["answerKey"])]),
                "Question: %s\nAnswer: %s" % (p["goal"], p["sol2" if p["label"] else "sol1"]),
                "%s\nQuestion: %s?\nAnswer: %s" % (b["passage"], b["question"], ["no", "yes"][b["label"]]),
                "Question: %s\nAnswer: %s\n\nQuestion:" % (g["question"], g["answer"]), w.lambada()["text"],
                "Romanian phrase: %s\nEnglish phrase: %s\n\n" % (t["ro"], t["en"]),
                "%s\nA. %s\nB. %s\nC. %s\nD. %s\nAnswer: %s" % (m["question"].strip(), *m["choices"], "ABCD"[m["answer"]]),
                w.blimp()["sentence_good"]]
    return out


def model(folder, chat, assay):
    """A small model, taught by `assay train`. chat: Llama, whose tokenizer puts a BOS in front and that has a chat template;
    else GPT-2, which does neither. Both look back 384 tokens."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    texts, base, window = training_text(), folder + "-base", 384
    special = ["<|bos|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=512, special_tokens=special, show_progress=False,
                                                       initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    if chat:
        tok.post_processor = processors.TemplateProcessing(single="<|bos|> $A", special_tokens=[("<|bos|>", 0)])
    torch.manual_seed(5)
    ids = dict(vocab_size=tok.get_vocab_size(), bos_token_id=0, eos_token_id=1)
    made = LlamaForCausalLM(LlamaConfig(**ids, hidden_size=128, intermediate_size=256, num_hidden_layers=3, num_attention_heads=4,
                                        num_key_value_heads=2, max_position_embeddings=window)) if chat else \
        GPT2LMHeadModel(GPT2Config(**ids, n_embd=128, n_layer=3, n_head=4, n_positions=window))
    made.float().save_pretrained(base)
    tok.save(base + "/tokenizer.json")
    with open(base + "/tokenizer_config.json", "w", encoding="utf-8") as f:
        json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|bos|>", "eos_token": "<|end|>",
                   "model_max_length": window, **({"chat_template": CHAT} if chat else {})}, f)
    data = folder + ".jsonl"
    write_rows(data, [{"text": t} for t in texts])
    subprocess.run([assay, "train", base, "--data", data, "--out", folder, "--set", "method=full", "--set", "epochs=2", "--set",
                    "learning_rate=2e-3", "--set", "batch_tokens=2048", "--set", "max_length=%d" % window], check=True,
                   stdout=subprocess.DEVNULL)
