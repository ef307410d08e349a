#!/usr/bin/env bash
# Whole models on the CUDA back end, in the emulation: scores and texts against the CPU's, the same bits for every batch, a
# training, too little memory, and a device that is lost in the middle of a training, which then resumes.
. "$(dirname "$0")/lib.sh"
needs_emulation "whole models in the emulation"
tiny_repo repo
assay run --device cpu >/dev/null 2>&1
emu() { "$EMU" "$@"; }
for i in $(seq 1 12); do echo "{\"id\":$i,\"context\":\"$((i % 5))+$((i % 3))=\",\"continuation\":\"$((i % 7))\"}"; done >reqs
for i in $(seq 1 4); do echo "{\"id\":$i,\"prompt\":\"$((i % 5))+$((i % 4))=\"}"; done >prompts
assay score sums@v1 --device cpu <reqs >cpu.scores 2>"$ERR"
assay generate sums@v1 --device cpu --max-tokens 4 <prompts >cpu.texts 2>"$ERR"

# far A B: the largest difference of log-probabilities
far() { paste -d' ' <(jq .logprob "$1") <(jq .logprob "$2") | awk '{d = $1 - $2; d = d < 0 ? -d : d; m = d > m ? d : m} END {printf "%.9f\n", m}'; }
below() { awk -v a="$2" -v b="$3" 'BEGIN {exit !(a < b)}' && ok "$1 ($2 < $3)" || not_ok "$1 ($2 is not below $3)"; }
for class in f32:0.00001 tf32:0.05 bf16:0.2; do
	emu score sums@v1 --device "cuda/${class%:*}" <reqs >"${class%:*}.scores" 2>"$ERR"
	is "${class%:*}: all requests are answered" "$(wc -l <"${class%:*}.scores")" 12
	below "${class%:*}: scores are near the CPU's" "$(far cpu.scores "${class%:*}.scores")" "${class#*:}"
	emu score sums@v1 --device "cuda/${class%:*}" --batch-tokens 3 <reqs >other 2>"$ERR"
	cmp -s other "${class%:*}.scores" && ok "${class%:*}: the same bytes at 3 tokens at a time" || not_ok "${class%:*}: the same bytes at 3 tokens at a time"
done
emu generate sums@v1 --device cuda/f32 --max-tokens 4 <prompts >texts 2>"$ERR"
is "f32: the CPU's texts" "$(cat texts)" "$(cat cpu.texts)"
emu generate sums@v1 --device cuda --max-tokens 4 <prompts >texts 2>"$ERR"
emu generate sums@v1 --device cuda --max-tokens 4 --batch-tokens 2 <prompts >other 2>"$ERR"
cmp -s texts other && ok "bf16: generation does not depend on the batch" || not_ok "bf16: generation does not depend on the batch"
ASSAY_CUDA_GRAPHS=0 emu generate sums@v1 --device cuda --max-tokens 4 <prompts >other 2>"$ERR"
cmp -s texts other && ok "bf16: nor on graphs" || not_ok "bf16: nor on graphs"
check "doctor tells of the device" 0 emu doctor
has "cuda-2/bf16/sm_90/"
has "launches that come again go to the device as one"

# A device that does nothing before somebody waits for it, and then no more than that: the host never waits too little, for the
# bytes are the same; and not too much, by the line that the device leaves: waits, and those that left it idle.
lazy() { # FILE COMMAND…
	local file=$1
	shift
	rm -f "$file"
	EMU_STREAMS=lazy EMU_WAITS="$PWD/$file" "$EMU" "$@"
}
waits() { cut -d' ' -f1 "$1"; }
idle() { cut -d' ' -f2 "$1"; }
for n in 4096 12 3; do
	lazy "by$n" score sums@v1 --device cuda --batch-tokens "$n" <reqs >other 2>"$ERR"
	cmp -s other bf16.scores && ok "late: the same scores, $n tokens at a time" || not_ok "late: the same scores, $n tokens at a time"
done
# And one whose streams run ahead by a draw: what waits for nothing reads or overwrites too soon in one order or another.
for seed in 1 2 5; do
	EMU_STREAMS="drawn $seed" "$EMU" score sums@v1 --device cuda --batch-tokens 12 <reqs >other 2>"$ERR"
	cmp -s other bf16.scores && ok "streams in order $seed: the same scores" || not_ok "streams in order $seed: the same scores"
done
above() { [ "$2" -gt "$3" ] && ok "$1 ($2)" || not_ok "$1 ($2, not above $3)"; }
above "many batches are waited for one by one" "$(waits by3)" "$(($(waits by12) + 5))"
is "and the device is busy with the next meanwhile, but for the last" "$(idle by3)" "$(idle by12)"
lazy n generate sums@v1 --device cuda --max-tokens 4 <prompts >other 2>"$ERR"
cmp -s texts other && ok "late: the same texts" || not_ok "late: the same texts"
drawn() { "$@" generate sums@v1 --device "$device" --batch-tokens "$tokens" --max-tokens 4 --temperature 1 --seed 7 <prompts 2>"$ERR"; }
tokens=64
device=cpu drawn assay >cpu.texts
device=cuda/f32 drawn emu >texts
is "f32: the CPU's texts, drawn" "$(cat texts)" "$(cat cpu.texts)"
device=cuda/f32 tokens=2 drawn emu >other
cmp -s texts other && ok "drawn: does not depend on the batch" || not_ok "drawn: does not depend on the batch"
device=cuda
drawn emu >texts
drawn lazy n >other
cmp -s texts other && ok "late: the same texts, drawn" || not_ok "late: the same texts, drawn"

# an operation finds no memory: fewer tokens at a time, the same bytes
export EMU_INJECT="cudaMalloc 10 2"
emu score sums@v1 --device cuda <reqs >other 2>"$ERR"
unset EMU_INJECT
has "tokens at a time, since: cuda:0: no memory"
cmp -s other bf16.scores && ok "too little memory changes no bit" || not_ok "too little memory changes no bit"

# training: what a lost device leaves, and that it resumes
head -n 24 data/train.jsonl >few.jsonl
train() { emu train sums@v1 --data few.jsonl --device cuda/f32 --set batch_tokens=64 --set max_steps=4 --checkpoint-every 0.001 --out "$@"; }
check "a training in the emulation" 0 train whole
cpu_loss=$(assay train sums@v1 --data few.jsonl --device cpu --set batch_tokens=64 --set max_steps=4 --out bycpu 2>&1 | grep -o 'loss.*->[^,]*')
is "ends with the CPU's losses" "$(grep -ho 'loss.*->[^,]*' "$OUT" "$ERR" | tail -n 1)" "$cpu_loss"
ASSAY_CUDA_GRAPHS=0 check "and one without graphs" 0 train single
is "gives the same weights" "$(sha256sum <single/model.safetensors)" "$(sha256sum <whole/model.safetensors)"
short() { lazy "$1" train sums@v1 --data few.jsonl --device cuda/f32 --set batch_tokens=64 --set micro_tokens=24 --set max_steps="$2" --checkpoint-every 3600 --out "$1.out"; }
check "a training that is waited for late" 0 short two 2
check "and a longer one" 0 short six 6
emu train sums@v1 --data few.jsonl --device cuda/f32 --set batch_tokens=64 --set micro_tokens=24 --set max_steps=6 --out six.now >"$OUT" 2>"$ERR"
is "late: the same weights" "$(sha256sum <six.out/model.safetensors)" "$(sha256sum <six.now/model.safetensors)"
EMU_STREAMS="drawn 5" "$EMU" train sums@v1 --data few.jsonl --device cuda/f32 --set batch_tokens=64 --set micro_tokens=24 --set max_steps=6 --out six.drawn >"$OUT" 2>"$ERR"
is "streams in a drawn order: the same weights" "$(sha256sum <six.drawn/model.safetensors)" "$(sha256sum <six.now/model.safetensors)"
is "a step leaves the device idle once: for the norm of its gradient" "$(($(idle six) - $(idle two)))" 4
export EMU_INJECT="launch 150 700 sticky"
check "a device that is lost ends it" 69 train again
unset EMU_INJECT
has "illegal memory access"
has "resumes where it was"
[ ! -e again/model.safetensors ] && ok "nothing is published" || not_ok "nothing is published"
check "the same command again" 0 train again
is "gives the same weights" "$(sha256sum <again/model.safetensors)" "$(sha256sum <whole/model.safetensors)"
done_testing
