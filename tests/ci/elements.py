#!/usr/bin/env python3
"""elements.py A.html B.html: two renderings must be made of the same elements, properly nested, with one comment each.

A is of a plain report, B of the same report with hostile text in every place: what a stranger writes adds no element.
Two <code> may be missing in B: those of the policy's commit and of the command, which want a real object id."""
import sys
from collections import Counter
from html.parser import HTMLParser


class Elements(HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen, self.open, self.comments = Counter(), [], 0

    def handle_starttag(self, tag, attrs):
        self.seen[tag] += 1
        self.seen.update(f"{tag} {name}" for name, _ in attrs if name != "align")
        self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            sys.exit(f"</{tag}> closes nothing at {self.getpos()}")

    def handle_comment(self, data):
        self.comments += 1


def read(path):
    e = Elements()
    e.feed(open(path, encoding="utf-8").read())
    if e.open or e.comments != 1:
        sys.exit(f"{path}: open at the end: {e.open}; {e.comments} comments")
    return e.seen


plain, hostile = read(sys.argv[1]), read(sys.argv[2])
if hostile - plain or plain - hostile - Counter(code=2):
    sys.exit(f"more or other elements: {hostile - plain} {plain - hostile}")
print(f"{sum(plain.values())} elements in both")
