#!/usr/bin/env python3
"""Writes model/normalize_table.c: what the tokenizers library's normalizers do with each character.

    python3 tests/golden/make_normalize.py

The library carries the tables of an old crate (Unicode 9 or so), so each entry is asked of the library itself; Python's
unicodedata only proposes (decompositions in one step, combining classes). Needs tokenizers (made with 0.23.3).
"""
import os
import unicodedata as u

from tokenizers import normalizers

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "model", "normalize_table.c")
NFC, NFD, NFKD = (getattr(normalizers, n)().normalize_str for n in ("NFC", "NFD", "NFKD"))
LOWER, STRIP = normalizers.Lowercase().normalize_str, normalizers.StripAccents().normalize_str
CHARS = [chr(c) for c in range(0x110000) if not (0xD800 <= c < 0xE000 or 0xAC00 <= c < 0xD7A4)]


def canonical():
    """"=cab": c is a and b, and they compose; "-ca" or "-cab": they do not."""
    out = []
    for c in CHARS:
        if NFD(c) == c:
            continue
        parts = u.decomposition(c)
        parts = "".join(chr(int(p, 16)) for p in parts.split())
        assert NFD(parts) == NFD(c) and 1 <= len(parts) <= 2, hex(ord(c))
        out.append(("=" if len(parts) == 2 and NFC(c) == c and NFC(parts) == c else "-") + c + parts)
    return out


def compatible():
    return [c + NFKD(c) for c in CHARS if NFKD(c) != NFD(c)]


def classes():
    """(from, to, class): a mark has a class in the library's tables if it changes places with one of another class."""
    out = []
    for c in CHARS:
        k = u.combining(c)
        low, high = "\u0334", "\u0345"  # classes 1 and 240
        if not k or not (NFD("a" + c + low) == "a" + low + c or NFD("a" + high + c) == "a" + c + high):
            continue
        if out and out[-1][1] == ord(c) - 1 and out[-1][2] == k:
            out[-1][1] = ord(c)
        else:
            out.append([ord(c), ord(c), k])
    return out


def marks():
    out = []
    for c in CHARS:
        if STRIP(c) == c:
            continue
        assert STRIP(c) == ""
        if out and out[-1][1] == ord(c) - 1:
            out[-1][1] = ord(c)
        else:
            out.append([ord(c), ord(c)])
    return out


def lower():
    """(from, to, step, delta), and the one letter that becomes two is in the code."""
    out = []
    for c in CHARS:
        low = LOWER(c)
        if low == c:
            continue
        if len(low) != 1:
            assert (c, low) == ("\u0130", "i\u0307")
            continue
        d, n = ord(low) - ord(c), ord(c)
        last = out[-1] if out else None
        if last and last[3] == d and (n - last[1] == last[2] or (last[0] == last[1] and n - last[1] <= 2)):
            last[2], last[1] = n - last[1], n
        else:
            out.append([n, n, 1, d])
    return out


def text(f, name, entries):
    f.write(f"const char normalize_{name}[] =\n")
    line = ""
    for e in entries:
        e = "".join(f"\\x{ord(ch):02x}\" \"" if ord(ch) < 0x20 else "\\" + ch if ch in "\"\\" else ch for ch in e) + "\\n"
        if len((line + e).encode()) > 110:
            f.write(f'\t"{line}"\n')
            line = ""
        line += e
    f.write(f'\t"{line}";\n\n')


def numbers(f, kind, name, rows):
    f.write(f"const {kind} normalize_{name}[] = {{")
    for i, r in enumerate(rows):
        f.write(("\n\t" if i % 5 == 0 else " ") + "{ " + ", ".join(hex(x) if k < 2 else str(x) for k, x in enumerate(r)) + " },")
    f.write(f"\n}};\nconst size_t normalize_n_{name} = ARRAY_LEN(normalize_{name});\n\n")


def main():
    with open(OUT, "w", encoding="utf-8") as f:
        f.write("""/* normalize_table.c: made by tests/golden/make_normalize.py from the tokenizers library; do not edit.
 *
 * canonical   "=cab" lines: c is a and b and they compose to it; "-ca", "-cab": it is taken apart only
 * compatible  "cxyz" lines: the whole compatible decomposition where it is another than the canonical one
 * classes     combining classes; marks: what StripAccents removes; lower: letters that move by the same distance */
#include "base/base.h"

#include "model/normalize_int.h"

/* clang-format off */
""")
        text(f, "canonical", canonical())
        text(f, "compatible", compatible())
        numbers(f, "struct normalize_class", "classes", classes())
        numbers(f, "struct normalize_range", "marks", marks())
        numbers(f, "struct normalize_run", "lower", lower())


if __name__ == "__main__":
    main()
