#!/usr/bin/env python3
"""make_evals_corpus.py: seeds for the fuzz targets of evals/: regular expressions and schemas as task files have them, files of
scores, and the harness's output in tests/golden/harness, cut to two documents a task."""
import glob
import json
import os

HERE = os.path.dirname(os.path.abspath(__file__))


def write(name, seed, data):
    folder = os.path.join(HERE, "corpus", name)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, seed), "wb") as f:
        f.write(data)


def files(*parts):
    """As fuzz_files.h has them: a byte, then files, all but the last with two bytes of length."""
    out = b"\0"
    for p in parts[:-1]:
        out += len(p).to_bytes(2, "little") + p
    return out + parts[-1]


PATTERNS = [(r"#### (\-?[0-9\.\,]+)", "so #### 1,234."), (r"(-?[$0-9.,]{2,})|(-?[0-9]+)", "$12 or 7"), (r"(?<=The answer is )(.*)(?=.)", "The answer is 7."),
            (r"\b([A-D])\b", "(B) or C"), (r"(?s).*####\s*", "a\n#### b"), (r"^\s*(\w+)\Z", " größe"), (r"[\s\S]+?(?:\u0041|\x42){,3}$", "xxA"),
            (r"(a+)+b", "a" * 40), (r"([[\]^-]|\d)+", "[^-]1"), (r"答案是[（(]?([ABCD])", "答案是（B）"), (r"(?i)(?P<x>yes|no)(?P=x)?", "YESyes")]
SCHEMAS = [({"type": "object", "required": ["name", "arguments"], "properties": {"name": {"enum": ["search", "book"]}}}, {"name": "book", "arguments": {}}),
           ({"$ref": "#/$defs/t", "$defs": {"t": {"type": ["array", "null"], "items": {"$ref": "#/$defs/t"}}}}, [[], [[]]]),
           ({"allOf": [{"minimum": 1}, {"multipleOf": 0.5}], "not": {"const": 3}, "anyOf": [True, False]}, 2.5),
           ({"type": "string", "pattern": "^a+$", "minLength": 1, "maxLength": 3}, "aa"),
           ({"prefixItems": [{"type": "integer"}], "items": {"type": "string"}, "uniqueItems": True, "minItems": 1}, [1, "a", "b"]),
           ({"patternProperties": {"^x": {}}, "additionalProperties": False, "propertyNames": {"maxLength": 4}, "dependentRequired": {"x": ["xy"]}}, {"x": 1, "xy": 2}),
           ({"if": {"type": "integer"}, "then": {"exclusiveMaximum": 9}, "else": {"oneOf": [{"type": "null"}]}}, 5)]
SCORES = ['{"id": "q1", "score": 1}\n{"id": "q2", "score": 0.5}\n', '{"id":1,"score":-0.25,"weight":3,"cluster":"c","slice":"de"}\n',
          '{"score":1e-3,"id":"\\u0041"}\n\n{"score":0,"id":"ü"}\n', '{"id":"a","score":123456.789012345}\n{"id":12,"score":-0}\n']

for i, (pattern, text) in enumerate(PATTERNS):
    write("pyregex", str(i), pattern.encode() + b"\0" + text.encode())
for i, (schema, value) in enumerate(SCHEMAS):
    write("json_schema", str(i), files(json.dumps(schema).encode(), json.dumps(value).encode()))
for i, text in enumerate(SCORES):
    write("scores", str(i), text.encode())
write("scores", "nul", b'{"id": "q\x004, "score": 1}\n{"id": "q1", "score": 0.5}\n')
folder = os.path.join(HERE, "..", "golden", "harness", "a", "model-a")
with open(glob.glob(folder + "/results_*.json")[0], encoding="utf-8") as f:
    results = json.load(f)
for task in "arc_four", "gsm8k", "lambada_openai", "pile_10k", "wmt_more", "boolq_labels":
    rows = [json.loads(r) for r in open(glob.glob("%s/samples_%s_2*" % (folder, task))[0], encoding="utf-8")]
    rows = [{k: v for k, v in r.items() if k not in ("doc", "arguments", "resps", "filtered_resps", "target")} for r in rows if r["doc_id"] < 2]
    small = {"results": {task: {}}, "groups": {"g": {"acc,none": 0.5}}, "group_subtasks": {"g": [task]}, "configs": {task: {}},
             "versions": {task: 1.0}, "n-shot": {task: 0}, "higher_is_better": {task: results["higher_is_better"][task]},
             "n-samples": {task: {"original": 2, "effective": 2}}}
    write("harness", task, files(json.dumps(small).encode(), "".join(json.dumps(r) + "\n" for r in rows).encode()))
