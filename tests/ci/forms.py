#!/usr/bin/env python3
"""forms.py RENDER XSD REPORT…: JUnit by Jenkins's XSD (of its xUnit plugin, as pytest's source archive carries it) and lxml,
Code Quality by the keys that GitLab's reader asks for,
OpenMetrics by prometheus_client's parser and by GitLab's reading of a line, CSV by Python's csv, JSON by jsonschema.

What is read back is compared with the report's own rules, so that a form that is well-formed and wrong fails too.
"""
import csv
import io
import json
import pathlib
import re
import shlex
import subprocess
import sys

import jsonschema
from lxml import etree
from prometheus_client.openmetrics.parser import text_string_to_metric_families

render, xsd, reports = sys.argv[1], sys.argv[2], sys.argv[3:]
xsd = etree.XMLSchema(etree.parse(xsd))
schema = json.loads((pathlib.Path(__file__).parents[2] / "docs/report.schema.json").read_text(encoding="utf-8"))
jsonschema.Draft202012Validator.check_schema(schema)


def written(form, path):
    return subprocess.run([render, form, path], check=True, capture_output=True).stdout.decode("utf-8")


for path in reports:
    report = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(report)
    gated = [r for r in report["rules"] if r.get("gated", True)]

    tree = etree.fromstring(written("junit", path).encode())
    xsd.assertValid(tree)
    cases = tree.findall(".//testcase")
    assert 0 < len(cases) <= max(1, len(gated)), (len(cases), len(gated))
    suite = tree.find("testsuite")
    assert int(suite.get("failures")) == len(tree.findall(".//failure")) and int(suite.get("tests")) == len(cases)
    assert (report["exit"] == 0) == (not tree.findall(".//failure") and not tree.findall(".//error")), "a red test is a red run"

    text = written("openmetrics", path)
    families = {f.name: f for f in text_string_to_metric_families(text)}
    (code,) = families["assay_exit_code"].samples
    assert code.value == report["exit"]
    values = [s.value for s in families["assay_metric"].samples]
    named = {}
    for rule in gated:
        named.setdefault((rule.get("task"), rule.get("metric"), rule.get("filter")), set()).add(rule.get("candidate"))
    for rule in gated:  # of two metrics of one name, which only a hostile report has, the first is written
        if rule.get("candidate") is not None and len(named[rule.get("task"), rule.get("metric"), rule.get("filter")]) == 1:
            assert any(abs(v - rule["candidate"]) < 1e-6 for v in values), rule["candidate"]
    for line in text.splitlines():  # lib/gitlab/ci/parsers/metrics/generic.rb: comments go, then a shell's words
        words = shlex.split(re.sub(r"#.*$", "", line))
        assert len(words) in (0, 2), line
        assert not words or re.fullmatch(r"-?[0-9.]+", words[1]), line

    issues = json.loads(written("codequality", path))  # lib/gitlab/ci/reports/codequality_reports.rb: what it asks of an issue
    assert len({i["fingerprint"] for i in issues}) == len(issues)
    for i in issues:
        assert i["description"] and i["location"]["path"] and i["location"]["lines"]["begin"] >= 1
        assert i["severity"] in ("info", "minor", "major", "critical", "blocker") and re.fullmatch("[0-9a-f]{64}", i["fingerprint"])
        assert not re.search(r"[\x00-\x1f\x7f-\x9f]", i["description"])
    assert (report["verdict"] == "FAIL") <= any(i["severity"] == "critical" for i in issues)
    assert (report["verdict"] == "ERROR") == any(i["severity"] == "blocker" for i in issues)

    env = dict(re.fullmatch(r"(ASSAY_RESULT_[A-Z]+)=([A-Za-z0-9._/@+-]*)", line).groups() for line in written("dotenv", path).splitlines())
    assert env["ASSAY_RESULT_VERDICT"] == report["verdict"] and env["ASSAY_RESULT_EXIT"] == str(report["exit"])
    assert len(written("dotenv", path).encode()) < 5120  # GitLab's limit

    rows = list(csv.DictReader(io.StringIO(written("csv", path), newline="")))
    assert rows and all(None not in r and None not in r.values() for r in rows)
    assert not any(v[:1] in "=+@" for r in rows for k, v in r.items() if k in ("task", "metric", "filter") and v)
    print(f"ok - {pathlib.Path(path).name}: {len(cases)} test cases, {sum(len(f.samples) for f in families.values())} samples, {len(rows)} lines")
