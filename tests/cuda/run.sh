#!/usr/bin/env bash
# run.sh [DEVICE]  All that is to be known of assay on a card, in one go, below eight minutes: checks, measures, a table last.
# It lies in the folder that `make gpu-bundle` makes. Without a card it ends at the first check, with 69, having run what
# needs none. Everything that was said stands in results/.
set -u
cd "$(dirname "$0")" || exit 74
device=${1:-cuda:0}
mkdir -p results
[ -d lib ] || tar -xzf lib.tar.gz || exit 74
began=$SECONDS
table=results/table.txt
: >"$table"
failed=0

# step NAME SECONDS COMMAND…: the output to results/NAME.txt, a line to the table
step() {
	local name=$1 limit=$2 t=$SECONDS rc
	shift 2
	timeout "$limit" "$@" >"results/$name.txt" 2>&1
	rc=$?
	case $rc in 0) state=ok ;; 124) state="over $limit s" ;; *) state="exit $rc" ;; esac
	[ $rc = 0 ] || failed=$((failed + 1))
	printf '%-34s %-12s %4d s\n' "$name" "$state" $((SECONDS - t)) | tee -a "$table"
	return $rc
}
finish() {
	echo
	echo "---- $(cat VERSION | head -n 1)"
	grep -h '^# cuda' results/measure.txt 2>/dev/null
	nvidia-smi --query-gpu=name,driver_version,clocks.max.sm --format=csv,noheader 2>/dev/null
	cat "$table"
	grep -h 'TFLOP/s\|GB/s' results/measure*.txt 2>/dev/null
	grep -hE '"engine"' results/model-*.txt 2>/dev/null
	echo "$failed failed, $((SECONDS - began)) s"
	[ "$failed" = 0 ]
}

# ---- without a card: the same checks on the emulated device
step emulated-f32 60 emulated/bench_gpu check cuda/f32
step emulated-bf16 90 emulated/bench_gpu check cuda/bf16

# ---- the device
step doctor 30 bin/assay doctor
if ! step device 60 bin/bench_gpu check "$device/f32"; then
	cat results/device.txt
	echo "there is no device to go on with; what needs none has been run:"
	finish
	exit 69
fi

# ---- checks: the kernels against the reference in double, and against themselves
step kernels-bf16 60 bin/bench_gpu check "$device/bf16"
step kernels-tf32 60 bin/bench_gpu check "$device/tf32"
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
if [ -n "$sanitizer" ]; then
	for tool in memcheck racecheck synccheck; do
		step "sanitizer-$tool" 60 "$sanitizer" --tool "$tool" --error-exitcode 9 bin/bench_gpu sanitize "$device/bf16"
	done
else
	echo "compute-sanitizer                  not installed" | tee -a "$table"
fi

# ---- whole models: the demo's on the card, then its scores in other company, and again
# (the demo takes the first device that works: auto)
step demo 150 bash demo/run "$PWD/bin"
model=bin/demo/work
questions=results/questions.jsonl
for i in $(seq 1 400); do echo "{\"id\":$i,\"context\":\"de: $((i % 28 + 1)). Mai $((1900 + i % 120))\",\"continuation\":\"$((1900 + i % 120))-05-$((i % 28 + 10))\"}"; done >"$questions"
score() { (cd "$model" && ../../assay score dates@production --device "$1" --batch-tokens "$2" <"../../../$questions"); }
score "$device" 4096 >results/scores-4096 2>results/score.err
score "$device" 64 >results/scores-64 2>>results/score.err
score "$device" 4096 >results/scores-again 2>>results/score.err
score cpu 4096 >results/scores-cpu 2>>results/score.err
score "$device/f32" 4096 >results/scores-f32 2>>results/score.err
step batch-invariance 5 cmp results/scores-4096 results/scores-64
step same-again 5 cmp results/scores-4096 results/scores-again
near() { paste -d' ' <(grep -o '"logprob":[^,]*' "$1" | cut -d: -f2) <(grep -o '"logprob":[^,]*' "$2" | cut -d: -f2) |
	awk -v limit="$3" '{d = $1 - $2; d = d < 0 ? -d : d; m = d > m ? d : m} END {printf "largest difference %.3g, limit %s\n", m, limit; exit !(NR && m < limit)}'; }
export -f near
step f32-near-the-cpu 5 bash -c 'near results/scores-f32 results/scores-cpu 1e-3'
if python3 -c 'import torch, transformers' 2>/dev/null; then
	(cd "$model" && ../../assay artifact export dates@production ../../../results/model) >results/export.txt 2>&1
	ASSAY_DEVICE=$device/f32 step transformers 90 python3 check_transformers.py results/model "$PWD/bin/assay"
else
	echo "transformers                       not installed" | tee -a "$table"
fi

# ---- measures
step pins 60 bin/bench_gpu pins "$device" results/libassay-cuda.pins 768:768 2304:768 3072:768 768:3072 2048:2048 3072:2048 8192:2048 2048:8192
step measure 90 bin/bench_gpu measure "$device"
step model-gpt2-shape 60 bin/bench_model backend="$device" vocab=50257 hidden=768 ff=3072 layers=12 heads=12 kv_heads=12 length=1024 batch=16384 steps=20
if [ -s results/libassay-cuda.pins ]; then
	cp results/libassay-cuda.pins bin/
	step kernels-pinned 60 bin/bench_gpu check "$device/bf16"
	step measure-pinned 60 bin/bench_gpu measure "$device"
	rm -f bin/libassay-cuda.pins
fi
finish
