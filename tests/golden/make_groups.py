#!/usr/bin/env python3
"""Writes groups.json: what lm-evaluation-harness makes of groups within groups, from the group files and the tasks' scores.

    python3 tests/golden/make_groups.py

needs lm_eval and datasets. Its TaskManager reads the files, its metrics give each task's mean and error, its aggregate_groups()
the groups'. A task stands in one list, in several groups of one, in groups of groups; twice in a list; behind a tag; and with a
metric that others have not. Tasks are choices between "x" and "yy", of which the fake model of the unit tests takes the
first: a document is right if that is its label."""
import json
import os
import tempfile

from lm_eval.api.metrics import mean, mean_stderr
from lm_eval.evaluator_utils import EvalAcc, aggregate_groups
from lm_eval.tasks import TaskManager

HERE = os.path.dirname(os.path.abspath(__file__))
RIGHT = {"a": "10110", "b": "11011101", "c": "00010", "d": "1110111"}
TAGS = {"a": ["both"], "b": ["both"]}
NORM = {"a", "c", "d"}  # those that have acc_norm, too
ACC = [{"metric": "acc"}]
ALIKE = [{"metric": "acc", "weight_by_size": False}]
MIXED = [{"metric": "acc", "weight_by_size": False}, {"metric": "acc_norm", "weight_by_size": True}]


def inner(name, task, metrics=None):
    return {"group": name, "task": task, **({"aggregate_metric_list": metrics} if metrics else {})}


CASES = [
    [inner("g", ["a", inner("in", ["a", "b"], ACC)], ACC)],
    [inner("g", ["a", inner("in", ["a", "b"], ACC)], ALIKE)],
    [inner("g", [inner("in", ["a", "b"]), inner("more", ["b", "a"])], ACC)],
    [inner("g", [inner("in", ["a", "b"]), inner("more", ["b", "c"])], MIXED)],
    [inner("g", ["a", "a", "both", inner("in", ["both", "c"])], MIXED)],
    [inner("g", ["x", "y"], ACC), inner("x", ["z", "a"], ALIKE), inner("y", ["z", "z", "b"], ACC), inner("z", ["a", "c"], ACC)],
    [inner("g", ["x", "y", "z"], MIXED), inner("x", ["z", "a"]), inner("y", ["z", "d"]), inner("z", ["a", "d"], MIXED)],
    [inner("g", ["a", inner("in", ["b", "a"], MIXED), "c"], [{"metric": "acc_norm", "weight_by_size": False}, *ACC])],
    [inner("g", ["b", "a", inner("in", ["a"])], [{"metric": "acc_norm"}, {"metric": "acc", "filter_list": "none"}])],
    [inner("g", ["b", "d", inner("in", ["a", inner("deep", ["a", "d", inner("deeper", ["a"])])])], MIXED)],
]


def task_file(name):
    metrics = [{"metric": "acc"}] + ([{"metric": "acc_norm"}] if name in NORM else [])
    return {"task": name, "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": name + ".jsonl"}}, "test_split": "test",
            "output_type": "multiple_choice", "doc_to_text": "Q", "doc_to_choice": "c", "doc_to_target": "l", "metric_list": metrics,
            **({"tag": TAGS[name]} if name in TAGS else {})}


def values(name):
    scores = [int(c) for c in RIGHT[name]]
    out = {"name": name, "alias": name, "sample_len": len(scores)}
    for m in ["acc"] + (["acc_norm"] if name in NORM else []):
        # the first choice is the likelier, by length too
        out["%s,none" % m], out["%s_stderr,none" % m] = mean(scores), mean_stderr(scores)
    return out


def main():
    made = []
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            files = {name + ".yaml": task_file(name) for name in RIGHT} | {"_%s.yaml" % g["group"]: g for g in case}
            for name, right in RIGHT.items():
                files[name + ".jsonl"] = [{"c": ["x", "yy"], "l": 1 - int(c)} for c in right]
            for name, what in files.items():  # JSON is YAML
                lines = what if isinstance(what, list) else [what]
                files[name] = "".join(json.dumps(line) + "\n" for line in lines)
                with open(name, "w", encoding="utf-8") as f:
                    f.write(files[name])
            loaded = TaskManager(include_path=folder, include_defaults=False).load(["g"])
            acc = EvalAcc(metrics={name: values(name) for name in loaded["tasks"]}, groups=loaded["groups"])
            results = aggregate_groups(acc).metrics
        made.append({"files": files, "groups": {
            name: {k: v for k, v in results[name].items() if "," in k} for name, g in loaded["groups"].items() if g.has_aggregation}})
    with open(HERE + "/groups.json", "w", encoding="utf-8") as f:
        json.dump(made, f, indent=1, ensure_ascii=False)
        f.write("\n")


if __name__ == "__main__":
    main()
