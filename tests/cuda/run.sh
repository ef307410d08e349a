#!/usr/bin/env bash
# run.sh [--device cuda:N] [--llm-c DIR] [--minutes 8] [--dry]  All that is to be known of assay on a card, in one go: checks, then
# measures, each beside its peers, and a short table last. It lies in the folder that `make gpu-bundle` makes.
#
#	--device	the card (cuda:0)
#	--llm-c DIR	a source tree of llm.c, built and timed as a peer
#	--minutes N	the end: a step that would begin later is not begun, which is counted, one that runs over is stopped (8)
#	--dry		the same lines on small shapes, for a trial of this script: on any device, the emulated one included
#
# PYTHON=… has torch and transformers, and for some peers peft and lm_eval; who is missing is skipped, with the reason. git, jq and
# sqlite3, which the demo asks for, lie in tools/, for a machine that has none.
# Without a card it ends at the check named device, with 69 (78: there is one that cannot be used so), having run what needs none.
# Everything that was said stands in results/: NAME.txt of each step, steps.jsonl, measures.jsonl (one line of JSON a measure) and table.txt.
set -u
cd "$(dirname "$0")" || exit 74
device=cuda:0 llmc='' minutes=8 dry='' python=${PYTHON:-python3}
while [ $# -gt 0 ]; do
	case $1 in
	--device | --llm-c | --minutes) [ -n "${2:-}" ] || { echo "run.sh: $1 wants a value" >&2 && exit 64; } ;;
	esac
	case $1 in
	--device) device=$2 && shift ;;
	--llm-c) llmc=$(cd "$2" && pwd) || exit 64; shift ;;
	--minutes) minutes=$2 && shift ;;
	--dry) dry=yes ;;
	*) echo "run.sh: what is $1?" >&2 && exit 64 ;;
	esac
	shift
done
case $minutes in '' | 0* | *[!0-9]*) echo "run.sh: --minutes $minutes: a whole number from 1 on is wanted" >&2 && exit 64 ;; esac
rm -rf results && mkdir -p results
[ -d lib ] || [ ! -f lib.tar.gz ] || tar -xzf lib.tar.gz || exit 74
export PATH=$PATH:$PWD/tools # the machine's own come first
began=$SECONDS failed=0 late=0 # late: for which there was no time
table=results/table.txt

# Shapes: those of the targets, or the least that run through the same lines. GPT-2 124M and a Llama of 1.7B parameters.
gpt2='family=gpt2 vocab=50257 hidden=768 layers=12 heads=12 length=1024'
llama='family=llama vocab=49152 hidden=2048 ff=8192 layers=24 heads=32 kv_heads=32 length=1024'
batch=16 batch_llama=4 steps=20 requests=2000 questions=400 tokens=128 first='--set max_steps=300' again='--set max_steps=50' again_large='--set max_steps=10'
torch='device=cuda bf16=1 fused=1 compile=1'
pins='768:768 2304:768 3072:768 768:3072 50257:768 2048:2048 6144:2048 8192:2048 2048:8192 49152:2048 8192:8192' # weights of these two
pinned='768:768 2304:768 768:3072 2048:2048'
smol='family=llama vocab=49152 hidden=576 ff=1536 layers=30 heads=9 kv_heads=3 length=8192' # that of SmolLM2-135M
push='200 8192 200' # steps, tokens of a step, documents of a file at most
shots=200 limits='' gemm='' patience=1
if [ -n "$dry" ]; then
	gpt2='family=gpt2 vocab=300 hidden=32 layers=2 heads=2 length=16'
	llama='family=llama vocab=300 hidden=32 ff=64 layers=2 heads=2 kv_heads=2 length=16'
	batch=2 batch_llama=2 steps=3 requests=4 questions=12 tokens=4 first='--set max_steps=3 --set batch_tokens=64' again='--set max_steps=2 --set batch_tokens=128'
	again_large='--set max_steps=2 --set batch_tokens=64'
	torch='device=cpu bf16=0 fused=0 compile=0'
	pins='24:40' pinned=24:40
	smol='family=llama vocab=300 hidden=32 ff=64 layers=1 heads=2 kv_heads=2 length=4096'
	push='2 128 1' shots=1 limits='n=64 mib=1' patience=20 # a trial is not of the time
	gemm='products f32 packed' # what asks for hundreds of products is the emulation's own
fi

# ---- a step, a line of the table

line() { printf '%-34s %-14s %s\n' "$1" "$2" "${3:-}" | tee -a "$table"; }
skip() {
	line "$1" skipped "$2"
	printf '{"step":"%s","state":"skipped","why":"%s"}\n' "$1" "$2" >>results/steps.jsonl
}
# bound NAME SECONDS: sets limit, which is what is left at most; false: there is no time to begin it, which is counted
bound() {
	local left=$((minutes * 60 - SECONDS + began))
	limit=$(($2 * patience))
	[ $limit -lt $left ] || limit=$left
	[ $left -lt 5 ] || return 0
	late=$((late + 1))
	skip "$1" "$minutes minutes are over"
	return 1
}
# ask NAME SECONDS COMMAND…: a question in passing, its answer to results/NAME.txt. No line, but for one that is not answered in time.
ask() {
	local name=$1 limit=$2 rc
	shift 2
	bound "$name" "$limit" || return 77
	timeout -k 5 "$limit" "$@" >"results/$name.txt" 2>/dev/null
	rc=$?
	case $rc in
	124 | 137)
		line "$name" "no answer" "within $limit s: $1"
		failed=$((failed + 1))
		;;
	esac
	return $rc
}
# step NAME SECONDS COMMAND…: the output to results/NAME.txt. Exit 77 of the command: it is skipped, its last line says why.
step() {
	local name=$1 limit=$2 t=$SECONDS rc state
	shift 2
	bound "$name" "$limit" || return 77
	timeout -k 5 "$limit" "$@" >"results/$name.txt" 2>&1
	rc=$?
	case $rc in 0) state=ok ;; 124 | 137) state="over $limit s" ;; 77) skip "$name" "$(tail -n 1 "results/$name.txt")" && return 77 ;; *) state="exit $rc" ;; esac
	[ $rc = 0 ] || failed=$((failed + 1))
	line "$name" "$state" "$((SECONDS - t)) s"
	printf '{"step":"%s","state":"%s","seconds":%d}\n' "$name" "$state" $((SECONDS - t)) >>results/steps.jsonl
	return $rc
}
# measure NAME SECONDS COMMAND…: a step whose lines of JSON are kept under its name
measure() {
	step "$@" && grep -h '^{' "results/$1.txt" | sed "s/^{/{\"measure\":\"$1\",/" >>results/measures.jsonl
}
finish() {
	echo
	echo "---- $(head -n 1 VERSION)"
	grep -h '^# cuda' results/measure.txt 2>/dev/null
	timeout -k 5 10 nvidia-smi --query-gpu=name,driver_version,clocks.max.sm --format=csv,noheader 2>/dev/null
	cat "$table"
	grep -h 'TFLOP/s\|GB/s' results/measure*.txt 2>/dev/null
	cat results/measures.jsonl 2>/dev/null
	echo "$failed failed, $late not begun for time, $((SECONDS - began)) s"
	[ "$failed" = 0 ] && [ "$late" = 0 ]
}

# ---- without a card: the same checks on the emulated device
step emulated-f32 60 emulated/bench_gpu check cuda/f32
step emulated-bf16 90 emulated/bench_gpu check cuda/bf16

# ---- the device
# cuBLASLt and NCCL as pip's torch brings them, where the machine has none of its own
missing=''
for lib in libcublasLt.so libnccl.so.2; do
	PATH=$PATH:/sbin:/usr/sbin ldconfig -p | grep -q "$lib" || missing="$missing $lib"
done
if [ -n "$missing" ] && ask pip 20 "$python" -c 'import glob, sys; print(":".join(f for p in sys.path for f in sorted(glob.glob(p + "/nvidia/*/lib"))))' &&
	[ -s results/pip.txt ] && folders=$(cat results/pip.txt) && [ -n "$folders" ]; then
	export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folders
	line libraries "pip's" "no$missing here: $folders"
fi
step doctor 30 bin/assay doctor
# What the demo and the push need of the machine or of tools/: a commit that is pushed and read back
tools() {
	local git="git -c user.name=run -c user.email=run@localhost"
	for name in git jq sqlite3; do command -v $name || { echo "there is no $name, and none in tools/" && return 1; }; done
	rm -rf results/tools && mkdir -p results/tools && cd results/tools || return
	git init -q --bare origin && git clone -q origin work 2>&1 && cd work && echo '{"a":[1]}' >file && git add file &&
		$git commit -qm one && git push -q origin HEAD:main && [ "$(git -C ../origin show main:file | jq -c .a)" = "[1]" ] &&
		[ "$(sqlite3 db 'CREATE TABLE t (a); INSERT INTO t VALUES (7); SELECT a FROM t')" = 7 ]
}
export -f tools
step tools 20 bash -c tools
step device 60 bin/bench_gpu check "$device/f32"
rc=$?
if [ $rc != 0 ]; then
	cat results/device.txt
	echo "there is no device to go on with; what needs none has been run:"
	finish
	[ $rc != 78 ] || exit 78 # there is one, and it cannot be used so
	exit 69
fi

# ---- checks: the kernels against the reference in double, and against themselves; the same on graphs and without
# shellcheck disable=SC2086 # a list of words
step kernels-bf16 60 bin/bench_gpu check "$device/bf16" $pinned
step kernels-tf32 60 bin/bench_gpu check "$device/tf32"
kernels='test_gemm test_cuda_norm test_cuda_pointwise test_cuda_loss test_cuda_head test_cuda_draw test_cuda_attn test_cuda_attn_back'
for name in $kernels; do
	short=${name#test_}
	# shellcheck disable=SC2046 # a list of words
	TEST_DEVICE=$device step "kernels-${short#cuda_}" 90 "bin/$name" $([ "$name" = test_gemm ] && echo "$gemm")
done
export kernels TEST_DEVICE=$device

# ---- whole models: scores in other company, again, without graphs; the CPU's; those of transformers
# The model is of the demo's data and shape, trained here on the device.
small_world() {
	mkdir -p results/world/data && cp -R demo/repo/. results/world && cp -R demo/data/. results/world/data &&
		cd results/world && ../../bin/assay train assay.yaml $2 --device "$1" --out ../model
}
# on_the_card REPOSITORY MODEL: every version of it was made on a CUDA device, by its lineage
on_the_card() {
	local assay=$PWD/bin/assay class version
	for version in $(cd "$1" && "$assay" models --json | jq -r ".[] | select(.model == \"$2\") | .number"); do
		class=$(cd "$1" && "$assay" data lineage "$2@v$version" | grep -oE '(cpu|cpu_ref|cuda)-[0-9]+/[^ ]+' | sort -u)
		echo "$2@v$version: ${class:-no numerics class}"
		case $class in *cpu* | '') echo "it was not made on the card" && return 1 ;; esac
	done
	[ -n "${version:-}" ] || { echo "there is no version of $2" && return 1; }
}
# The demo takes the device "auto", and what is said to it by variables it forgets: so it sees this card alone.
demo() {
	local n=${device#cuda} cards=${CUDA_VISIBLE_DEVICES:-}
	n=${n#:}
	export CUDA_VISIBLE_DEVICES=${n:-0}
	[ -z "$cards" ] || CUDA_VISIBLE_DEVICES=$(echo "$cards" | cut -d, -f$((${n:-0} + 1)))
	bash demo/run "$PWD/bin" && on_the_card bin/demo/work dates
}
export device
export -f small_world on_the_card demo
step model 60 bash -c "small_world $device '$first'"
[ -n "$dry" ] || step demo 150 bash -c demo
for i in $(seq 1 $questions); do
	echo "{\"id\":$i,\"context\":\"de: $((i % 28 + 1)). Mai $((1900 + i % 120))\",\"continuation\":\"$((1900 + i % 120))-05-$((i % 28 + 10))\"}"
done >results/questions.jsonl
score() { bin/assay score results/model --device "$2" --batch-tokens "$3" <results/questions.jsonl >"results/scores-$1"; }
near() { paste -d' ' <(grep -o '"logprob":[^,]*' "results/scores-$1" | cut -d: -f2) <(grep -o '"logprob":[^,]*' "results/scores-$2" | cut -d: -f2) |
	awk -v limit="$3" '{d = $1 - $2; d = d < 0 ? -d : d; m = d > m ? d : m} END {printf "largest difference %.3g, limit %s\n", m, limit; exit !(NR && m < limit)}'; }
# The same answers, and to all questions: two scores that failed are equal, too
same() {
	local name
	for name in "$1" "$2"; do
		[ "$(grep -c '"logprob"' "results/scores-$name")" = "$questions" ] ||
			{ echo "scores-$name has not the answers to $questions questions" && return 1; }
	done
	cmp "results/scores-$1" "results/scores-$2"
}
export questions
export -f score near same
step score-4096 20 bash -c "score 4096 $device 4096"
step score-64 20 bash -c "score 64 $device 64"
step score-again 20 bash -c "score again $device 4096"
ASSAY_CUDA_GRAPHS=0 step score-single 20 bash -c "score single $device 4096"
step score-cpu 20 bash -c "score cpu cpu 4096"
step score-f32 20 bash -c "score f32 $device/f32 4096"
step batch-invariance 5 bash -c "same 4096 64"
step same-again 5 bash -c "same 4096 again"
step same-without-graphs 5 bash -c "same 4096 single"
step f32-near-the-cpu 5 bash -c 'near f32 cpu 1e-3'
# train_again MODEL OPTIONS DEVICE: a training is the same bytes again, on one card, in the class that trains
train_again() {
	local turn
	rm -rf results/again-[12]
	for turn in 1 2; do
		bin/assay train "results/$1" --data demo/data/train/de.jsonl $2 --device "$3" --out "results/again-$turn" || return
	done
	sha256sum results/again-[12]/model.safetensors
	cmp results/again-1/model.safetensors results/again-2/model.safetensors && ! cmp -s results/again-1/model.safetensors "results/$1/model.safetensors"
}
export -f train_again
step train-same-again 60 bash -c "train_again model '$again' $device"

# A training on two cards against the same one on one: the same bytes, and by NCCL
two_cards() {
	local cards
	for cards in cuda:0 cuda:0,1; do
		bin/assay train results/model --data demo/data/train/de.jsonl --set max_steps=20 --set data_parallel=2 --device "$cards" \
			--out "results/cards-${#cards}" || return
	done 2>&1 | tee results/two-cards.log
	! grep "by the host" results/two-cards.log && cmp results/cards-6/model.safetensors results/cards-8/model.safetensors
}
export -f two_cards
if command -v nvidia-smi >/dev/null; then ask cards 20 nvidia-smi -L; fi
if [ "$(grep -c . results/cards.txt 2>/dev/null)" -gt 1 ]; then
	step two-cards 60 bash -c two_cards
else
	skip two-cards "there are not two"
fi
peers='' # imported once: from a cold disk it takes its time
if ask python 60 "$python" -c 'import torch, transformers'; then peers=yes; fi
if [ -n "$peers" ]; then
	ASSAY_DEVICE=$device/f32 step transformers 60 "$python" check_transformers.py results/model "$PWD/bin/assay"
else
	skip transformers "$python has no torch and transformers (PYTHON=…)"
fi

# The sum of all log-likelihoods, that two engines must share within a hundredth: who does less work than the others is found out
agree() { cat "results/$1.txt" "results/$2.txt" 2>/dev/null | sed -n 's/.*"logprob": *\([-0-9.e]*\).*/\1/p' |
	awk '{ a[NR] = $1 } END { d = a[1] - a[2]; d = d < 0 ? -d : d; print a[1], a[2]; exit !(NR == 2 && d <= -0.01 * a[1]) }'; }
export -f agree

# Pins for these shapes, or why there are none
pins() {
	bin/bench_gpu pins "$1" results/libassay-cuda.pins $2 || return
	[ -s results/libassay-cuda.pins ] && return
	bin/assay doctor | grep cublasLt
	bin/assay doctor | grep -q 'missing *cublasLt' || { echo "cublasLt is there, and none of its configurations passed" && return 1; }
	echo "none made: cublasLt is missing (results/pins.txt)"
	return 77
}
export -f pins

# Questions that share a prompt of five shots; the whole process is timed
shots() {
	local began ended
	cd suite || return
	began=$(date +%s%N)
	../bin/assay eval "../$1" charter.yaml --device "$2" -n "$3" >../results/shots.json || return
	ended=$(date +%s%N)
	awk -v ns=$((ended - began)) -v n="$3" 'BEGIN { printf "{\"engine\":\"assay\",\"questions\":%d,\"seconds\":%.3f}\n", n, ns / 1e9 }'
}
export -f shots

# ---- measures: the card's limits first, then assay beside its peers on the same folders of random weights
# shellcheck disable=SC2086 # lists of words
measures() {
	local b="backend=$device" bl
	step measure 60 bin/bench_gpu measure "$device" $dry
	measure limits-torch 30 "$python" peers/bench_torch_limits.py $torch $limits
	step shapes 60 "$python" peers/make_shape.py results/gpt2 $gpt2 || return
	step shapes-llama 60 "$python" peers/make_shape.py results/llama $llama || return
	step shapes-smol 60 "$python" peers/make_shape.py results/smol $smol || return
	measure push-smol 90 bash push.sh results/smol "$device" $push
	measure shots-smol 60 bash -c "shots results/smol $device $shots"
	measure shots-smol-lm-eval 120 bash -c "cd suite && '$python' ../peers/bench_torch_suite.py ../results/smol $shots $torch"
	local length=length=${gpt2##*length=}
	measure train-gpt2 40 bin/bench_train results/gpt2 "$b" batch=$batch $length steps=$steps
	ASSAY_CUDA_GRAPHS=0 measure train-gpt2-without-graphs 30 bin/bench_train results/gpt2 "$b" batch=$batch $length steps=$steps
	measure train-gpt2-torch 90 "$python" peers/bench_torch_train.py results/gpt2 batch=$batch $length steps=$steps $torch
	if [ -n "$llmc" ]; then
		measure train-gpt2-llmc 60 bash peers/bench_llmc_cuda "$llmc" results $batch "${length#length=}" $steps
	else
		skip train-gpt2-llmc "no source tree of llm.c (--llm-c DIR)"
	fi
	bl="batch=$batch_llama $length"
	measure train-llama 60 bin/bench_train results/llama "$b" $bl steps=$steps
	measure lora-llama 40 bin/bench_train results/llama "$b" $bl steps=$steps lora=16
	measure lora-llama-peft 60 "$python" peers/bench_torch_train.py results/llama $bl steps=$steps lora=16 $torch
	for name in gpt2 llama; do
		measure score-$name 40 bin/bench_ask results/$name "$b" $length score=$requests
		measure score-$name-transformers 60 "$python" peers/bench_torch_score.py results/$name $length score=$requests $torch
		measure score-$name-lm-eval 60 "$python" peers/bench_torch_score.py results/$name $length score=$requests harness=1 $torch
	done
	measure decode-gpt2 30 bin/bench_ask results/gpt2 "$b" decode=$tokens
	for name in gpt2 llama; do
		step same-as-transformers-$name 5 bash -c "agree score-$name score-$name-transformers"
	done
	ASSAY_CUDA_GRAPHS=0 measure decode-gpt2-without-graphs 30 bin/bench_ask results/gpt2 "$b" decode=$tokens
}
# shellcheck disable=SC2086 # lists of words
step pins 90 bash -c "pins $device '$pins'"
if [ -n "$peers" ]; then
	measures
else
	skip measures "$python has no torch and transformers, which make the random models (PYTHON=…)"
	step measure 60 bin/bench_gpu measure "$device" $dry
fi
# The same with the pins: products in all forms against the reference, a training that takes its gradients by them, and the rates
# Is one in force? Else what follows would be the plugin's own products again.
pins_in_force() {
	bin/bench_gpu sanitize "$1/bf16" | grep '^# .*/lt[0-9]' && return
	bin/assay doctor | grep cublasLt
	echo "no pin is in force" && return 1
}
export -f pins_in_force
# shellcheck disable=SC2086 # lists of words
with_pins() {
	local name=gpt2 # whose weights they are for; without torch there is only the demo's
	if ! step pins-in-force 30 bash -c "pins_in_force $device"; then
		for name in kernels train-same-again measure train-gpt2 train-llama; do
			skip $name-pinned "no pin is in force"
		done
		return
	fi
	step kernels-pinned 60 bin/bench_gpu check "$device/bf16" $pinned
	[ -d results/gpt2 ] || name=model
	step train-same-again-pinned 60 bash -c "train_again $name '$again_large' $device"
	step measure-pinned 60 bin/bench_gpu measure "$device" $dry
	[ -d results/gpt2 ] || return
	measure train-gpt2-pinned 40 bin/bench_train results/gpt2 "backend=$device" batch=$batch "length=${gpt2##*length=}" steps=$steps
	measure train-llama-pinned 60 bin/bench_train results/llama "backend=$device" batch=$batch_llama "length=${llama##*length=}" steps=$steps
}
if [ -s results/libassay-cuda.pins ]; then
	cp results/libassay-cuda.pins bin/
	with_pins
	rm -f bin/libassay-cuda.pins
fi
# ---- the same under compute-sanitizer, last: how long it takes nobody knows, and it would keep the others from their time
# Of a device that the tool refuses nothing is known
sanitize() {
	local rc
	ASSAY_CUDA_SLABS=0 "$sanitizer" --tool "$@" 2>&1 | tee results/sanitize.txt
	rc=${PIPESTATUS[0]}
	if [ "$rc" != 0 ] && grep -qi 'device not supported' results/sanitize.txt; then
		echo "compute-sanitizer says that it does not support this device here"
		return 77
	fi
	return "$rc"
}
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
export sanitizer
export -f sanitize
# ASSAY_CUDA_SLABS=0: memory in slabs would hide a byte beyond a block
for tool in memcheck racecheck synccheck; do
	if [ -z "$sanitizer" ]; then
		skip "sanitizer-$tool" "compute-sanitizer is not installed"
	else
		step "sanitizer-$tool" 45 bash -c "sanitize $tool --error-exitcode 9 bin/bench_gpu sanitize $device/bf16"
	fi
done

# Of the products those cases that ask for few
every_kernel() {
	for name in $kernels; do
		set --
		[ "$name" != test_gemm ] || set -- products f32 packed
		sanitize memcheck --error-exitcode 9 "bin/$name" "$@" || return
	done
}
export -f every_kernel
if [ -n "$sanitizer" ]; then
	step sanitizer-kernels 90 bash -c every_kernel
else
	skip sanitizer-kernels "compute-sanitizer is not installed"
fi

rm -rf results/gpt2 results/llama results/smol results/push # some gigabytes
finish
