#!/usr/bin/env python3
"""bench_torch_suite.py DIR LIMIT [name=value …]: tests/bench/suite through lm-evaluation-harness' own `hf` model.

Started in the suite's folder, since the harness takes data_files from where it runs. What is timed is simple_evaluate() alone,
the second time of two: neither the interpreter, nor the loading of the model, nor the first kernels. batch=16, device=cuda,
bf16=1; what else is given for its siblings is passed over. Ends with 77 where lm_eval is not installed. One line of JSON.
"""
import json
import os
import sys
import time

os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
s = dict(batch=16, bf16=0, device="cpu", fused=0, compile=0)
for a in sys.argv[3:]:
    k, v = a.split("=")
    s[k] = v if k == "device" else int(v)
try:
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager
except ImportError:
    print("this Python has no lm_eval")
    sys.exit(77)
lm = HFLM(pretrained=sys.argv[1], dtype="bfloat16" if s["bf16"] else "float32", device=s["device"], batch_size=s["batch"])
tasks, spent = TaskManager(include_path=".", include_defaults=False), 0.0
for _ in range(2):
    began = time.perf_counter()
    out = simple_evaluate(model=lm, tasks=["charter"], task_manager=tasks, limit=int(sys.argv[2]), bootstrap_iters=0)
    spent = time.perf_counter() - began
print(json.dumps({"engine": "lm-eval", "questions": int(sys.argv[2]), "seconds": round(spent, 3),
                  "acc": out["results"]["charter"]["acc,none"]}))
