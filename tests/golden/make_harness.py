#!/usr/bin/env python3
"""make_harness.py WORK: what lm-evaluation-harness writes, small, into harness/a and harness/b beside this file.

WORK is the folder that tests/reference/check_lm_eval.py leaves: data sets, tasks and two models, here the baseline (a) and the
candidate (b). The harness runs as it is, with --log_samples, on eight documents a task; of its files the list of installed
packages is dropped and the models' paths are made short, nothing else is changed.
"""
import glob
import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
work = os.path.abspath(sys.argv[1])
TASKS = "corpora texts mixed arc_easy gsm8k pile_10k"
env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": work + "/hf", "DISABLE_MULTIPROC": "1"}
FEWER = ("import functools, lm_eval, lm_eval.evaluator as e; lm_eval.simple_evaluate = functools.partial(e.simple_evaluate, "
         "bootstrap_iters=20); from lm_eval.__main__ import cli_evaluate; cli_evaluate()")
for name, model in ("a", "plain"), ("b", "chat"):
    made, out = "%s/golden-%s" % (work, name), "%s/harness/%s/model-%s" % (HERE, name, name)
    shutil.rmtree(made, ignore_errors=True)
    shutil.rmtree(os.path.dirname(out), ignore_errors=True)
    os.makedirs(out)
    subprocess.run([sys.executable, "-c", FEWER, "run", "--model", "hf", "--model_args", "pretrained=%s/%s,dtype=float32" % (work, model),
                    "--device", "cpu", "--batch_size", "16", "--include_path", work + "/tasks/own", "--tasks", *TASKS.split(),
                    "--limit", "8", "--log_samples", "--output_path", made], env=env, cwd=work + "/hub", check=True)
    date = None
    for path in sorted(glob.glob(made + "/*/*")):
        base, _, old = os.path.basename(path).rpartition("_")
        date = "2026-01-0%dT00-00-00.000000" % (1 + (name == "b"))
        text = open(path, encoding="utf-8").read().replace(work + "/", "")
        if base == "results":
            results = json.loads(text)
            results.pop("pretty_env_info")
            text = json.dumps(results, indent=1, ensure_ascii=False) + "\n"
        with open("%s/%s_%s.%s" % (out, base, date, old.rpartition(".")[2]), "w", encoding="utf-8") as f:
            f.write(text)
