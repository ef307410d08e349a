#!/usr/bin/env python3
"""Writes tests/golden/rows/: data files in every format that base/rows.c reads, and what pyarrow (pandas, for CSV) says is
in them, as JSONL beside each.

    pip install pyarrow pandas; python3 tests/golden/make_rows.py tests/golden/rows

What JSON has no form for stands there as the text that Python prints, moments in UTC (base/scalar.c). Made with pyarrow
26.0.1 and pandas 3; the seed is fixed, but another version of pyarrow may write other bytes.
"""
import bz2
import datetime as dt
import decimal
import gzip
import io
import json
import lzma
import math
import os
import random
import sys
import tarfile
import uuid
import zipfile

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

OUT = sys.argv[1]
D = decimal.Decimal
random.seed(7)


def plain(v):
    """A Python value as the reader gives it."""
    if v is None or isinstance(v, (bool, str)):
        return v
    if isinstance(v, int):
        return v if v < 2**63 else str(v)
    if isinstance(v, float):
        return v if math.isfinite(v) else str(v)
    if isinstance(v, (list, tuple)):
        return [plain(x) for x in v]
    if isinstance(v, dict):
        return {k: plain(x) for k, x in v.items()}
    if isinstance(v, dt.datetime) and v.tzinfo:
        return str(v.astimezone(dt.timezone.utc))
    return str(v)


def expect(name, rows):
    with open(f"{OUT}/{name}.jsonl", "w", encoding="utf-8") as f:
        for r in rows:
            f.write(json.dumps(plain(r), ensure_ascii=False) + "\n")


def parquet(name, table, **options):
    path = f"{OUT}/{name}.parquet"
    pq.write_table(table, path, **{"write_statistics": False, "store_schema": False} | options)
    expect(f"{name}.parquet", pq.read_table(path).to_pylist())


def arrow(name, batches, schema=None, stream=True, **options):
    path = f"{OUT}/{name}.arrow"
    schema = schema or batches[0].schema
    make = pa.ipc.new_stream if stream else pa.ipc.new_file
    with make(path, schema, options=pa.ipc.IpcWriteOptions(**options)) as w:
        for b in batches:
            w.write_batch(b)
    with open(path, "rb") as f:
        table = pa.ipc.open_stream(f).read_all() if stream else pa.ipc.open_file(f).read_all()
        expect(f"{name}.arrow", table.to_pylist())


def holes(values, share=0.25):
    return [None if random.random() < share else v for v in values]


def some(n, make):
    return holes([make() for _ in range(n)])


def word():
    return "".join(random.choice("abcdeéß漢😀 '\"\\") for _ in range(random.randrange(0, 12)))


# ---- columns ----------------------------------------------------------------------------------------------------------------


def flat(n):
    """A column of every type without children."""
    def stamp():
        return dt.datetime(1900, 1, 1) + dt.timedelta(seconds=random.randrange(7 * 10**9), microseconds=random.choice([0, 5, 123456]))

    utc = dt.timezone.utc
    columns = {
        "text": pa.array(some(n, word), pa.string()),
        "large": pa.array(some(n, word), pa.large_string()),
        "flag": pa.array(some(n, lambda: random.random() < 0.5), pa.bool_()),
        "f16": pa.array(some(n, lambda: random.choice([0.5, -2.25, 65504.0, 6e-8, math.inf])), pa.float16()),
        "f32": pa.array(some(n, lambda: random.choice([0.1, -1e30, math.nan, 3.0])), pa.float32()),
        "f64": pa.array(some(n, lambda: random.choice([0.1, 1e300, -math.inf, 5e-324, 2.0])), pa.float64()),
        "bytes": pa.array(some(n, lambda: random.choice([b"", b"\x00a'", b"'\"\\\t\n\xff", b"plain"])), pa.binary()),
        "fixed": pa.array(some(n, lambda: random.choice([b"abc", b"\x00\x01\x02"])), pa.binary(3)),
        "date": pa.array(some(n, lambda: dt.date(1, 1, 1) + dt.timedelta(random.randrange(3652059))), pa.date32()),
        "time_ms": pa.array(some(n, lambda: dt.time(random.randrange(24), 5, 9, random.choice([0, 250000]))), pa.time32("ms")),
        "time_us": pa.array(some(n, lambda: dt.time(random.randrange(24), 5, 9, random.choice([0, 7]))), pa.time64("us")),
        "stamp_ms": pa.array(some(n, lambda: stamp().replace(microsecond=9000)), pa.timestamp("ms")),
        "stamp_us": pa.array(some(n, stamp), pa.timestamp("us")),
        "stamp_utc": pa.array(some(n, lambda: stamp().replace(tzinfo=utc)), pa.timestamp("us", "UTC")),
        "stamp_ns": pa.array(some(n, lambda: random.choice([0, 1, 1000, 1709210096123456789, -1])), pa.timestamp("ns")),
        "money": pa.array(some(n, lambda: D(random.randrange(-10**6, 10**6)) / 100), pa.decimal128(9, 2)),
        "tiny": pa.array(some(n, lambda: random.choice([D(0), D(1), D(-15)]).scaleb(-12)), pa.decimal128(15, 12)),
        "huge": pa.array(some(n, lambda: D(random.randrange(-10**37, 10**37)).scaleb(-3)), pa.decimal128(38, 3)),
        "wider": pa.array(some(n, lambda: D(random.randrange(-10**40, 10**40)).scaleb(-3)), pa.decimal256(44, 3)),
        "nothing": pa.array([None] * n, pa.null()),
    }
    for bits in (8, 16, 32, 64):
        lo, hi = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        columns[f"i{bits}"] = pa.array(some(n, lambda: random.choice([lo, hi, 0, -1, 7])), getattr(pa, f"int{bits}")())
        columns[f"u{bits}"] = pa.array(some(n, lambda: random.choice([0, 2**bits - 1, hi, 7])), getattr(pa, f"uint{bits}")())
    return pa.table(columns)


def value_of(t, depth=0):
    """A random value of a type, null here and there."""
    if random.random() < 0.2:
        return None
    if pa.types.is_struct(t):
        return {f.name: value_of(f.type, depth + 1) for f in t}
    if pa.types.is_map(t):
        return [(str(i), value_of(t.item_type, depth + 1)) for i in range(random.randrange(3))]
    if pa.types.is_fixed_size_list(t):
        return [value_of(t.value_type, depth + 1) for _ in range(t.list_size)]
    if pa.types.is_list(t) or pa.types.is_large_list(t):
        return [value_of(t.value_type, depth + 1) for _ in range(random.choice([0, 0, 1, 2, 4]))]
    return word() if pa.types.is_string(t) else random.randrange(-5, 5)


NESTED = {
    "ints": pa.list_(pa.int32()),
    "deep": pa.list_(pa.list_(pa.list_(pa.int64()))),
    "large": pa.large_list(pa.string()),
    "pair": pa.struct([("a", pa.int32()), ("b", pa.string())]),
    "choices": pa.struct([("text", pa.list_(pa.string())), ("label", pa.list_(pa.string()))]),
    "turns": pa.list_(pa.struct([("role", pa.string()), ("parts", pa.list_(pa.struct([("n", pa.int8())])))])),
    "map": pa.map_(pa.string(), pa.list_(pa.int32())),
    "inner": pa.struct([("x", pa.struct([("y", pa.struct([("z", pa.list_(pa.int32()))]))]))]),
    "maps": pa.list_(pa.map_(pa.string(), pa.int32())),
}
FIXED = {"three": pa.list_(pa.int32(), 3)}  # in Arrow alone: Parquet has no such type, and null ones lose their length


def nested(n, types):
    return pa.table({k: pa.array([value_of(t) for _ in range(n)], t) for k, t in types.items()})


# ---- Parquet ------------------------------------------------------------------------------------------------------------------


def all_parquet():
    table = flat(14)
    parquet("flat_snappy", table, row_group_size=9, compression="snappy", write_statistics=True, store_schema=True)
    parquet("flat_plain", table.slice(0, 5), compression="none", use_dictionary=False)
    parquet("flat_v2", table, row_group_size=9, compression="zstd", data_page_version="2.0", version="2.6")
    small = table.select(["text", "i32", "flag", "f64"])
    parquet("gzip", small, compression="gzip")
    parquet("lz4", small, compression="lz4")
    parquet("v2_plain", small, compression="none", data_page_version="2.0")
    pq.write_table(small, f"{OUT}/brotli.parquet", compression="brotli")
    parquet("int96", table.select(["stamp_us", "stamp_ns"]), use_deprecated_int96_timestamps=True)
    parquet("decimals", table.select(["money", "tiny", "huge"]), store_decimal_as_integer=True)
    ids = [uuid.UUID(int=random.getrandbits(128)).bytes for _ in range(4)] + [None]
    parquet("uuid", pa.table({"id": pa.ExtensionArray.from_storage(pa.uuid(), pa.array(ids, pa.binary(16)))}))
    many = pa.table({"text": some(90, word), "n": some(90, lambda: random.randrange(-9, 10**random.randrange(1, 18))),
                     "m": pa.array(some(90, lambda: random.randrange(-2**31, 2**31)), pa.int32()),
                     "long": [f"https://example.org/{i // 7}/{i}" for i in range(90)],
                     "x": some(90, random.random), "flag": some(90, lambda: random.random() < 0.1)})
    parquet("delta", many, use_dictionary=False, compression="none", data_page_size=400, column_encoding={
        "text": "DELTA_LENGTH_BYTE_ARRAY", "n": "DELTA_BINARY_PACKED", "m": "DELTA_BINARY_PACKED",
        "long": "DELTA_BYTE_ARRAY", "x": "BYTE_STREAM_SPLIT", "flag": "RLE"})
    # the dictionary grows too large in the middle of the column: plain pages follow
    parquet("fallback", pa.table({"text": [word() + str(i // 3) for i in range(160)], "same": ["x"] * 160}),
            dictionary_pagesize_limit=200, data_page_size=100, write_batch_size=20)
    parquet("nested", nested(26, NESTED), row_group_size=11, compression="snappy")
    parquet("nested_v2", nested(15, NESTED), row_group_size=7, compression="zstd", data_page_version="2.0", data_page_size=64,
            write_batch_size=3)
    parquet("nested_item", nested(9, NESTED), use_compliant_nested_type=False, compression="none")
    parquet("required", pa.table({"a": pa.array([1, 2, 3]), "l": pa.array([[1], [], [2, 3]], pa.list_(pa.field("e", pa.int64(), False)))},
                                 schema=pa.schema([pa.field("a", pa.int64(), False),
                                                   pa.field("l", pa.list_(pa.field("e", pa.int64(), False)), False)])))
    parquet("all_null", pa.table({"s": pa.array([None] * 9, pa.string()), "l": pa.array([None] * 9, pa.list_(pa.int32())),
                                  "d": pa.array([None] * 9, pa.struct([("a", pa.list_(pa.string()))]))}))
    parquet("all_empty", pa.table({"l": pa.array([[]] * 9, pa.list_(pa.list_(pa.int32()))), "s": [""] * 9}))
    with pq.ParquetWriter(f"{OUT}/no_groups.parquet", small.schema):
        pass
    expect("no_groups.parquet", [])
    parquet("no_rows", small.slice(0, 0))
    parquet("hf", pa.table({"question": some(5, word), "label": pa.array([0, 1, 2, 1, 0], pa.int64()),
                            "choices": [{"text": ["a", "b"], "label": ["A", "B"]}] * 5}))


# ---- Parquet of older writers -------------------------------------------------------------------------------------------------


class Items(list):
    """A list in Thrift's compact protocol; a plain list of (id, value) is a struct."""


class Long(int):
    """64 bits."""


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def kind_of(v):
    return 6 if isinstance(v, Long) else 5 if isinstance(v, int) else 8 if isinstance(v, bytes) else 9 if isinstance(v, Items) else 12


def thrift(v):
    if isinstance(v, int):
        return varint(2 * v)
    if isinstance(v, bytes):
        return varint(len(v)) + v
    if isinstance(v, Items):
        return bytes([15 << 4 | kind_of(v[0])]) + varint(len(v)) + b"".join(map(thrift, v))
    out, last = b"", 0
    for i, x in v:
        out += bytes([(i - last) << 4 | kind_of(x)]) + thrift(x)
        last = i
    return out + b"\0"


def old_lists():
    """Lists with a layer left out, in the ways that readers must tell apart; pyarrow reads them but does not write them."""
    INT32, LIST, REQUIRED, OPTIONAL, REPEATED = 1, 3, 0, 1, 2

    def group(name, repetition, n, *converted):
        return [(3, repetition), (4, name), (5, n)] + [(6, c) for c in converted]

    def leaf(name, repetition):
        return [(1, INT32), (3, repetition), (4, name)]

    schema = Items([
        [(4, b"schema"), (5, 5)],
        leaf(b"bare", REPEATED),  # a repeated value is a list
        group(b"two", OPTIONAL, 1, LIST), leaf(b"element", REPEATED),  # the repeated value is the element
        group(b"named", OPTIONAL, 1, LIST), group(b"array", REPEATED, 1), leaf(b"n", REQUIRED),  # by its name a struct of one
        group(b"pair", OPTIONAL, 1, LIST), group(b"pair_tuple", REPEATED, 1), leaf(b"n", OPTIONAL),
        group(b"both", OPTIONAL, 1, LIST), group(b"list", REPEATED, 2), leaf(b"a", REQUIRED), leaf(b"b", OPTIONAL),  # of two
    ])
    leaves = [([b"bare"], 1), ([b"two", b"element"], 2), ([b"named", b"array", b"n"], 2), ([b"pair", b"pair_tuple", b"n"], 3),
              ([b"both", b"list", b"a"], 2), ([b"both", b"list", b"b"], 3)]
    # (repetition level, definition level) of five rows: two values, none, one, null where that can be, one
    levels = {1: [(0, 1), (1, 1), (0, 0), (0, 1), (0, 0), (0, 1)], 2: [(0, 2), (1, 2), (0, 1), (0, 2), (0, 0), (0, 2)],
              3: [(0, 3), (1, 2), (0, 1), (0, 3), (0, 0), (0, 3)]}

    def packed(numbers, bits):
        whole = sum(n << (bits * i) for i, n in enumerate(numbers))
        return (1 + bits).to_bytes(4, "little") + bytes([1 << 1 | 1]) + whole.to_bytes(bits, "little")

    out, chunks = b"PAR1", Items()
    for path, deep in leaves:
        entries = levels[deep]
        page = packed([e[0] for e in entries], 1) + packed([e[1] for e in entries], deep.bit_length())
        page += b"".join((i + 1).to_bytes(4, "little") for i, e in enumerate(entries) if e[1] == deep)
        head = thrift([(1, 0), (2, len(page)), (3, len(page)), (5, [(1, len(entries)), (2, 0), (3, 3), (4, 3)])])
        n = Long(len(head + page))
        meta = [(1, INT32), (2, Items([0, 3])), (3, Items(path)), (4, 0), (5, Long(len(entries))), (6, n), (7, n), (9, Long(len(out)))]
        chunks.append([(2, Long(len(out))), (3, meta)])
        out += head + page
    footer = thrift([(1, 1), (2, schema), (3, Long(5)), (4, Items([[(1, chunks), (2, Long(len(out))), (3, Long(5))]]))])
    with open(f"{OUT}/old_lists.parquet", "wb") as f:
        f.write(out + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    expect("old_lists.parquet", pq.read_table(f"{OUT}/old_lists.parquet").to_pylist())


# ---- Arrow --------------------------------------------------------------------------------------------------------------------


def all_arrow():
    table = flat(12)
    table = table.append_column("dur_us", pa.array(some(12, lambda: dt.timedelta(seconds=random.randrange(-10**6, 10**6), microseconds=5)), pa.duration("us")))
    table = table.append_column("dur_s", pa.array(some(12, lambda: dt.timedelta(seconds=random.randrange(-10**5, 10**5))), pa.duration("s")))
    table = table.append_column("date64", pa.array(some(12, lambda: dt.date(2024, 2, 29)), pa.date64()))
    table = table.append_column("zone", pa.array(some(12, lambda: dt.datetime(2024, 7, 1, 12)), pa.timestamp("s", "Europe/Berlin")))
    table = table.append_column("view", pa.array(some(12, lambda: word() + random.choice(["", "long enough to lie elsewhere"])), pa.string_view()))
    table = table.append_column("d64", pa.array(some(12, lambda: D(random.randrange(-99, 99)) / 10), pa.decimal64(5, 1)))
    arrow("flat", table.to_batches(max_chunksize=7))
    arrow("file", table.slice(0, 3).to_batches(max_chunksize=2), stream=False)
    arrow("legacy", table.select(["text", "i32"]).to_batches(), stream=False, use_legacy_format=True)
    deep = nested(16, NESTED | FIXED)
    arrow("nested", deep.to_batches(max_chunksize=11))
    arrow("sliced", [b.slice(3, 4) for b in deep.to_batches(max_chunksize=8)])
    few = {k: NESTED[k] for k in ("deep", "turns")}
    arrow("lz4", nested(6, few).to_batches(), compression="lz4")
    arrow("zstd", nested(6, few).to_batches(), compression="zstd")
    arrow("hf", pa.table({"question": some(5, word), "label": [0, 1, 2, 1, 0],
                          "choices": [{"text": ["a", "b"], "label": ["A", "B"]}] * 5}).to_batches())
    arrow("no_batches", [], schema=deep.schema)
    arrow("no_rows", [pa.RecordBatch.from_pylist([], schema=deep.schema)])
    arrow("all_null", pa.table({"s": pa.array([None] * 9, pa.string()), "l": pa.array([None] * 9, pa.list_(pa.int32())), "n": pa.nulls(9)}).to_batches())
    words = pa.array(holes(["a", "b", "c", "a"] * 5)).dictionary_encode()
    lists = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 1], pa.int8()), pa.array([["x", None], []], pa.list_(pa.string())))
    arrow("dictionary", pa.table({"w": words}).to_batches(max_chunksize=7))
    arrow("dictionary_list", pa.table({"l": lists}).to_batches())
    # larger than a row may be, though no row is
    large = pa.array(["short", "words"] + ["x" * 2**20] * 40)
    arrow("dictionary_large", pa.table({"w": pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int8()), large)}).to_batches(),
          compression="zstd")
    t = pa.dictionary(pa.uint16(), pa.string())
    parts = [["a", "b"], ["a", "b", "c"], ["z"]]
    batches = [pa.record_batch({"w": pa.DictionaryArray.from_arrays(pa.array(range(len(p)), pa.uint16()), pa.array(p)).cast(t)}) for p in parts]
    arrow("replaced", batches)
    arrow("delta", batches[:2], emit_dictionary_deltas=True)


# ---- texts and packings -------------------------------------------------------------------------------------------------------


def csv(name, text, suffix="csv", **options):
    with open(f"{OUT}/{name}.{suffix}", "w", encoding="utf-8", newline="") as f:
        f.write(text)
    frame = pd.read_csv(io.StringIO(text, newline=""), **options)
    expect(f"{name}.{suffix}", pa.Table.from_pandas(frame, preserve_index=False).to_pylist())


def all_csv():
    csv("types", "id,n,x,m,flag,text,none\r\n"
        '1,007,1.5,1,True,"a ""quoted"", word",\r\n'
        '2,-3,2,,False,"two\nlines",NA\r\n'
        "\r\n"
        "3,+4,-1e-3,3,true,plain \"quotes\" inside,null\r\n")
    csv("mixed", "a,b,c,d,e,f\n1,x,True,1.5,18446744073709551615, 7 \n2.5,2,,y,1,8\n,3,False,nan,2,9\n")
    csv("short", "a,b,c\n1\n2,3\n4,5,6\n")
    csv("odd", '\ufeffa,,"b,c"\n"x"y,1,2\nNaN,inf,"NA"\n"",-Infinity,0\n')
    csv("tabs", "a\tb\n1,5\t\"x\ty\"\n\t2\n", suffix="tsv", sep="\t")
    csv("cr", "a,b\r1,2\r3,4")
    csv("head", "a,b\n")


def packed():
    rows = [{"q": "ü", "n": i} for i in range(3)]
    text = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows).encode()
    files = {"p.jsonl.gz": gzip.compress(text, mtime=0), "p.jsonl.xz": lzma.compress(text), "p.jsonl.bz2": bz2.compress(text),
             "p.jsonl.zst": pa.compress(text, "zstd", asbytes=True), "empty.jsonl.gz": gzip.compress(b"", mtime=0),
             "p.csv.gz": gzip.compress("q,n\nü,0\nü,1\nü,2\n".encode(), mtime=0)}
    for name, data in files.items():
        with open(f"{OUT}/{name}", "wb") as f:
            f.write(data)
        expect(name, [] if "empty" in name else rows)
    with zipfile.ZipFile(f"{OUT}/one.zip", "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("__MACOSX/._data.csv", "x")
        z.writestr("in/data.csv", "q,n\nü,0\nü,1\nü,2\n")
    expect("one.zip", rows)
    with zipfile.ZipFile(f"{OUT}/two.zip", "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("a.jsonl", text)
        z.writestr("b/c.csv", "q\n1\n")
    with tarfile.open(f"{OUT}/one.tar.gz", "w:gz") as t:
        for name, data in (("./d/x.jsonl.gz", gzip.compress(text, mtime=0)),):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    expect("one.tar.gz", rows)
    with open(f"{OUT}/array.json", "w", encoding="utf-8") as f:
        f.write(" [\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")
    expect("array.json", rows)


os.makedirs(OUT, exist_ok=True)
all_parquet()
old_lists()
all_arrow()
all_csv()
packed()
