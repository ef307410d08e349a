#!/usr/bin/env python3
"""make_pieces_corpus.py DIR: seeds for fuzz_pieces.c. The first byte is the kind (0 row, 1 cut, 2 difference, 3 sealed)."""

import hashlib
import json
import os
import struct
import sys

out = sys.argv[1]
os.makedirs(out, exist_ok=True)


def seed(name, kind, data):
    with open(os.path.join(out, name), "wb") as f:
        f.write(bytes([kind]) + data)


def row(*pieces):
    body = b"".join(hashlib.sha256(bytes(n)).digest() + struct.pack("<QQQ", n, key, width) for n, key, width in pieces)
    return struct.pack("<QQ", sum(p[0] for p in pieces), len(pieces)) + body


def sealed(kind, body):
    head = kind.encode().ljust(16, b"\n") + body
    return head + hashlib.sha256(head).digest()


two = row((5, 0, 1), (7, 9, 2))
seed("row", 0, two)
seed("row_empty", 0, row())
header = json.dumps({"a": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]},
                     "b": {"dtype": "F32", "shape": [2, 1], "data_offsets": [8, 16]}, "__metadata__": {"x": "y"}}).encode()
seed("safetensors", 1, struct.pack("<Q", len(header)) + header + bytes(range(16)))
seed("text", 1, b"no header at all " * 10)
seed("difference", 2, bytes(range(64)) * 2)
seed("difference_raw", 2, bytes([0, 0x40, 1, 0]) + struct.pack("<Q", 4) + b"abcd")
seed("sealed", 3, sealed("assay-recipes/1", two))
