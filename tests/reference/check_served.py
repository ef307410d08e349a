#!/usr/bin/env python3
"""check_served.py ASSAY WORK: one server, asked by lm-evaluation-harness (local-completions) and by `assay eval` of a location.

WORK is what check_lm_eval.py made: task files, data sets and two models. The server is a stand-in with a real model, by
transformers in single precision, one sequence at a time: OpenAI's completions with echo and logprobs, ids or text as a prompt.
Like vLLM it refuses what is longer than its context. Both get a share of the documents (--limit 0.34). Compared as there:
prompts, texts, every sample's score, metrics and their errors. Both must also have asked the server for the same scores: the lists of
ids whose log-probabilities it gave are held against each other. Exit 0: all equal.
"""
import functools
import http.server
import json
import os
import shutil
import sys
import threading

import check_lm_eval as live
import torch
import transformers
import yaml

CONTEXT = 384
LIMIT = "0.34"
FILES = ["arc/arc_easy.yaml", "piqa/piqa.yaml", "lambada/lambada_openai.yaml", "pile_10k/pile_10k.yaml", "super_glue/boolq/default.yaml",
         "gsm8k/gsm8k.yaml", "translation/wmt16_ro-en.yaml"]
RUNS = [("served", "plain", 0), ("served, shots", "plain", 3), ("served, special tokens", "chat", 2)]


class Model:
    def __init__(self, folder):
        self.tok = transformers.AutoTokenizer.from_pretrained(folder)
        self.net = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.scored, self.lock = set(), threading.Lock()

    def answer(self, q):
        ids = q["prompt"] if isinstance(q["prompt"], list) else self.tok(q["prompt"]).input_ids
        ids = ids[0] if ids and isinstance(ids[0], list) else ids
        if len(ids) + q["max_tokens"] > CONTEXT:
            return 400, {"error": {"message": "%d tokens and %d more: the model takes %d" % (len(ids), q["max_tokens"], CONTEXT)}}
        with self.lock, torch.no_grad():
            choice = self.echo(ids) if q.get("echo") else self.write(ids, q)
        return 200, {"choices": [{"index": 0, **choice}], "usage": {"prompt_tokens": len(ids), "completion_tokens": 1}}

    def echo(self, ids):
        self.scored.add(tuple(ids))
        rows = self.net(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        best = rows.max(-1)
        own = [None] + [rows[i, t].item() for i, t in enumerate(ids[1:])]
        top = [None] + [{self.tok.decode([best.indices[i]]): best.values[i].item()} for i in range(len(ids))]
        return {"text": "", "logprobs": {"tokens": [self.tok.decode([t]) for t in ids] + ["x"], "top_logprobs": top,
                                         "token_logprobs": own + [best.values[-1].item()]}}

    def write(self, ids, q):
        stops, out, past, new = q.get("stop") or [], [], None, ids
        stops = [stops] if isinstance(stops, str) else stops
        while len(out) < q["max_tokens"]:
            got = self.net(torch.tensor([new]), past_key_values=past, use_cache=True)
            past, new = got.past_key_values, [got.logits[0, -1].argmax().item()]
            if new[0] == self.tok.eos_token_id:
                break
            out += new
            text = self.tok.decode(out, skip_special_tokens=True)
            if any(s in text for s in stops):
                return {"text": min((text.split(s)[0] for s in stops), key=len)}
        return {"text": self.tok.decode(out, skip_special_tokens=True)}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, model, *args):
        self.model = model
        super().__init__(*args)

    def log_message(self, *_):
        pass

    def send(self, status, what):
        body = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        known = self.path == "/v1/models"
        self.send(200 if known else 404, {"data": [{"id": "org/tiny", "max_model_len": CONTEXT}]} if known else {})

    def do_POST(self):
        self.send(*self.model.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))


def theirs(work, out, url, name, shots):
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": work + "/hf", "DISABLE_MULTIPROC": "1",
           "TOKENIZERS_PARALLELISM": "false"}
    live.timed([sys.executable, "-m", "lm_eval", "run", "--model", "local-completions", "--model_args", "model=org/tiny,base_url=%s/completions,"
                "tokenizer=%s/%s,tokenizer_backend=huggingface,max_length=%d,add_bos_token=%s" % (url, work, name, CONTEXT, name == "chat"),
                "--tasks", *live.names_of(work, FILES), "--limit", LIMIT, "--num_fewshot", str(shots), "--log_samples", "--output_path", out],
               env=env, cwd=work + "/hub")
    path, = [os.path.join(d, f) for d, _, fs in os.walk(out) for f in fs if f.startswith("results_")]
    results = json.load(open(path, encoding="utf-8"))
    samples = {}
    for task in results["configs"]:
        at, = [f for f in os.listdir(os.path.dirname(path)) if f.startswith("samples_%s_2" % task)]
        samples[task] = [json.loads(line) for line in open(os.path.join(os.path.dirname(path), at), encoding="utf-8")]
    return results, samples


def ours(assay, work, out, url, name, shots):
    home = work + "/served-home"
    os.makedirs(home, exist_ok=True)
    with open(home + "/config.yaml", "w", encoding="utf-8") as f:
        yaml.safe_dump({"locations": {"served": {"url": url, "model": "org/tiny", "tokenizer": "%s/%s" % (work, name)}}}, f)
    with open(work + "/served.yaml", "w", encoding="utf-8") as f:
        yaml.safe_dump({"suite": "served", "tasks": [{"include": "tasks/" + t, "num_fewshot": shots} for t in FILES]}, f)
    env = {k: v for k, v in os.environ.items() if k != "ASSAY_OFFLINE"}
    text, _ = live.timed([assay, "eval", "served", "served.yaml", "--datasets", "hub", "--limit", LIMIT, "--samples", out], cwd=work,
                         env={**env, "ASSAY_HOME": home})
    return json.loads(text)["tasks"], live.stored(out)


def main():
    assay, work, failed = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), False
    for title, name, shots in RUNS:
        model = Model("%s/%s" % (work, name))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, model))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url, out = "http://127.0.0.1:%d/v1" % server.server_address[1], work + "/out-served"
        shutil.rmtree(out, ignore_errors=True)
        got, mine = ours(assay, work, out + ".jsonl", url, name, shots)
        asked, model.scored = model.scored, set()
        results, samples = theirs(work, out, url, name, shots)
        server.shutdown()
        report = live.Report()
        for ids in asked ^ model.scored:
            report.check("ids", False, "%s asked for %r" % ("assay" if ids in asked else "the harness", ids[:9]))
        report.counts["ids"] += len(asked & model.scored)
        for task, rows in samples.items():
            live.compare_samples(report, task, results["configs"][task]["output_type"], rows, mine[task])
        live.compare_values(report, results, got)
        print("%-24s %s" % (title, ", ".join("%d %s" % (n, k) for k, n in report.counts.items())), flush=True)
        for b in report.bad[:12]:
            print("  DIFFERS " + b)
        failed |= bool(report.bad)
    sys.exit(failed)


if __name__ == "__main__":
    main()
