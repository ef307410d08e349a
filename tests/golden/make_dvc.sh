#!/bin/sh
# make_dvc.sh  Makes tests/golden/dvc by DVC itself (3.67.1 from PyPI): pointers, a lock file, and the cache they lead to.
# Run from the top; `dvc` must be in PATH. What is kept: the tracked files, and the cache as dvc_cache/ (.dvc is a name
# that a repository's own checkout would take for its state).
set -eu
out=$PWD/tests/golden/dvc
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
git init -q .
dvc init -q
mkdir -p data/rows/b
echo '{"text":"one"}' >data/train.jsonl
echo a >data/rows/a
echo b >data/rows/b/c
: >data/rows/empty
dvc add -q data/train.jsonl data/rows
cat >dvc.yaml <<END
stages:
  make:
    cmd: mkdir -p out && echo made > out/f && echo single > single.txt
    outs: [out, single.txt]
END
dvc repro -q
rm -rf "$out"
mkdir -p "$out"
cp -r data dvc.lock "$out"
rm -rf "$out/data/rows" "$out/data/train.jsonl" "$out/data/.gitignore"
cp -r .dvc/cache "$out/dvc_cache"
chmod -R u+w "$out"
