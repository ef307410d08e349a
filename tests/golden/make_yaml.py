#!/usr/bin/env python3
"""Writes yaml.json: quoted YAML scalars and the text that PyYAML reads. Needs yaml:  python3 tests/golden/make_yaml.py

"python": read so by yaml_parse_python() only (line breaks of YAML 1.1). make check-reference compares more, at random.
"""
import json
import os

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
TEXTS = [
    # doubled quotes
    "''", "''''", "''''''", "''''''''", "'A '''' B'", "'A '''' B ''''''C '' D'", "'''a'", "'a'''", "'{{ q | replace('','', '''') }}'",
    "'{{['''', q]}}'", "'é '''' 日 '''''''' 😀'", "'a\\''b\"c\\n'",
    # folding
    "'a\n b'", "'a  \n\n \t b'", "'a\n\n\n b'", "'  a  b  '", "' \n a \n '", "'\n'", "'\n\n\n'", "'a''\n''b'", "'a\r\n\r\n b'", "'a\r b'",
    '"a\n b"', '"a \t\n\n  \n b"', '"  a\tb  "', '"\n"', '"a \n "', '" \n a"', '"a\r\n b\r\n\r\n c"', '"a\\n\n b"', '"\\ \n \\ "',
    # escaped line breaks
    '"a\\\n  b"', '"a  \\\n  b"', '"a\\\n  \\  b"', '"a\\\\\\\n  \\ b"', '"x\\\\\\\n   \\n?-"', '"- \\\n  \n\n  \\x41"', '"\\\n"', '"\\\n\n"',
    '"\\\n \\\n a"', '"a\\\r\n  b"', '"a\\\r  b"', '"$t \\\\\\\n  \\ in \\\\mathbb{R}$\\n\\\n  \\ b\\n"',
    # escapes
    '"\\a\\b\\t\\n\\v\\f\\r\\e\\ \\"\\/\\\\\\N\\_\\L\\P"', '"a\\\tb"', '"\\x41\\xe9\\xFF"', '"\\u00e9\\u65E5"', '"\\U0001F600\\U0010ffff"', '"\\x4a4"',
    '"\'\'"', '"\'"', '""', '"# {{x}}: - [a]"',
]  # fmt: skip
PYTHON = [
    "'a\x85 b'", "'a\u2028 b'", "'a \u2029 \n\u2028 b'", "'a\n\x85\u2028 b'", '"a\u2028\u2028 b"', '"a\\\n\x85 b"', '"a\x85\x85b"',
]  # fmt: skip


def case(text):
    return {"text": text, "value": yaml.load(text, Loader=yaml.CSafeLoader)}


with open(os.path.join(HERE, "yaml.json"), "w", encoding="utf-8") as f:
    out = {"both": [case(t) for t in TEXTS], "python": [case(t) for t in PYTHON]}
    json.dump(out, f, indent=1)
    f.write("\n")
