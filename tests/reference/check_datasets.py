#!/usr/bin/env python3
"""check_datasets.py RENDER_TASKS [N]: which rows a data set's README.md gives for a configuration and a split, as the datasets
library has them.

N (300) random folders with a README.md whose front matter has `configs`: files, lists, patterns, data_dir, defaults, wrong
ones among them. For each configuration and split, and without a configuration, a task that names the same must give the rows of
load_dataset(), in their order, and must refuse a configuration or a split that is not there. The library refuses all of a data
set where one split of one configuration is wrong, and looks at the first configuration whichever is asked: what assay gives of
the rest then is counted apart. Seeded. An oracle outside the product: needs datasets."""
import json
import logging
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
import datasets
import yaml

logging.disable(logging.CRITICAL)
datasets.disable_progress_bars()
MUST = ["Config name is missing", "BuilderConfig", "several default configs", "Unknown split", "config_name"]
SPLITS = ["train", "validation", "test", "extra"]


def rows(name, n, sep=None):
    texts = [f"{name}:{i}" for i in range(n)]
    if name.endswith(".csv"):
        sep = sep or ","
        return f"text{sep}n\n" + "".join(f"{t}{sep}{i}\n" for i, t in enumerate(texts))
    return "".join(json.dumps({"text": t, "n": i}) + "\n" for i, t in enumerate(texts))


def make(rng, folder):
    """Files of one format, and a card; gives the names of its configurations."""
    ending = rng.choice(["jsonl", "jsonl", "csv", "json"])
    sep = rng.choice([None, ";", "\t"]) if ending == "csv" else None
    names = set()
    for part in rng.sample(["", "a", "a/deep", "b", "data", ".hidden", "__special"], rng.randint(2, 5)):
        for split in rng.sample(SPLITS, rng.randint(1, 3)):
            stem = rng.choice([split, f"{split}-00000-of-00002", f"{split}_1", f"x-{split}", f"{split}-00001-of-00002"])
            names.add(f"{part}/{stem}.{ending}".lstrip("/"))
    for name in sorted(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(rows(name, rng.randint(1, 3), sep))
    if rng.random() < 0.5:
        (folder / "data").mkdir(exist_ok=True)
        (folder / "data" / "notes.txt.bak").write_text("no rows")
    listed = sorted(names)
    one = lambda: rng.choice(listed)

    def pattern():
        name = one()
        head, _, tail = name.rpartition("/")
        return rng.choice([
            name, f"./{name}", f"{head or '**'}/*", f"**/{tail}", f"**/{tail.split('-')[0].split('_')[0].split('.')[0]}*", "**",
            f"*/{tail}", f"{head}/**" if head else "*", name.replace("0", "?"), name.replace("t", "[st]"), f"*.{ending}",
            f"**/*.{ending}", f"{head or 'a'}/**/*-of-*",
        ] + ["none/*.jsonl", "missing.jsonl"] * (rng.random() < 0.1))

    def paths():
        return pattern() if rng.random() < 0.6 else [pattern() for _ in range(rng.randint(1, 3))]

    configs = []
    for name in rng.sample(["default", "easy", "hard", "other"], rng.randint(1, 3)):
        config = {"config_name": name}
        kind = rng.random()
        if kind < 0.6:
            config["data_files"] = [{"split": s, "path": paths()} for s in rng.sample(SPLITS, rng.randint(1, 3))]
        elif kind < 0.9:
            config["data_files"] = paths()
        if rng.random() < 0.15:
            config["data_dir"] = rng.choice(["a", "data", "b"])
            if "data_files" not in config:
                config["data_files"] = [{"split": "test", "path": "*"}]
        if "data_files" not in config:
            config["data_files"] = [{"split": "train", "path": one()}]
        if rng.random() < 0.2:
            config["default"] = True
        if sep:
            config[rng.choice(["sep", "delimiter"])] = sep
        configs.append(config)
    if rng.random() < 0.05:
        del configs[0]["config_name"]
    card = {"license": "mit", "configs": configs, "tags": ["x"]}
    (folder / "README.md").write_text("---\n" + yaml.safe_dump(card, sort_keys=False) + "---\n# A data set\n\n---\nconfigs: no\n")
    return [c.get("config_name", "?") for c in configs]


def theirs(folder, config, split, cache):
    try:
        d = datasets.load_dataset(str(folder), config, split=split, cache_dir=cache)
        return list(d["text"])
    except Exception as e:
        return f"{type(e).__name__}: {e}"[:200]


def main():
    render, n = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 300
    work = Path(tempfile.mkdtemp(prefix="check-datasets-"))
    rng, jobs, wants = random.Random(5), [], []
    for i in range(n):
        folder = work / f"d{i}" / "team" / "set"
        folder.mkdir(parents=True)
        names = make(rng, folder)
        files = {str(p.relative_to(work / f"d{i}")): p.read_text() for p in folder.rglob("*") if p.is_file()}
        for config in [None, *names, "nobody"]:
            for split in SPLITS:
                task = {"task": "t", "dataset_path": "team/set", "test_split": split, "output_type": "loglikelihood",
                        "doc_to_text": "{{text}}", "doc_to_target": " x"}
                if config:
                    task["dataset_name"] = config
                jobs.append({"suite": "t.yaml", "files": {**files, "t.yaml": json.dumps(task)}})
                wants.append((folder, config, split, theirs(folder, config, split, str(work / "cache"))))
    out = subprocess.run([render, str(work / "none")], input="".join(json.dumps(j) + "\n" for j in jobs), text=True,
                         capture_output=True, check=True).stdout.splitlines()
    bad = both = refused = more = 0
    for (folder, config, split, want), line in zip(wants, out, strict=True):
        answer = json.loads(line)
        got = answer.get("error") or [d["contexts"][0] for d in answer["tasks"][0]["docs"]]
        if isinstance(want, str) and isinstance(got, str):
            refused += 1
        elif want == got:
            both += 1
        elif isinstance(want, str) and not any(w in want for w in MUST):
            more += 1
        else:
            bad += 1
            if bad <= 5:
                print(f"{folder.parent.parent.name} {config} {split}\n  datasets: {want}\n  assay:    {got}")
                print("  " + (folder / "README.md").read_text().replace("\n", "\n  "))
                print("  " + "\n  ".join(sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())))
    shutil.rmtree(work)
    print(f"{n} data sets, {len(wants)} questions: {both} with the same rows, {refused} refused by both, {more} by it alone, for "
          f"another split's sake; {bad} different")
    return bad > 0 or both < len(wants) / 10


if __name__ == "__main__":
    sys.exit(main())
