#!/usr/bin/env bash
# Trainings that are stopped and killed at any moment, then started again: the same bytes as those that were left alone.
. "$(dirname "$0")/lib.sh"
tiny_repo repo
assay run >/dev/null 2>&1
head -n 5 data/train.jsonl >data/held.jsonl
sed 's/"completion":"\([0-9]*\)"/"chosen":"\1","rejected":"x"/' data/train.jsonl >data/pairs.jsonl

# config NAME LINE…: NAME.yaml, a training of some seconds with these keys of finetune
config() {
	local name=$1
	shift
	{
		sed '/^finetune:/,$d' assay.yaml
		printf 'finetune:\n'
		printf '  %s\n' "$@" 'batch_tokens: 128' 'micro_tokens: 32' 'learning_rate: 2e-3' 'seed: 3'
		printf 'suites: [evals/sums.yaml]\n'
	} >"$name.yaml"
}
config full 'data: data/train.jsonl' 'max_steps: 900'
config validated 'data: data/train.jsonl' 'max_steps: 900' 'validation: data/held.jsonl' 'eval_every: 50'
config dpo 'data: data/pairs.jsonl' 'max_steps: 500' 'objective: dpo'
obj=$(sql "select object from versions")
mkdir -p base
jq -r '.files[] | "\(.path) \(.object)"' ".git/assay/objects/${obj:0:2}/${obj:2}" | while read -r path o; do
	cp ".git/assay/objects/${o:0:2}/${o:2}" "base/$path"
done
chmod -R u+w base
config lora 'data: data/train.jsonl' 'max_steps: 400' 'method: lora' 'rank: 4' 'target_modules: all-linear' 'lora_dropout: 0.1'
sed -i '/^base:/,/^finetune:/{/^finetune:/!d}; s/^model: .*/&\nbase: base/' lora.yaml

digest() { (cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum); }

# broken NAME SIGNAL…: a training that gets these signals, each at a random time in what it takes as a whole
broken() {
	local name=$1 pid s
	shift
	rm -rf "out-$name"
	for s in "$@"; do
		"$ASSAY_TEST_BIN" train "$name.yaml" --out "out-$name" --threads 1 --checkpoint-every 0.05 >"$OUT" 2>"$ERR" &
		pid=$!
		sleep "$(printf '%d.%03d' $((at = RANDOM % took, at / 1000)) $((at % 1000)))"
		kill -"$s" "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
		codes="$codes $?"
	done
	"$ASSAY_TEST_BIN" train "$name.yaml" --out "out-$name" --threads 2 >"$OUT" 2>"$ERR"
}
codes=
for name in full validated dpo lora; do
	began=${EPOCHREALTIME/[^0-9]/}
	check "$name: left alone" 0 assay train "$name.yaml" --out "whole-$name" --threads 1
	took=$(((${EPOCHREALTIME/[^0-9]/} - began) / 1000)) # milliseconds
	echo "# $name takes $took ms"
	check "$name: killed and stopped, then left alone" 0 broken "$name" KILL TERM KILL KILL TERM
	is "$name: the same bytes" "$(digest "out-$name")" "$(digest "whole-$name")"
	[ ! -e "out-$name/.assay-train" ] && ok "$name: nothing is left over" || not_ok "$name: nothing is left over"
done
echo "# exits:$codes"
case $codes in *137*) ok "some were killed" ;; *) not_ok "some were killed:$codes" ;; esac
done_testing
