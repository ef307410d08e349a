#!/usr/bin/env python3
"""check_lm_eval.py ASSAY WORK: lm-evaluation-harness itself and `assay eval`, on the same task files, documents and models.

Task files of the installed lm_eval, unchanged (and a few of our own, in the same keys, for what those have not); documents
and models are made (lm_eval_world.py), for there is no hub here. Each run is one process of either tool, timed from start
to end. Compared:

  prompts    context and continuations of every document: byte for byte, by their SHA-256
  scores     every log-likelihood: the harness's own requests go to `assay score`; |difference| <= 1e-4 + 1e-6 |ll|
  texts      every greedy text: strictly, with no allowance where the two best tokens are close
  metrics    every value of every task and group to 1e-6, every sample's score; standard errors to 1e-6 where the harness
             has a closed form. Where it draws bootstrap samples, within a factor of 1.5: of BLEU, chrF and TER it draws a
             hundred, so that its error is off by 7 % or, with tails as heavy as a low BLEU's, 14 %. Within 1.7 for
             perplexity, whose error assay has by the delta method: they part where exp() bends within one error
  import     `assay diff` of the harness's folder with itself: the same values again

A value may differ only where a document's choices lie within the bound of each other: those are counted. Exit 0: all equal.
"""
import collections
import glob
import hashlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
import time

import lm_eval
import lm_eval_world as world
import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
TASKS = os.path.join(os.path.dirname(lm_eval.__file__), "tasks")
SIZE = 60
ZERO = ["arc/arc_easy.yaml", "piqa/piqa.yaml", "lambada/lambada_openai.yaml", "pile_10k/pile_10k.yaml",
        "super_glue/boolq/default.yaml", "gsm8k/gsm8k.yaml", "translation/wmt16_ro-en.yaml", "blimp/_blimp.yaml"]
SHOTS = ["arc/arc_easy.yaml", "piqa/piqa.yaml", "super_glue/boolq/default.yaml", "translation/wmt16_ro-en.yaml",
         "lambada/lambada_openai.yaml"]
CHAT = ["arc/arc_easy.yaml", "super_glue/boolq/default.yaml", "gsm8k/gsm8k.yaml", "translation/wmt16_ro-en.yaml",
        "pile_10k/pile_10k.yaml", "lambada/lambada_openai.yaml"]
# name, model, task files, num_fewshot, chat (the suite's keys), the harness's batch
RUNS = [
    ("zero-shot", "plain", ZERO, None, {}, 16),
    ("random shots", "plain", SHOTS, 3, {}, 16),
    ("five shots", "plain", ["mmlu/default/_mmlu.yaml"], 5, {}, 16),
    ("own", "plain", ["own/*"], None, {}, 16),
    ("special tokens", "chat", ZERO[:5] + SHOTS[3:4], 2, {}, 16),
    ("chat, multi-turn", "chat", CHAT, 2, {"fewshot_as_multiturn": True, "system_instruction": "You know colours."}, 16),
    ("chat", "chat", CHAT, 2, {"fewshot_as_multiturn": False}, 16),
    ("chat, one by one", "chat", CHAT, 0, {"fewshot_as_multiturn": False}, 1),
]
ARC = {"dataset_path": "allenai/ai2_arc", "dataset_name": "ARC-Easy", "test_split": "test", "training_split": "train",
       "doc_to_text": "{{question}} ->", "doc_to_choice": "{{choices.text}}",
       "doc_to_target": "{{choices.label.index(answerKey)}}", "output_type": "multiple_choice"}
BOOLQ = {"dataset_path": "aps/super_glue", "dataset_name": "boolq", "test_split": "validation", "output_type": "multiple_choice",
         "doc_to_text": "{{passage}} {{question}}?", "doc_to_target": "label", "doc_to_choice": ["no", "yes"]}
GSM = {"dataset_path": "openai/gsm8k", "dataset_name": "main", "test_split": "test", "training_split": "train", "num_fewshot": 2,
       "doc_to_text": "Question: {{question}}\nAnswer:", "doc_to_target": "{{answer.split('#### ')[1]}}"}


def metrics(*names):
    return [{"metric": n} for n in names]


OWN = {
    "arc_more": {**ARC, "metric_list": metrics("acc", "acc_bytes", "acc_mutual_info"), "num_fewshot": 1,
                 "fewshot_config": {"sampler": "first_n"}},
    "arc_four": {**ARC, "doc_to_choice": "{{choices.text[:3]}}", "doc_to_target": "{{[choices.label.index(answerKey), 2] | min}}",
                 "metric_list": metrics("brier_score", "exact_match")},
    "boolq_labels": {**BOOLQ, "metric_list": [{"metric": "f1", "average": "macro"}, *metrics("mcc", "acc")]},
    "piqa_inputs": {"dataset_path": "baber/piqa", "validation_split": "validation", "training_split": "train",
                    "doc_to_text": "label", "doc_to_choice": "{{[goal + ' ' + sol1, goal + ' ' + sol2]}}",
                    "doc_to_target": "and it is done", "output_type": "multiple_choice", "num_fewshot": 1,
                    "target_delimiter": ", "},
    "gsm_vote": {**GSM, "repeats": 3, "generation_kwargs": {"until": ["\n\n"], "max_gen_toks": 40},
                 "gen_prefix": "Sum:", "filter_list": [
                     {"name": "vote", "filter": [{"function": "regex", "regex_pattern": "(\\d+)\\D*$"},
                                                 {"function": "majority_vote"}, {"function": "take_first"}]},
                     {"name": "mapped", "filter": [{"function": "take_first_k", "k": 2}, {"function": "lowercase"},
                                                   {"function": "remove_whitespace"}, {"function": "take_first"}]}]},
    "wmt_more": {"dataset_path": "wmt/wmt16", "dataset_name": "ro-en", "test_split": "test", "doc_to_text": "English: ",
                 "doc_to_target": "{{translation.en}}", "generation_kwargs": {"until": ["\n"], "max_gen_toks": 20},
                 "metric_list": metrics("bleu", "chrf", "ter", "exact_match")},
    "loglik_one": {"dataset_path": "EleutherAI/lambada_openai", "dataset_name": "default", "test_split": "test",
                   "output_type": "loglikelihood", "doc_to_text": "", "doc_to_target": "{{text}}"},
}
OWN_GROUPS = {
    "mixed": {"task": ["arc_more", "boolq_labels", "gsm_vote", {"group": "inner", "task": ["piqa_inputs", "arc_four"],
                                                                   "aggregate_metric_list": metrics("acc")},
                       {"group": "again", "task": ["arc_more", "arc_four"], "aggregate_metric_list": metrics("acc")}],
              "aggregate_metric_list": [{"metric": "acc"}, {"metric": "acc_bytes", "weight_by_size": False}]},
    "corpora": {"task": ["loglik_one", "lambada_openai"], "aggregate_metric_list": [
        {"metric": "perplexity", "weight_by_size": True}, {"metric": "acc", "weight_by_size": False}]},
    "texts": {"task": ["wmt_more", "wmt16-ro-en"], "aggregate_metric_list": [
        {"metric": "bleu"}, {"metric": "ter", "weight_by_size": False}]},
}


def prepare(assay, work):
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work + "/tasks/own")
    for folder in {f.split("/")[0] for run in RUNS for f in run[2]} - {"own"}:
        os.symlink(os.path.join(TASKS, folder), "%s/tasks/%s" % (work, folder))
    for name, cfg in OWN.items():
        with open("%s/tasks/own/%s.yaml" % (work, name), "w", encoding="utf-8") as f:
            yaml.safe_dump({"task": name, **cfg}, f, allow_unicode=True)
    for name, cfg in OWN_GROUPS.items():
        with open("%s/tasks/own/_%s.yaml" % (work, name), "w", encoding="utf-8") as f:
            yaml.safe_dump({"group": name, **cfg}, f)

    def configs(pattern, key):
        return sorted({m[1] for f in glob.glob(os.path.join(TASKS, pattern))
                       for m in [re.search(r'"?dataset_name"?: *"?(\w+)', open(f, encoding="utf-8").read())] if m and key in f})

    world.data_sets(work + "/hub", configs("blimp/*.yaml", "blimp"), configs("mmlu/default/mmlu_*.yaml", "mmlu"), SIZE)
    for name in "plain", "chat":
        world.model("%s/%s" % (work, name), name == "chat", assay)


# ---- the two tools ---------------------------------------------------------------------------------------------------

def names_of(work, files):
    out = []
    for f in files:
        if f == "own/*":
            out += OWN_GROUPS  # which have all of them
        else:
            text = open(os.path.join(TASKS, f), encoding="utf-8").read()
            out.append(re.search(r"^\"?(?:task|group)\"?: *\"?([\w-]+)", text, re.M)[1])
    return out


def timed(argv, **how):
    t = time.time()
    p = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, **how)
    if p.returncode:
        sys.exit("%s\nended with %d:\n%s" % (" ".join(argv), p.returncode, p.stderr[-3000:]))
    return p.stdout, time.time() - t


# f1 and mcc take scikit-learn a millisecond for each of 100,000 draws: their run draws 500.
FEWER = ("import functools, lm_eval, lm_eval.evaluator as e; lm_eval.simple_evaluate = functools.partial(e.simple_evaluate, bootstrap_iters=500); "
         "from lm_eval.__main__ import cli_evaluate; cli_evaluate()")


def harness(work, out, name, files, shots, chat, batch):
    """Results and samples as the harness writes them, and its wall time."""
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": work + "/hf", "DISABLE_MULTIPROC": "1",
           "TOKENIZERS_PARALLELISM": "false"}
    argv = [sys.executable, *(["-c", FEWER] if "own/*" in files else ["-m", "lm_eval"]), "run", "--model", "hf", "--model_args",
            "pretrained=%s/%s,dtype=float32,softmax_dtype=float32" % (work, name), "--device", "cpu", "--batch_size", str(batch),
            "--include_path", work + "/tasks/own", "--tasks", *names_of(work, files), "--log_samples", "--output_path", out]
    if shots is not None:
        argv += ["--num_fewshot", str(shots)]
    if chat:
        argv += ["--apply_chat_template", "--fewshot_as_multiturn", str(chat["fewshot_as_multiturn"]).lower()]
        if "system_instruction" in chat:
            argv += ["--system_instruction", chat["system_instruction"]]
    _, seconds = timed(argv, env=env, cwd=work + "/hub")
    results = json.load(open(glob.glob(out + "/*/results_*.json")[0], encoding="utf-8"))
    samples = {}
    for task in results["configs"]:
        path, = glob.glob("%s/*/samples_%s_2*.jsonl" % (out, glob.escape(task)))
        samples[task] = [json.loads(line) for line in open(path, encoding="utf-8")]
    return results, samples, seconds


def stored(out):
    """The samples that assay wrote: of each task its header and its rows."""
    tasks, task = {}, None
    for line in open(out, encoding="utf-8"):
        row = json.loads(line)
        if "format" in row:
            task = tasks[row["task"]] = {"header": row, "samples": []}
        else:
            task["samples"].append(row)
    return tasks


def ours(assay, work, out, name, files, shots, chat):
    listed = []
    for f in files:
        some = ["own/_%s.yaml" % g for g in OWN_GROUPS] if f == "own/*" else [f]
        listed += [{"include": "tasks/" + s, "num_fewshot": shots} if shots is not None else "tasks/" + s for s in some]
    suite = work + "/suite.yaml"
    with open(suite, "w", encoding="utf-8") as f:
        yaml.safe_dump({"suite": "live", "tasks": listed, **({"apply_chat_template": True, **chat} if chat else {})}, f)
    text, seconds = timed([assay, "eval", "%s/%s" % (work, name), "suite.yaml", "--datasets", "hub", "--samples", out], cwd=work)
    return json.loads(text)["tasks"], stored(out), seconds


# ---- comparison ------------------------------------------------------------------------------------------------------

class Report:
    def __init__(self):
        self.counts, self.bad, self.worst = collections.Counter(), [], collections.defaultdict(float)

    def check(self, what, good, text):
        self.counts[what] += 1
        if not good:
            self.bad.append("%s: %s" % (what, text))


def digest(texts):
    h = hashlib.sha256()
    for t in texts:
        b = t.encode()
        h.update(len(b).to_bytes(8, "little") + b)
    return h.hexdigest()[:16]


def arguments(row):
    return [row["arguments"]["gen_args_%d" % i] for i in range(len(row["arguments"]))]


def first_rows(rows):
    """One a document, in their order: the harness writes one a filter."""
    seen = {}
    for r in rows:
        seen.setdefault(r["doc_id"], r)
    return [seen[k] for k in sorted(seen)]


def texts_of(row, kind):
    """Prompts, then continuations, of a document, as assay hashes them."""
    args = arguments(row)
    if kind == "loglikelihood_rolling":
        return [args[0]["arg_0"]]
    if kind == "generate_until":
        return [args[0]["arg_0"]]
    n = len(row["resps"]) if kind == "loglikelihood" else len(args)
    if kind == "multiple_choice" and len({a["arg_1"] for a in args[:1]}) and any(a["arg_0"] == "" for a in args[1:]) and args[0]["arg_0"]:
        n = len(args) // 2  # acc_mutual_info asks again, without the question
    contexts = [a["arg_0"] for a in args[:n]]
    return ([contexts[0]] if len(set(contexts)) == 1 else contexts) + [a["arg_1"] for a in args[:n]]


def compare_scores(report, assay, model, samples, kinds):
    asked, theirs = [], []
    for task, rows in samples.items():
        if kinds[task] == "generate_until":
            continue
        for row in first_rows(rows):
            for a, answer in zip(arguments(row), row["resps"]):
                while isinstance(answer, list):
                    answer = answer[0]
                asked.append({"id": len(asked), **({"text": a["arg_0"]} if "arg_1" not in a else
                                                   {"context": a["arg_0"], "continuation": a["arg_1"]})})
                theirs.append((task, row["doc_id"], float(answer)))
    if not asked:
        return
    out, _ = timed([assay, "score", model], input="".join(json.dumps(a) + "\n" for a in asked))
    for line, (task, doc, ll) in zip(out.splitlines(), theirs, strict=True):
        got = json.loads(line)["logprob"]
        report.worst["ll"] = max(report.worst["ll"], abs(got - ll) / (1e-4 + 1e-6 * abs(ll)))
        report.check("scores", abs(got - ll) <= 1e-4 + 1e-6 * abs(ll), "%s %s: %.7f, the harness %.7f" % (task, doc, got, ll))


def compare_samples(report, task, kind, rows, mine):
    docs = first_rows(rows)
    report.check("documents", len(docs) == len(mine["samples"]), "%s: %d and %d" % (task, len(docs), len(mine["samples"])))
    for row, s in zip(docs, mine["samples"]):
        report.check("prompts", digest(texts_of(row, kind)) == s["prompt_hash"],
                     "%s %s: %.300r … assay %.300r" % (task, s["id"], texts_of(row, kind), s["prompt"][-300:]))
        if kind == "generate_until" and "bytes more]" not in s["response"]:
            text = row["resps"][0][0] if isinstance(row["resps"][0], list) else row["resps"][0]
            report.check("texts", text == s["response"], "%s %s: %r, the harness %r" % (task, s["id"], s["response"], text))
    by = collections.defaultdict(dict)
    for row in rows:
        by[row["filter"]][row["doc_id"]] = row
    for k, m in enumerate(mine["header"]["metrics"]):
        if "parts" in m or m["name"] not in rows[0]:
            continue
        for row, s in zip([by[m["filter"]][d] for d in sorted(by[m["filter"]])], mine["samples"]):
            theirs = row[m["name"]]
            if m["name"] == "brier_score":
                gold, p = theirs  # the probabilities as numpy prints an array
                p = [float(x) for x in re.findall(r"[-+.\de]+", p)] if isinstance(p, str) else p
                theirs = sum((x - (i == gold)) ** 2 for i, x in enumerate(p))
            if isinstance(theirs, list):
                theirs = theirs[0]
            near = math.isclose(theirs, s["scores"][k], rel_tol=1e-6, abs_tol=2e-4)
            report.check("samples", near, "%s %s %s: %r, the harness %r" % (task, s["id"], m["name"], s["scores"][k], theirs))


CLOSED = {"acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match", "likelihood"}


def compare_values(report, results, got):
    for task, values in {**results["results"], **results.get("groups", {})}.items():
        for key, value in values.items():
            m = re.fullmatch(r"(\w[\w+]*),(.+)", key)
            if not m or m[1].endswith("_stderr"):
                continue
            mine = got.get(task, {}).get(m[1] if m[2] == "none" else key)
            if mine is None:
                report.check("metrics", False, "%s %s: assay has none, the harness %r" % (task, key, value))
                continue
            report.check("metrics", math.isclose(value, mine["value"], rel_tol=1e-6, abs_tol=1e-6),
                         "%s %s: %r, the harness %r" % (task, key, mine["value"], value))
            theirs = values.get("%s_stderr,%s" % (m[1], m[2]))
            if isinstance(theirs, (int, float)) and not isinstance(theirs, bool):
                se, factor = mine["stderr"], 1.7 if m[1] == "perplexity" else 1.5
                near = se is not None and (math.isclose(theirs, se, rel_tol=1e-6, abs_tol=1e-6) if m[1] in CLOSED
                                           else theirs / factor - 1e-9 <= se <= theirs * factor + 1e-9)
                report.check("errors" if m[1] in CLOSED else "errors, drawn", near,
                             "%s %s: %r, the harness %r" % (task, key, se, theirs))


def compare_import(report, assay, out, results):
    """What the harness wrote is read back: every metric of every task and group."""
    text, _ = timed([assay, "diff", out, out, "--json"])
    rows = collections.Counter((r["task"], r["metric"]) for r in json.loads(text)["metrics"])
    for task, values in {**results["results"], **results.get("groups", {})}.items():
        for key in values:
            if re.fullmatch(r"\w[\w+]*,.+", key) and "_stderr," not in key:
                rows[task, key.split(",")[0]] -= 1
    report.check("import", not +rows and not -rows, "rows of assay diff and of the harness: %r" % {k: n for k, n in rows.items() if n})


def main():
    assay, work = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    if os.environ.get("KEEP") is None:
        prepare(assay, work)
    only = os.environ.get("ONLY")
    table, failed = [], False
    for title, name, files, shots, chat, batch in RUNS:
        if only and only not in title:
            continue
        report, out = Report(), "%s/out-%s" % (work, re.sub(r"\W+", "-", title))
        got, mine, seconds = ours(assay, work, out + ".jsonl", name, files, shots, chat)
        shutil.rmtree(out, ignore_errors=True)
        results, samples, theirs = harness(work, out, name, files, shots, chat, batch)
        kinds = {t: results["configs"][t]["output_type"] for t in samples}
        compare_scores(report, assay, "%s/%s" % (work, name), samples, kinds)
        for task, rows in samples.items():
            if task in mine:
                compare_samples(report, task, kinds[task], rows, mine[task])
            else:
                report.check("tasks", False, task + " is not there")
        compare_values(report, results, got)
        compare_import(report, assay, out, results)
        print("%-18s %s; largest difference of a log-likelihood %.2f of the bound" % (
            title, ", ".join("%d %s" % (n, k) for k, n in report.counts.items()), report.worst["ll"]), flush=True)
        for b in report.bad[:int(os.environ.get("SHOW", "12"))]:
            print("  DIFFERS " + b)
        if len(report.bad) > 12:
            print("  … and %d more" % (len(report.bad) - 12))
        failed |= bool(report.bad)
        table.append((title, len(samples), sum(len(first_rows(r)) for r in samples.values()), seconds, theirs))
    print("\n| run | tasks | documents | assay | harness | ratio |\n|---|--:|--:|--:|--:|--:|")
    for title, n, docs, a, b in table:
        print("| %s | %d | %d | %.2f s | %.1f s | %.0f |" % (title, n, docs, a, b, b / a))
    sys.exit(failed)


if __name__ == "__main__":
    main()
