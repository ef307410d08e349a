#!/usr/bin/env python3
"""Writes tests/golden/template.json: templates, contexts, and what jinja2 makes of them.

    python3 tests/golden/make_template.py

"task" cases use the environment of lm-evaluation-harness (StrictUndefined, keep_trailing_newline, its filter regex_replace), "chat" cases that of
transformers (trim_blocks, lstrip_blocks, loop controls, its own tojson). A case is [kind, template, context index,
text], text null where jinja2 raises. Needs jinja2 3.1.
"""
import json
import os
import re

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

CONTEXTS = [
    {
        "q": "What is 2+2?", "a": "4", "label": 2, "n": 0, "f": 0.1, "g": 1e22, "h": -2.5, "yes": True, "no": False,
        "nothing": None, "empty": "", "big": 9007199254740993, "w": "  padded\t\n", "html": "<b>&'\"</b>",
        "choices": ["red", "green", "blue"], "nums": [3, 1, 2, 2], "mixed": [1, 2.5, "x'y", None, True, ["a"], {"k": 1}],
        "d": {"text": ["A", "B"], "label": [0, 1], "items": "member", "n": None}, "nested": {"x": {"y": [10, {"z": "deep"}]}},
        "uni": "Straße ΑΣ İstanbul ǆ ﬁn", "emoji": "👩‍👩‍👧 né\u0301e", "lines": "one\ntwo\r\nthree\n", "csv": "a, b,,c",
        "people": [{"name": "bo", "age": 3}, {"name": "Al", "age": 2}, {"name": "cy", "age": 3, "tag": "t"}],
        "nl": "a\nb\\c\u00a0d\u200be\u3000f\x7f", "quote": "it's", "both": "it's \"so\"",
    },
    {
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi <there> 'ü' \"q\"\n"},
                     {"role": "assistant", "content": "  Hello!  "}, {"role": "user", "content": "Bye"}],
        "add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>",
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {
            "type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}}}],
    },
    {
        "messages": [{"role": "user", "content": "One"}, {"role": "assistant", "content": "<think>\nhm\n</think>\n\nTwo"},
                     {"role": "user", "content": "Three"}],
        "add_generation_prompt": False, "bos_token": "<s>", "eos_token": "</s>",
    },
]

REGEX = r"""
q | regex_replace("[0-9]", "#")
q | regex_replace("[0-9]", "#", 1)
q | regex_replace("[0-9]", "#", count=1) ~ q | regex_replace(pattern="What", repl="Why", count=0)
q | regex_replace("[0-9]", "#", -1) ~ q | regex_replace("[0-9]", "#", true)
q | regex_replace("(\\w+) (\\w+)", "\\2 \\1") ~ q | regex_replace("(\\w)(\\w)", "[\\g<2>\\g<1>\\g<0>]")
q | regex_replace("(?P<one>\\d)", "<\\g<one>>") ~ q | regex_replace("(a)|(i)", "(\\1,\\2)")
"abxd" | regex_replace("x*", "-") ~ "abc" | regex_replace("", "-") ~ "" | regex_replace("^", "-") ~ "aaa" | regex_replace("a*?", "b")
"a  b \u3000 c" | regex_replace("\\s+", " ") ~ uni | regex_replace("[^\\w\\s]", "") ~ emoji | regex_replace("\\W", "_")
lines | regex_replace("(?m)^", "> ") ~ lines | regex_replace("\\r?\\n", "|") ~ lines | regex_replace("(?s).+", "x")
"x" | regex_replace("x", "a\\nb\\tc\\\\d") ~ "x" | regex_replace("x", "\\.\\-\\ ") ~ "x" | regex_replace("x", "\\0\\07\\101\\012")
"aB" | regex_replace("(?i)b", "c") ~ "aé" | regex_replace("é", "e") ~ "a.b" | regex_replace("\\.", "é\\1"[:1])
"abcdefghijkl" | regex_replace("(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)(k)", "\\11\\10\\1")
html | regex_replace("<[^>]+>", "") ~ choices | join(",") | regex_replace(",", ";")
q | regex_replace("(", "x")
q | regex_replace("x", "\\1")
q | regex_replace("W", "\\1")
q | regex_replace("W", "\\g<1>")
q | regex_replace("W", "\\g<name>")
q | regex_replace("W", "\\g")
q | regex_replace("W", "\\q")
q | regex_replace("nothing of this", "\\q")
q | regex_replace("W", "x\\")
q | regex_replace("W", "\\400")
q | regex_replace("W")
q | regex_replace("W", "x", "1")
n | regex_replace("0", "1")
q | regex_replace(1, "1")
q | regex_replace("W", 1)
missing | regex_replace("W", "x")
choices | regex_replace("W", "x")
q | regex_replace("W", missing)
"""
TASK = r"""
{{q}}
Question: {{ q }}\nAnswer:
{{q.strip()}}|{{ w.strip() }}|{{w.lstrip()}}|{{w.rstrip()}}|{{ "xxaxbx".strip("x") }}|{{ "abcba".lstrip("ba") }}
{{choices}}
{{ choices[label] }} {{choices[0]}} {{ choices[-1] }} {{choices[1:]}} {{ choices[::-1] }} {{choices[:2][1]}}
{{ [q, a] }}
{{['A','B','C'].index('C')}}
{{ d.text }} {{d['label']}} {{ d.items }} {{ d["items"] }}
{{ nested.x.y[1].z }} {{ nested['x']['y'][0] }} {{ nested.x.y.1.z }}
{% if label == 2 %}two{% elif label == 3 %}three{% else %}other{% endif %}
{% if not yes %}no{% else %}yes{% endif %}{% if nothing is none %}N{% endif %}{% if nothing is not none %}M{% endif %}
{{ 'yes' if yes else 'no' }}{{ 'x' if no }}
{{ ('yes' if yes else 'no') ~ 1 ~ none ~ true ~ 1.5 }}
{{ missing is defined }} {{ q is defined }} {{ missing is undefined }} {{ missing|default('dflt') }} {{ empty|default('e', true) }}
{{ missing }}
{{ d.missing }}
{{ d.missing is defined }} {{ nested.x.q is defined }} {{ choices[7] is defined }}
{{ missing.x is defined }}
{{ choices[7] }}
{% if missing %}x{% endif %}
{{ missing|length }}
{{ [missing]|length }}
{{ missing ~ "" }}
{{ missing == 1 }}
{{ 1 in missing }}
{% for x in missing %}{% endfor %}
{{ missing is none }} {{ missing is string }} {{ missing is number }} {{ missing is mapping }}
{{ f }} {{ g }} {{ h }} {{ 1.0 }} {{ 1e16 }} {{ 123456789012345680.0 }} {{ 1e-5 }} {{ 0.0001 }} {{ 1.5e300 }} {{ 2.5e-310 }} {{ 100.0 }} {{ 1/3 }}
{{ big }} {{ big + 1 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ -2 ** 2 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }}
{{ 1 + true }} {{ 1 == 1.0 }} {{ true == 1 }} {{ "1" == 1 }} {{ none == none }} {{ [1] == [1.0] }} {{ (1,) == [1] }} {{ {'a':1} == {'a':1} }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ "a" < "b" }} {{ [1,2] < [1,3] }} {{ 2 >= 2 }} {{ 1 != 2 }}
{{ 1 < "a" }}
{{ 1 / 0 }}
{{ "a" + 1 }}
{{ "a" * 3 }} {{ 3 * "ab" }} {{ [0] * 2 }} {{ [1] + [2] }} {{ (1,) + (2,) }} {{ "a" "b" 'c' }}
{{ "ell" in "hello" }} {{ "x" not in choices }} {{ "red" in choices }} {{ "text" in d }} {{ 1 in nums }} {{ 5 in nums }}
{{ not 1 == 2 and 3 or 4 }} {{ 0 or "" or "z" }} {{ 1 and 2 }} {{ not none }}
{{ mixed }} {{ {'a': 1, 'b': [none, true], "c'": "d\"'"} }} {{ () }} {{ (1,) }} {{ 1, 2 }} {{ [] }} {{ {} }}
{{ nl }} {{ [nl] }} {{ [quote, both] }} {{ [emoji] }} {{ ["\t\\"] }}
{{ uni|upper }} {{ uni|lower }} {{ uni|title }} {{ uni|capitalize }} {{ uni.title() }} {{ "hello wOrld-foo (bar)"|title }} {{ "they're bill's".title() }}
{{ emoji|length }} {{ emoji[0] }} {{ emoji[-1] }} {{ emoji[::-1] }} {{ uni[3:6] }} {{ emoji|list|length }} {{ "abc"|list }} {{ "abcdef"[::2] }} {{ "abcdef"[-2:] }} {{ "abc"[5:] }} {{ "abcdef"[4:1:-1] }} {{ choices[:-1] }} {{ choices[-9:2] }} {{ choices[9::-2] }}
{{ csv.split(",") }} {{ csv.split(", ") }} {{ "  a b  c ".split() }} {{ "a b c d".split(" ", 2) }} {{ " a  b c ".split(none, 1) }} {{ "a-b-c".rsplit("-", 1) }} {{ "".split() }} {{ "".split(",") }} {{ lines.splitlines() }} {{ "a=b=c".partition("=") }} {{ "a=b=c".rpartition("=") }}
{{ "x".split("") }}
{{ q.replace("2", "3") }} {{ q|replace("2", "3", 1) }} {{ "aaa".replace("a", "b", 2) }} {{ "abc".replace("", "-") }} {{ 123|replace("2", "x") }}
{{ q.upper() }} {{ q.lower() }} {{ "abc".capitalize() }} {{ q.startswith("What") }} {{ q.endswith(("x", "?")) }} {{ q.find("is") }} {{ q.find("zz") }} {{ q.index("is") }} {{ q.count("2") }} {{ "banana".rfind("an") }} {{ "banana".find("an", 2) }} {{ "ab".join(["x", "y"]) }}
{{ q.index("zz") }}
{{ choices.index("pink") }}
{{ ", ".join([1]) }}
{{ choices|join }} {{ choices|join(", ") }} {{ nums|join("-") }} {{ people|join("/", attribute="name") }} {{ "abc"|join(".") }} {{ [1, none, 2.0]|join(" ") }}
{{ "42"|int }} {{ "x"|int }} {{ "x"|int(7) }} {{ "3.9"|int }} {{ 3.9|int }} {{ " 12 "|int }} {{ "ff"|int(0, 16) }} {{ "0x1A"|int(0,16) }} {{ "1_000"|int }} {{ none|int(5) }} {{ true|int }} {{ "-5"|int }}
{{ "1.5"|float }} {{ "x"|float }} {{ "x"|float(2.5) }} {{ 3|float }} {{ "1e3"|float }} {{ "nan"|float }} {{ "inf"|float }}
{{ 3|string }} {{ 3.0|string }} {{ none|string }} {{ choices|string }} {{ label|string ~ "!" }}
{{ nums|sort }} {{ nums|sort(reverse=true) }} {{ ["b","A","c"]|sort }} {{ ["b","A","c"]|sort(case_sensitive=true) }} {{ people|sort(attribute="age")|map(attribute="name")|list }} {{ people|map(attribute="name")|sort|join(",") }}
{{ nums|unique|list }} {{ ["a","A","b"]|unique|list }} {{ nums|min }} {{ nums|max }} {{ nums|sum }} {{ people|sum(attribute="age") }} {{ people|max(attribute="age") }} {{ [1,2.5]|sum }} {{ nums|first }} {{ nums|last }} {{ nums|reverse|list }} {{ "abc"|reverse }} {{ "abc"|first }}
{{ []|first }}
{{ []|max }}
{{ ["A","b"]|map("lower")|list }} {{ people|map(attribute="tag", default="-")|join }} {{ nums|select("odd")|list }} {{ nums|reject("gt", 1)|list }} {{ people|selectattr("tag", "defined")|map(attribute="name")|first }} {{ people|rejectattr("age", "equalto", 3)|list }} {{ [0, 1, "", "x"]|select|list }} {{ people|selectattr("age", "in", [2])|list|length }}
{{ nums|map("string") }}
{{ nums|map("string")|length }}
{{ d|dictsort }} {{ {"b":1,"A":2}|dictsort }} {{ {"b":1,"A":2}|dictsort(true) }} {{ {"b":1,"a":2}|dictsort(by="value") }} {{ {"b":1}|items|list }}
{{ d.get("text") }} {{ d.get("zz") }} {{ d.get("zz", "dd") }} {{ {"x":1}.items() }} {{ {"x":1}.keys()|list }} {{ {"x":1}.values()|list }} {{ d|length }} {{ d.keys()|join(",") }}
{{ html|e }} {{ html|escape }} {{ html|safe }} {{ html|tojson }} {{ d|tojson }} {{ mixed|tojson }} {{ uni|tojson }} {{ {"b": 1, "a": [1, {"c": 2}]}|tojson(indent=2) }} {{ []|tojson(indent=2) }} {{ emoji|tojson }} {{ nl|tojson }}
{{ 2.5|round }} {{ 3.5|round }} {{ 2.675|round(2) }} {{ 42.55|round(1, "floor") }} {{ 42.1|round(0, "ceil") }} {{ 7|round }} {{ -3|abs }} {{ -2.5|abs }}
{{ "%s-%d-%.2f-%5s|%-5s|%05d|%x|%r|%%" % ("a", 3, 1.005, "b", "c", 42, 255, "q'") }} {{ "%s" % 1 }} {{ "%(x)s" % {"x": 1} }} {{ "%s %s"|format("a", "b") }} {{ "%+d" % 5 }}
{{ "%d" % "x" }}
{{ "%s %s" % "a" }}
{{ "{} {}".format("a", 1) }} {{ "{0}{1}{0}".format("x", "y") }} {{ "{n:.2f}|{n:8.1f}|{s:>4}|{s:<4}|{s:^5}|{s:*^5}".format(n=3.14159, s="ab") }} {{ "{:,}".format(1234567) }} {{ "{:05d}".format(42) }} {{ "{:.1%}".format(0.256) }} {{ "{{}}{}".format(none) }} {{ "{!r}".format("a") }}
{{ "{:.3}|{:.3}|{:.1}|{:.3}|{:.2}|{:.0}|{:.4}".format(1234567.0, 0.123456, 0.5, 123.0, 0.0, 2.5, 99.9999) }} {{ "{:.20}|{:-1,}|{:+1.0}|{:+05}".format(f, 7, -0.0, 9) }} {{ "{:.3}|{:.3}|{:.17}|{:.5}".format(g, 0.0000123, -0.0, 1234.0) }}
{{ "{:+}|{:+}|{: }|{: }|{:-}|{:+}|{:+,}".format(0.5, 3, 3, h, 3, 0, 1234.5) }} {{ "{:,}|{:,}|{:,}|{:,.1f}|{:,}".format(1234567.5, g, -1234567, 1234567.25, 999) }} {{ "{:05}|{:07}|{:+08}|{:05}".format(1.5, h, 2.5, true) }}
{{ "{:010,}|{:012,}|{:09,}|{:011,}|{:+012,.2f}|{:07,}|{:08,}".format(1234567, 1234567, 1234567, -1234567, 1234.5, 12, 1.5) }} {{ "{:<05}|{:>05}|{:^07}|{:*<05}|{:05}|{:.2}|{:6.2}|".format(3, -3, 12, 7, "ab", "xyz", "xyz") }}
{{ "{:x}|{:X}|{:o}|{:#x}|{:#X}|{:#o}".format(-255, -255, -8, 255, 255, 8) }} {{ "{:#010x}|{:+x}|{:08x}|{:x}".format(-255, 10, -1, -9223372036854775807 - 1) }} {{ "{:e}|{:E}|{:g}|{:G}|{:#.3g}|{:#.0f}".format(f, g, 5, g, 1.0, 3) }} {{ "{:.0%}|{:8.1%}|{:08.1%}|{:+%}".format(0.5, 0.256, -0.256, 1) }}
{{ "%x|%X|%o|%#x|%#X|%#o|%+x|% x|%08x|%-8x|%#010x|%.4x|%#.4x" % (-255, -255, -8, -255, 255, 8, 10, 10, -255, -255, -255, -10, 10) }} {{ "%.0d|%.0x|%.d|%.3d|%+012.10i|%-+6d|%- 6d|%06d|%-06d|% d|%+ d|%u" % (0, 0, 0, -5, -7, 3, 3, -42, 42, 7, 7, -3) }}
{{ "%d|%i|%d|%d|%05d" % (2.9, -2.9, -0.5, 1e18, true) }} {{ "%f|%F|%.0f|%#.0f|%+.1f|%08.2f|%-8.2f|% g|%G|%#g|%e|%.3g|%g" % (1, h, 2.5, 2.5, 0.05, h, h, 0.5, g, 1, 0.00012, 1234567, -0.0) }} {{ "%c|%3c|%-3c|%c|%05s|%-5.1s|%.2r|%5s" % ("é", "a", "b", 8364, "ab", "xy", "abc", none) }}
{{ "{!r:>6}|{!s:<6}|{!s:.2}|{:}|{}".format("a", 1, 3.25, none, true) }}
{{ "{:f}|{:F}|{:05}|{:.2}|{:,}|{:+}".format(g * 1e300, g * 1e300, g * 1e300, g * 1e300, g * 1e300, -(g * 1e300)) }} {{ "%f|%05.1f|%E" % (g * 1e300, -(g * 1e300), g * 1e300) }}
{{ "{:d}".format(1.5) }}
{{ "{:x}".format(f) }}
{{ "{:.2d}".format(3) }}
{{ "{:.2}".format(3) }}
{{ "{:.}".format(f) }}
{{ "{:d}".format("3") }}
{{ "{:+}".format("a") }}
{{ "{:,}".format("a") }}
{{ "{:,x}".format(255) }}
{{ "{:s}".format(3) }}
{{ "{:5}".format(none) }}
{{ "{:5}".format([1]) }}
{{ "{:i}".format(3) }}
{{ "%x" % 1.5 }}
{{ "%x" % "a" }}
{{ "%c" % "ab" }}
{{ "%c" % 1.5 }}
{{ "%d" % (g * 1e300) }}
{{ "ab".ljust(4) }}| {{ "ab".rjust(4, ".") }}| {{ "ab".center(5) }}| {{ "-42".zfill(5) }} {{ "foobar".removeprefix("foo") }} {{ "foobar".removesuffix("bar") }} {{ " ".isspace() }} {{ "AB".isupper() }} {{ "aß".islower() }}
{% for c in choices %}{{ loop.index }}/{{ loop.length }}:{{ c }}{% if not loop.last %}, {% endif %}{% endfor %}
{% for c in choices %}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.previtem }}{{ loop.cycle("a", "b") }};{% endfor %}
{% for c in choices %}{{ loop.previtem|default("-") }}{{ loop.nextitem|default("+") }}{% endfor %}{% for x in nums %}{{ loop.changed(x) }}{% endfor %}
{% for k, v in {"a": 1, "b": 2}.items() %}{{ k }}={{ v }};{% endfor %}{% for k in d %}{{ k }},{% endfor %}{% for c in "añ" %}[{{ c }}]{% endfor %}
{% for x in [] %}x{% else %}none{% endfor %}{% for x in nums if x > 1 %}{{ x }}{{ loop.index }}{{ loop.last }}{% else %}no{% endfor %}
{% for a in [1,2] %}{% for b in [3,4] %}{{ a }}{{ b }}{{ loop.index }}{{ loop.depth }} {% endfor %}{{ loop.index }}{% endfor %}
{% set x = 1 %}{% for i in [1,2] %}{{ x }}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}
{% set a, b = 1, "two" %}{{ a }}{{ b }}{% set t %}block {{ a }}{% endset %}[{{ t }}]{% set u | upper %}up{% endset %}{{ u }}
{% set ns = namespace(n=0, s="") %}{% for i in nums %}{% set ns.n = ns.n + i %}{% set ns.s = ns.s ~ i %}{% endfor %}{{ ns.n }}{{ ns.s }}
{% macro greet(name, greeting="Hi") %}{{ greeting }} {{ name }}{% endmacro %}{{ greet("Bo") }}, {{ greet("Al", greeting="Yo") }}{{ greet(name="C")|upper }}
{% macro m(x) %}{% if x > 0 %}{{ x }}{{ m(x - 1) }}{% endif %}{% endmacro %}{{ m(5) }}{% set y = 3 %}{% macro see() %}{{ y }}{% endmacro %}{% set y = 4 %}{{ see() }}{% for y in [9] %}{{ see() }}{% endfor %}
{% macro m(x) %}{{ x }}{% endmacro %}{{ m() }}
{% macro m(x) %}{{ x }}{% endmacro %}{{ m(1, 2) }}
{% with a = 1, b = q %}{{ a }}{{ b }}{% endwith %}{% filter upper %}shout {{ q }}{% endfilter %}
{# a comment #}a{#- strip -#}   b {%- if yes %}  c  {%- endif -%}   d{{- " e" -}}   f
{% raw %}{{ not }} {% this %}{% endraw %} after
a  {%- raw -%}  {{ x }}  {%- endraw -%}  b
{{ range(5)|list }} {{ range(1, 10, 3)|list }} {{ range(3) }} {{ range(5, 0, -2)|list }} {% for i in range(3) %}{{ i }}{% endfor %}
{{ "é\u00e9\x41\101\n\t\\\'\"\q" }} {{ 'it\'s' }} {{ 0x10 + 0b11 + 0o17 + 1_000 }}
{{ {"a": {"b": 1}}.a.b }}{{ {'x':{'y':2}}}} {{ [[1,2],[3]][0][1] }} {{ (choices)[0] }} {{ {"k": "v"}["k"] }}
{{ -label }} {{ +label }} {{ --label }} {{ -label|abs }} {{ 2 - -2 }} {{ 10 - 2 - 3 }} {{ 2 * 3 + 4 * 5 }} {{ 1 ~ 2 + 3 }} {{ "a" ~ 1 * 2 }}
{{ label is even }} {{ label is odd }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }} {{ label is integer }} {{ f is float }} {{ yes is boolean }} {{ yes is number }} {{ "A" is upper }} {{ "a" is lower }} {{ choices is iterable }} {{ choices is sequence }} {{ d is mapping }} {{ d is sequence }} {{ q is sameas q }} {{ yes is true }} {{ no is false }} {{ 1 is true }} {{ 3 is eq 3 }} {{ 3 is gt 2 }} {{ 1 is in [1] }} {{ range is callable }} {{ label is not string }} {{ 1 is integer and 2 is integer }}
{{ dict(a=1, b=2) }} {{ dict({"x": 1}, y=2)["x"] }}
{{ x y }}
{{ 1 + }}
{% if %}x{% endif %}
{% if yes %}unclosed
{% endif %}
{{ "unclosed }}
{{ q|nosuchfilter }}
{{ q is nosuchtest }}
{% nosuch %}
{{ q }
{{ [1, 2 }}
{{ q.nosuch() }}
{{ 3() }}
{{ label.x }}
{{ 1.5.x }}
{{ "a".upper }} x
{% for x in 5 %}{% endfor %}
{% set 1 = 2 %}
{{ 'a'|join(1, 2, 3) }}
{% for a, b in [[1, 2, 3]] %}{% endfor %}
{{ lines|indent }}| {{ "a\n\nb"|indent(2, true) }}| {{ "a\n\nb"|indent(2, blank=true) }}| {{ "a\nb"|indent("> ") }}
{{ "abc"|center(9) }}| {{ "  x "|trim }}| {{ "xxaxx"|trim("x") }}| {{ 5|trim }}
{{ people[0].name }} {{ people[0]["age"] + 1 }} {{ people|length }} {{ people[-1].tag }} {{ people[0].tag is defined }}
{{ true }} {{ True }} {{ false }} {{ none }} {{ None }} {{ not true }}
{{ a if a is defined else b }} {{ (a if no else q)|upper }} {{ 1 if no else 2 if no else 3 }} {{ [1 if yes else 2, 3] }}
{{ doc_to_text }}
{{ 1e400 }} {{ 5 // 0.3 }} {{ -5 // 0.3 }} {{ 1e15 + 0.3 }} {{ 0.1 + 0.2 }} {{ 3.0 * 2 }} {{ 1e100 }} {{ -0.0 }}
{{ " a ".strip() ~ "|" ~ "\u3000b\u00a0".strip() }} {{ "\u2003x\u200b".strip()|length }} {{ "a\x1cb\x85c".split() }} {{ "a\x1cb\x85c\u2028d".splitlines() }}
{{ "ΑΣΣ. Σ ΑΣ'".lower() }} {{ "ŉ ǰ ΐ ﬃ".upper() }} {{ "ŉa ﬃx".title() }} {{ "ÀÉ".lower() }} {{ "ʼn" }} {{ "ⅷ ⓐ".upper() }}
"""

CHAT = [
    # ChatML
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}\n",
    # a default system message
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ 'sys: default\n' }}{% endif %}"
    "{{ message.role ~ ': ' ~ message.content | trim ~ '\n' }}{% endfor %}",
    # alternation checked, blocks on lines of their own
    "{{ bos_token }}\n{% if messages[0].role == 'system' %}\n    {% set loop_messages = messages[1:] %}\n"
    "    {% set system = messages[0].content %}\n{% else %}\n    {% set loop_messages = messages %}\n"
    "    {% set system = false %}\n{% endif %}\n{% for m in loop_messages %}\n"
    "    {% if (m.role == 'user') != (loop.index0 % 2 == 0) %}\n        {{ raise_exception('roles must alternate') }}\n"
    "    {% endif %}\n    {% if loop.index0 == 0 and system %}\n[SYS]{{ system }}[/SYS]\n    {% endif %}\n"
    "    {% if m.role == 'user' %}\n[INST] {{ m.content.strip() }} [/INST]\n    {% elif m.role == 'assistant' %}\n"
    " {{ m.content.strip() }}{{ eos_token }}\n    {% endif %}\n{% endfor %}\n",
    "{{ raise_exception('no: ' ~ messages|length) }}",
    # tools
    "{%- if tools %}\n    {{- '# Tools\\n' }}\n    {%- for tool in tools %}\n        {{- '\\n' }}\n"
    "        {{- tool | tojson }}\n    {%- endfor %}\n{%- else %}\n    {{- 'none' }}\n{%- endif %}\n",
    "{% for t in tools %}{{ t | tojson(indent=4) }}{% endfor %}{{ messages | tojson }}",
    # a namespace that walks backwards, thinking cut off
    "{%- set ns = namespace(last=-1, multi=true) %}\n{%- for m in messages[::-1] %}\n"
    "    {%- set index = (messages|length - 1) - loop.index0 %}\n"
    "    {%- if ns.multi and m.role == \"user\" and m.content is string and not(m.content.startswith('<t>') and "
    "m.content.endswith('</t>')) %}\n        {%- set ns.multi = false %}\n        {%- set ns.last = index %}\n"
    "    {%- endif %}\n{%- endfor %}\n{{ ns.last }}\n{% for m in messages %}\n    {%- if '</think>' in m.content %}\n"
    "{{- m.content.split('</think>')[-1].lstrip('\\n') }}|{{ m.content.split('</think>')[0].rstrip('\\n')"
    ".split('<think>')[-1].lstrip('\\n') }}\n    {%- endif %}\n{%- endfor %}\n",
    "{%- if enable_thinking is defined and enable_thinking is false %}off{% else %}on{% endif %}{{ missing }}|{{ missing|length }}"
    "|{% for x in missing %}x{% else %}e{% endfor %}|{{ missing ~ 'a' }}|{{ not missing }}|{{ missing == none }}"
    "|{{ missing|default('d') }}|{{ missing|upper }}|{{ 'x' in missing }}|{{ missing|list }}",
    "{{ missing.x }}", "{{ missing + 1 }}", "{{ missing() }}", "{{ missing|tojson }}", "{{ missing|int }}", "{{ missing['x'] }}",
    "{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}{{ m.role }}"
    "{% if loop.index > 2 %}{% break %}{% endif %},{% endfor %}",
    "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}{% endif %}{% endfor %}",
    "  {% if true %}\n  x\n  {%+ if true %}y{% endif +%}\n  {% endif %}\nz  {# c #}\n  {# d #}\n{{ 1 }}\n\n",
    "a\r\nb\rc\n{% set x = 1 %}\r\nd\n",
    "{%- macro show(m, upper=false) -%}\n    [{{ m.role | upper if upper else m.role }}]\n{%- endmacro -%}\n"
    "{{ show(messages[0]) }}{{ show(messages[-1], true) }}{{ show(messages[1], upper=true) }}",
    "{{ strftime_now('%Y') if strftime_now is defined else 'pinned' }}",
    "{{- bos_token }}\n{%- set a = messages | selectattr('role', 'equalto', 'user') | list %}{{ a | length }}"
    "{{ messages | map(attribute='role') | join(',') }}{{ (messages | last).content }}"
    "{{ messages | rejectattr('role', 'in', ['user', 'system']) | map(attribute='content') | map('trim') | list }}",
    "{% set x = {'role': 'user', **messages[0]} %}", "{% include 'x' %}", "{% extends 'x' %}", "{{ messages[0].content[:2] }}",
    "   {{ 1 }}   \n   {%- if true -%}\n   2   \n   {%- endif +%}   \n 3",
    "{% raw %}\n  {{ x }}\n{% endraw %}\n  t", "{%- raw %}\n {% endraw -%}\n t", "x\n  {% raw %}y{% endraw %}",
    "{% for i in range(3) %}\n{{ i }}\n{% endfor %}\nend", "{#- a -#}\n b\n  {#+ c +#}\n d",
]


def environment(kind):
    if kind == "task":
        env = jinja2.Environment(loader=jinja2.BaseLoader(), undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
        env.filters["regex_replace"] = regex_replace
        return env

    class Generation(jinja2.ext.Extension):
        tags = {"generation"}

        def parse(self, parser):
            line = next(parser.stream).lineno
            body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
            return jinja2.nodes.CallBlock(self.call_method("_run"), [], [], body).set_lineno(line)

        def _run(self, caller):
            return caller()

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = lambda x, ensure_ascii=False, indent=None, separators=None, sort_keys=False: json.dumps(
        x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
    env.globals["raise_exception"] = raise_exception
    return env


def regex_replace(string, pattern, repl, count=0):
    """The harness's own (lm_eval/utils.py)."""
    return re.sub(pattern, repl, string, count=count)


def render(kind, text, context):
    try:
        out = environment(kind).from_string(text).render(**context)
    except Exception:  # whatever it is, ours must fail too
        return None
    return None if " at 0x" in out else out  # the address of a generator or method: ours refuses to print those


def main():
    cases = [["task", t, 0] for t in TASK.strip("\n").split("\n")]
    cases += [["task", t, 0] for t in ("", "\n", "a\n\n", "{{ q }}\n", "a\r\nb\rc\r\n", "{{ '\r\n' }}|", " {% if yes %} \n x {% endif %} \n",
                                       "{%- if yes -%} \n x \u3000{%- endif %}\u00a0", "x\n{#\n#}\ny", "{{\nq\n}}", "{% if yes\n%}a{%endif%}",
                                       "{{ '{{' }}{{ '%}' }}{{ \"}}\" }}", "{ { q } }", "{{ {'a': '}}'}['a'] }}", "a{{-'b'-}}c", "{{+1}} {{- 2 }}", "{{ 1 -}} 2")]
    cases += [["task", "{{ " + t + " }}", 0] for t in REGEX.strip("\n").split("\n")]
    cases += [["chat", t, c] for t in CHAT for c in (1, 2)]
    out = [[k, t, c, render(k, t, CONTEXTS[c])] for k, t, c in cases]
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "template.json")
    with open(path, "w", encoding="utf-8") as f:
        f.write('{"contexts": ' + json.dumps(CONTEXTS, ensure_ascii=False) + ',\n"cases": [\n')
        f.write(",\n".join(json.dumps(c, ensure_ascii=False) for c in out))
        f.write("\n]}\n")


if __name__ == "__main__":
    main()
