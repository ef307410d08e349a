"""Writes requests.json: what lm-evaluation-harness asks for tasks with shots (plain and through a chat template), what its
filters make of responses, and Python's random numbers. Needs lm_eval, datasets, transformers:

    python3 tests/golden/make_requests.py
"""
import json
import os
import random
import tempfile
from functools import partial

HERE = os.path.dirname(os.path.abspath(__file__))
FAKE = ("{% for m in messages %}[{{ m.role }}: {{ m.content }}]{% endfor %}"
        "{% if add_generation_prompt %}[assistant: {% endif %}")

SHOTS = [{"q": f"{i}+{i}?", "a": str(2 * i), "n": i % 5, "pre": f"P{i}:", "say": f"shot {i}"} for i in range(30)]
ASKED = [{"q": f"{i}*2?", "a": str(2 * i), "n": i % 5, "pre": "P:", "say": f"doc {i}"} for i in range(6)]
ASKED[4]["q"] = "ends in space "
TWICE = [ASKED[0]] * 3 + ASKED[1:] + [ASKED[1]]
CHOICE = {"output_type": "multiple_choice", "doc_to_choice": ["0", "2", "4", "6", "8"], "doc_to_target": "n"}
LL = {"output_type": "loglikelihood"}
GEN = {"output_type": "generate_until"}
WINO = {"output_type": "multiple_choice", "doc_to_text": "{{n}}", "doc_to_choice": "{{['one ' + q, 'two ' + q, 'x', 'y', 'z']}}",
        "doc_to_target": "{{say}}"}
SAMPLES = [{"q": "sample 0?", "a": "s0", "n": 0}, {"q": "sample 1?", "a": "", "n": 1}, {"q": "sample 2?", "a": "s2", "n": 2}]
OWN = {"doc_to_text": "Q {{q}}", "doc_to_target": "{{n}}", "doc_to_choice": ["a", "b", "c", "d", "e"], "target_delimiter": " -> ",
       "fewshot_delimiter": " || ", "gen_prefix": "G:"}


def tasks():
    first = {"sampler": "first_n"}
    default = {"sampler": "default"}
    for keys, flags in [
        ({**LL, "num_fewshot": 3}, {}),
        ({**LL, "num_fewshot": 3, "fewshot_config": default}, {}),
        ({**LL, "num_fewshot": 7, "fewshot_split": "train"}, {}),
        ({**LL, "num_fewshot": 25}, {}),
        ({**LL, "num_fewshot": 2, "fewshot_split": "test"}, {}),
        ({**LL, "num_fewshot": 4, "fewshot_split": "test", "test": "twice"}, {}),
        ({**LL, "num_fewshot": 2, "fewshot_split": "test", "fewshot_config": first}, {}),
        ({**LL, "num_fewshot": 2, "test_split": None, "validation_split": "test"}, {}),
        ({**LL, "num_fewshot": 2, "test_split": None, "validation_split": "test", "fewshot_split": "test"}, {}),
        ({**LL, "num_fewshot": 2, "training_split": None}, {}),
        ({**LL, "num_fewshot": 2, "fewshot_config": {"split": "train", "sampler": "default"}, "fewshot_split": "test"}, {}),
        ({**LL, "num_fewshot": 3, "fewshot_config": {"samples": SAMPLES, "sampler": "first_n"}}, {}),
        ({**LL, "num_fewshot": 2, "fewshot_config": {"samples": SAMPLES}}, {}),
        ({**LL, "num_fewshot": 3, "fewshot_config": {"samples": SAMPLES, "sampler": "first_n"}, "gen_prefix": "A:"}, {}),
        ({**LL, "num_fewshot": 3, "fewshot_config": {"samples": SAMPLES, "sampler": "first_n"}, "gen_prefix": "A:"},
         {"apply_chat_template": True, "fewshot_as_multiturn": True}),
        ({**LL, "num_fewshot": 3, "fewshot_config": {"samples": SAMPLES, "sampler": "first_n"}},
         {"apply_chat_template": True, "fewshot_as_multiturn": True}),
        ({**LL, "num_fewshot": 2, "fewshot_config": {**first, "fewshot_indices": [3, 4]}}, {}),
        ({**CHOICE, "num_fewshot": 2, "fewshot_config": {**OWN, **first}}, {}),
        ({**CHOICE, "num_fewshot": 2, "fewshot_config": {**OWN, **first}}, {"apply_chat_template": True}),
        ({**CHOICE, "num_fewshot": 2}, {}),
        ({**CHOICE, "num_fewshot": 2, "gen_prefix": "pre"}, {}),
        ({**CHOICE, "num_fewshot": 2, "gen_prefix": "pre"}, {"apply_chat_template": True, "fewshot_as_multiturn": True}),
        ({**CHOICE, "num_fewshot": 2, "description": "say"}, {}),
        ({**GEN, "num_fewshot": 2, "description": "Be {{n}}.\n\n", "gen_prefix": "A: "}, {}),
        ({**GEN, "num_fewshot": 2, "generation_kwargs": {"until": ["\n", "Q:"], "max_gen_toks": 9}}, {}),
        ({**GEN, "num_fewshot": 1, "description": "Sums."}, {"system_instruction": "Be brief."}),
        ({**GEN, "description": " Sums."}, {"system_instruction": "Be brief."}),
        ({**WINO, "num_fewshot": 2}, {}),
        ({**WINO, "num_fewshot": 1, "description": "D. "}, {"apply_chat_template": True}),
        ({**WINO, "num_fewshot": 1, "gen_prefix": "So:"}, {"apply_chat_template": True, "fewshot_as_multiturn": True}),
        ({**WINO, "gen_prefix": "So:"}, {}),
    ]:
        yield keys, flags


def write(path, docs):
    with open(path, "w", encoding="utf-8") as f:
        f.writelines(json.dumps(doc) + "\n" for doc in docs)


def requests():
    from lm_eval.api.task import ConfigurableTask
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    tok = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, unk_token="a")), chat_template=FAKE)

    def chat(messages, add_generation_prompt):
        return tok.apply_chat_template(messages, tokenize=False, add_generation_prompt=add_generation_prompt,
                                       continue_final_message=not add_generation_prompt)

    with tempfile.TemporaryDirectory() as d:
        write(f"{d}/shots.jsonl", SHOTS)
        write(f"{d}/asked.jsonl", ASKED)
        write(f"{d}/twice.jsonl", TWICE)
        for keys, flags in tasks():
            keys = dict(keys)
            test = keys.pop("test", "asked")
            base = {"task": "t", "dataset_path": "json", "training_split": "train", "test_split": "test",
                    "dataset_kwargs": {"data_files": {"train": "shots.jsonl", "test": f"{test}.jsonl"}},
                    "doc_to_text": "q", "doc_to_target": "a", "num_fewshot": 0, **keys}
            config = json.loads(json.dumps(base))
            for split, name in config["dataset_kwargs"]["data_files"].items():
                config["dataset_kwargs"]["data_files"][split] = f"{d}/{name}"
            task = ConfigurableTask(config=config)
            task.set_fewshot_seed(1234)
            task.build_all_requests(rank=0, world_size=1, apply_chat_template=flags.get("apply_chat_template", False),
                                    chat_template=chat, system_instruction=flags.get("system_instruction"),
                                    fewshot_as_multiturn=flags.get("fewshot_as_multiturn", False))
            want = []
            for i in task.instances:
                a = i.args
                want.append([a[0], a[1] if len(a) > 1 and isinstance(a[1], str) else None])
            first = task.instances[0].args
            gen = first[1] if len(first) > 1 and isinstance(first[1], dict) else None
            yield {"task": base, "suite": flags, "requests": want, "generation": gen}


REGEX_TEXTS = ["The answer is 42.", "#### 1,234 and #### -5", "no number", "", "answer: (B) or (C)", "Ärger: größe ÉCOLE 12", "a\nb\n",
               "  pad\u00a0ded\u3000 ", "aaa", "x = $3.50, y = 7 .", "A", "final answer is \\boxed{7}.", "\u0661\u0662 tabs\tand\x1cfs",
               "[x] {1,2} a{,3}", "Antwort: „Ja“", "(A) maybe (D)", "12:34:56"]
PATTERNS = [("#### (\\-?[0-9\\.\\,]+)", [0, -1]), ("(-?[$0-9.,]{2,})|(-?[0-9]+)", [-1, 0, 5]), ("\\w+", [0, 1, -1, -2]),
            ("\\s+", [0, -1]), ("\\S", [-1]), ("a*", [0, 1, -1]), ("(a)|(b)", [0, -1]), ("(x)?", [0, 1]), ("(?i)école", [0]),
            ("(?<=The answer is )(.*)(?=.)", [0]), ("\\b[A-Z]\\b", [0, -1]), ("\\(([A-D])\\)", [0, -1]), ("$", [0]), ("b$", [0]),
            ("(?m)^.", [-1]), ("(?s).+", [0]), ("[^\\d\\s]+", [1]), ("\\d", [0, -1]), ("[[\\]{]", [0, -1]), ("a{,2}", [0, 1]),
            ("[\\w]+", [-1]), ("\u201e(\\w+)\u201c", [0]), ("\\u0661", [0]), ("\\Z", [0]), ("(?P<h>\\d+):(?P<m>\\d+)", [0, -1]),
            ("\\v|\\x20", [0]), ("[\\x1c]", [0]), ("\\W+", [0, -1])]
CHOICES = ["True", " False ", "Guilty", "Guilty of Romance", "a.b (c)", "True"]
PIPES = [
    ([{"function": "regex", "regex_pattern": "(\\d+)"}, {"function": "take_first"}], 1),
    ([{"function": "regex", "regex_pattern": "(\\d+)", "fallback": " none "}, {"function": "remove_whitespace"}, {"function": "take_first"}], 1),
    ([{"function": "remove_whitespace"}, {"function": "lowercase"}, {"function": "take_first"}], 1),
    ([{"function": "uppercase"}, {"function": "take_first"}], 1),
    ([{"function": "take_first"}], 3),
    ([{"function": "take_first_k", "k": 3}, {"function": "regex", "regex_pattern": "\\w+"}, {"function": "majority_vote"}, {"function": "take_first"}], 4),
    ([{"function": "majority_vote"}, {"function": "take_first"}], 5),
    ([{"function": "regex", "regex_pattern": "([A-D])"}, {"function": "take_first"}, {"function": "map", "mapping_dict": {"A": 0, "B": 1},
      "default_value": -1}, {"function": "take_first"}], 1),
    ([{"function": "map", "mapping_dict": {"A": "zero", "aaa": "many"}, "default_value": "other"}, {"function": "take_first"}], 1),
    ([{"function": "multi_choice_regex", "regex_pattern": "(\\([A-Z]\\))", "group_select": 0}, {"function": "take_first"}], 1),
    ([{"function": "multi_choice_regex", "regex_pattern": "(\\([A-Z]\\))", "group_select": -1, "ignore_case": True,
       "ignore_punctuation": True, "regexes_to_ignore": ["\\bthe\\b"]}, {"function": "take_first"}], 1),
]
RESPONSES = ["42", " 7 of 9 ", "none", "ABC", "A", "aaa", "(B)", "the answer is guilty of romance", "It is Guilty of Romance", "True", "false!",
             "a.b (c)", "say: C", "Straße ΑΣ ß", "", "B)", "x: E"]


def filters():
    from lm_eval.api.instance import Instance
    from lm_eval.filters import build_filter_ensemble

    doc = {"choices": CHOICES}
    for steps, repeats in PIPES:
        parts = [[s["function"], {k: v for k, v in s.items() if k != "function"}] for s in steps]
        cases = []
        for i in range(len(RESPONSES)):
            texts = [RESPONSES[(i + (k // 2) * 3) % len(RESPONSES)] for k in range(repeats)]
            inst = Instance("generate_until", doc, ("",), 0)
            inst.resps = list(texts)
            try:
                build_filter_ensemble("f", parts).apply([inst])
                got = inst.filtered_resps["f"]
            except IndexError:
                continue
            cases.append([texts, str(got)])
        yield {"steps": steps, "repeats": repeats, "cases": cases}


def regexes():
    from lm_eval.filters.extraction import RegexFilter

    for pattern, selects in PATTERNS:
        for select in selects:
            out = []
            for text in REGEX_TEXTS:
                try:
                    out.append(RegexFilter(pattern, select, "[no]").apply([[text]], [{}])[0][0])
                except IndexError:
                    out.append("[no]")
            yield {"pattern": pattern, "select": select, "found": out}


def numbers():
    r = random.Random(1234)
    yield [100, 5, r.sample(range(100), 5)]
    yield [100, 5, r.sample(range(100), 5)]
    yield [20, 3, r.sample(range(20), 3)]
    yield [7473, 6, r.sample(range(7473), 6)]
    for n, k in (21, 5), (22, 5), (1, 1), (85, 20), (277, 25), (278, 25), (300, 64), (70000, 40), (2, 0), (4117, 1000), (4118, 1000):
        yield [n, k, r.sample(range(n), k)]
    r = random.Random(0)
    yield [0, 0, [r.random() for _ in range(3)]]


def compact(v):
    return json.dumps(v, ensure_ascii=False, separators=(",", ":"))


def main():
    with open(os.path.join(HERE, "requests.json"), "w", encoding="utf-8") as f:
        f.write('{"shots":%s,"asked":%s,"twice":%s,"choices":%s,"texts":%s,\n' % tuple(map(compact, (SHOTS, ASKED, TWICE, CHOICES, REGEX_TEXTS))))
        for name, rows in ("numbers", numbers()), ("regexes", regexes()), ("filters", filters()), ("tasks", requests()):
            f.write('"%s":[\n%s\n]%s\n' % (name, ",\n".join(map(compact, rows)), "}" if name == "tasks" else ","))


main()
