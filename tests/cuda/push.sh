#!/usr/bin/env bash
# push.sh MODEL DEVICE STEPS TOKENS ROWS: the time of one push, from the start of `assay run` to its verdict, as a line of JSON.
#
# A repository is made in results/push, of the demo's data and suites, whose base is the folder MODEL (of the shape of SmolLM2-135M
# in the bundle): all weights are trained for STEPS steps of TOKENS tokens, then every suite is evaluated, ROWS documents of a
# file at most, and gated. Weights are random, so the gate asks for no more than numbers. Run in the bundle's folder.
set -eu
model=$(cd "$1" && pwd) device=$2 steps=$3 tokens=$4 rows=$5 top=$PWD
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
rm -rf results/push && mkdir -p results/push/data/test && cd results/push
git init -q .
cp -R "$top"/demo/repo/evals . && cp -R "$top"/demo/data/train data/ && cp -R "$model" base
for f in "$top"/demo/data/test/*.jsonl; do head -n "$rows" "$f" >"data/test/${f##*/}"; done
data=$(printf '%s, ' data/train/*.jsonl)
cat >assay.yaml <<END
model: push
base: base
finetune: {data: [${data%, }], method: full, max_steps: $steps, batch_tokens: $tokens, learning_rate: 3e-4, seed: 1}
suites: [evals/exact.yaml, evals/choice.yaml, evals/heldout.yaml]
gate: {require: {choice.acc: {min: 0}}}
END
git add -A && git -c user.name=bench -c user.email=bench@localhost commit -qm "a push"
began=$(date +%s%N)
"$top/bin/assay" run --device "$device" --json >../push.json
ended=$(date +%s%N)
awk -v ns=$((ended - began)) -v steps="$steps" -v tokens="$tokens" 'BEGIN {
	printf "{\"engine\":\"assay\",\"steps\":%d,\"batch_tokens\":%d,\"seconds_to_verdict\":%.2f}\n", steps, tokens, ns / 1e9 }'
