#!/usr/bin/env python3
"""Prints the tables of base/lettercase.c from Python's own str methods.

    python3 tests/golden/make_lettercase.py > table; paste between the marks in base/lettercase.c
"""
import sys
import unicodedata

CPS = [c for c in range(0x80, 0x110000) if not 0xD800 <= c < 0xE000]


def runs(pairs):
    """(from, to, step, delta) for mappings with one delta, one or two code points apart."""
    out = []
    for cp, to in pairs:
        d = to - cp
        if out and out[-1][3] == d:
            first, last, step, _ = out[-1]
            gap = cp - last
            if gap in (1, 2) and (step == gap or first == last):
                out[-1] = (first, cp, gap, d)
                continue
        out.append((cp, cp, 1, d))
    return out


def table(name, rows, form):
    print(f"static const {form} {name}[] = {{")
    line = "\t"
    for row in rows:
        s = "{ " + ", ".join(row) + " },"
        if len(line.expandtabs(8)) + len(s) > 116:
            print(line.rstrip())
            line = "\t"
        line += s + " "
    print(line.rstrip())
    print("};\n")


def hexes(row):
    return [hex(x) if i < 2 else str(x) for i, x in enumerate(row)]


def special(pairs):
    return [[hex(cp)] + [hex(ord(t[i])) if i < len(t) else "0" for i in range(3)] for cp, t in pairs]


upper = [(c, chr(c).upper()) for c in CPS if chr(c).upper() != chr(c)]
lower = [(c, chr(c).lower()) for c in CPS if chr(c).lower() != chr(c)]
title = [(c, chr(c).title()) for c in CPS if chr(c).title() != chr(c).upper()]
print(f"/* Python {sys.version.split()[0]}, Unicode {unicodedata.unidata_version} */")
table("to_upper", [hexes(r) for r in runs([(c, ord(t)) for c, t in upper if len(t) == 1])], "struct run")
table("to_lower", [hexes(r) for r in runs([(c, ord(t)) for c, t in lower if len(t) == 1])], "struct run")
table("upper_long", special([(c, t) for c, t in upper if len(t) > 1]), "struct long_case")
table("title_own", special(title), "struct long_case")
assert [c for c, t in lower if len(t) > 1] == [0x130]
