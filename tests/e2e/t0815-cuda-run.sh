#!/usr/bin/env bash
# A run on a CUDA device, in the emulation: its numerics class is a part of the keys, of the record and of what reproduces it; what the
# doctor says is missing; and every way in which a device fails a run: one error with the fix, 69 or 78, nothing published, and
# the same command goes on, to the same bytes.
. "$(dirname "$0")/lib.sh"
needs_emulation "a run in the emulation"
tiny_repo repo
sed -i 's/max_steps: 250/max_steps: 4/; s/batch_tokens: 256/batch_tokens: 64/; s/min: 0.5, max_drop: 0.1/min: 0/' assay.yaml
git add -A && git commit -qm "few steps"
emu() { "$EMU" "$@"; }
# with VAR=VALUE… -- ARGUMENTS: the program on such a machine
with() {
	local machine=()
	while [ "$1" != -- ]; do machine+=("$1") && shift; done
	shift
	env "${machine[@]}" "$EMU" "$@"
}

# ---- what there is

check "the doctor on a machine with a card" 0 emu doctor
has "cuda         the driver is for CUDA 13.0, the plugin of 13.0; 1 device"
has "missing  cublasLt     libcublasLt.so.12 or .13 is not found"
has "the plugin's own matrix products are used"
check "without a driver" 0 with EMU_DRIVER=0 -- doctor
has "missing  cuda         cuda: there is no NVIDIA driver (libcuda.so.1) on this machine"
has "fix: install the driver of the card"
check "with an old one" 0 with EMU_DRIVER=11080 -- doctor
has "it is for CUDA 11.8, the plugin needs 13.0"
check "with an old card" 0 with EMU_CC=75 -- doctor
has "missing  cuda:0"
has "compute capability 7.5, and 8.0 is needed"
check "with a card that somebody else has" 0 with EMU_INJECT="cudaStreamCreateWithFlags 0 46 sticky" -- doctor
has "another process has taken the device"

# ---- devices that cannot be opened: the run does not begin

refused() { # WHAT CODE WORDS MACHINE DEVICE
	check "$1" "$2" with "$4" -- run --device "$5"
	has "$3"
	has "fix: "
}
refused "no driver" 69 "no NVIDIA driver" EMU_DRIVER=0 cuda
refused "a driver that is too old" 78 "driver is too old" EMU_DRIVER=11080 cuda
refused "a card that is too old" 78 "emulation is too old" EMU_CC=75 cuda
refused "cuda:7 where there are two" 69 "2 devices are visible, cuda:0 to cuda:1" EMU_DEVICES=2 cuda:7
refused "a card in use by another process" 69 "busy or unavailable" "EMU_INJECT=cudaStreamCreateWithFlags 0 46 sticky" cuda
refused "a plugin without code for the card" 69 "the plugin was not built for this card" "EMU_INJECT=launch 0 209" cuda
is "nothing was published" "$(emu models --json)" "[]"
check "auto takes the CPU" 0 with EMU_DRIVER=0 -- run --device auto

# ---- the class is a part of the keys and of what is recorded

check "a run in fp32" 0 emu run --device cuda/f32
has "Made sums@v2"
emu plan --device cuda/bf16 >"$OUT" 2>"$ERR"
has "numerics  cuda-2/bf16/sm_90/emulation.4/own"
has "(train: full)"
emu plan --device cuda/f32 >"$OUT" 2>"$ERR"
has "(reuse: trained before from the same inputs)"
emu data lineage sums@v2 >"$OUT" 2>"$ERR"
has "cuda-2/f32/sm_90/emulation.4/own"
check "it is reproduced on the device of its class" 0 emu reproduce HEAD
has "cuda-2/f32/sm_90/emulation.4/own"
has "the same bits"
check "not on one of another class" 69 emu reproduce HEAD --device cuda/bf16
has "the run's numbers are of the class cuda-2/f32/sm_90/emulation.4/own, this machine's of cuda-2/bf16"

# ---- devices that fail a run

# one that does not even say how much memory it has: no question of memory
silent() { # COMMAND…
	EMU_INJECT="cudaMemGetInfo 0 719 sticky" "$EMU" "$@" <reqs >"$OUT" 2>"$ERR"
	is "a card that fails when it is asked for its memory: $1" "$?" 69
	has "unspecified launch failure (cudaErrorLaunchFailure) at cudaMemGetInfo("
	has "kernels/cuda_memory.cu:"
	hasnt "needs about"
}
echo '{"id":1,"context":"1+1=","continuation":"2"}' >reqs
silent run --device cuda
silent train sums@v1 --data data/train.jsonl --set max_steps=2 --out lost --device cuda
silent score sums@v1 --device cuda
[ ! -e lost/model.safetensors ] && ok "nothing is trained" || not_ok "nothing is trained"
check "the doctor names it" 0 with EMU_INJECT="cudaMemGetInfo 0 719 sticky" -- doctor
has "missing  cuda:0"
has "at cudaMemGetInfo("
# a device that is lost, or a call that is refused, is no lack of memory: nothing is asked again with fewer tokens
for i in $(seq 40); do echo "{\"id\":$i,\"context\":\"$i+1=\",\"continuation\":\"2\"}"; done >reqs.score
for i in $(seq 40); do echo "{\"id\":$i,\"prompt\":\"1+$i=\"}"; done >reqs.generate
ends() { EMU_INJECT="$2" "$EMU" "$1" sums@v1 --device cuda --batch-tokens 2048 <"reqs.$1"; }
for what in "launch 20 700 sticky" "launch 20 719 sticky" "launch 20 1" "cudaMemcpyAsync 30 700 sticky"; do
	for command in score generate; do
		check "$command ends: $what" 69 ends $command "$what"
		is "with one error and its fix" "$(grep -c . "$ERR") $(sed -n 's/^ *\(error\|fix\): .*/\1/p' "$ERR" | tr '\n' ' ')" "2 error fix "
	done
done
object() { emu models --json | jq -r '.[0].object'; }
mv .git/assay ../first.home
check "a run that nothing happens to" 0 emu run --device cuda
whole=$(object)
rm -rf .git/assay
check "training with less memory than it needs is refused by the plan" 69 with EMU_MEMORY_MB=9 -- run --device cuda
has "training needs about 1.1 MB of memory (weights "
has "what is free on the device"
check "and where the plan did not see it, it ends with what was wanted" 69 with EMU_INJECT="cudaMalloc 12 2" -- run --device cuda
has "no memory for 1 MB more: 1015 MB of the device's 1024 MB are free"
has "gradient_checkpointing"
for what in "cudaGraphLaunch 0 719" "cudaEventSynchronize 2 214" "cudaStreamSynchronize 3 46" "cudaMemcpyAsync 30 700"; do
	check "an error for good, at $what" 69 with EMU_INJECT="$what sticky" -- run --device cuda
	has "fix: "
	is "nothing is published" "$(emu models --json)" "[]"
done
# a kernel that faults, later and later: in the training, then in the evaluation of what was trained by then, until there is none left
lost=0 reused=0
for nth in 10 60 160 260 300 340 380 400 420 440 460 480 500 520 540 600 700 800 1000 1500; do
	EMU_INJECT="launch $nth 700 sticky" "$EMU" run --device cuda >"$OUT" 2>"$ERR"
	rc=$?
	[ $rc != 0 ] || break
	lost=$((lost + 1))
	grep -q 'illegal memory access' "$ERR" && grep -q 'resumes where it was' "$ERR" && [ "$(emu models --json)$rc" = "[]69" ] ||
		not_ok "launch $nth: 69 with one error, and nothing published (exit $rc)"
	emu plan --device cuda 2>/dev/null | grep -q "(reuse: " && reused=$((reused + 1))
done
is "the last one is not lost" "$rc" 0
[ $lost -gt 3 ] && ok "runs that lost their device said so: $lost" || not_ok "runs that lost their device said so: $lost"
[ $reused -gt 0 ] && ok "what was trained by then is not trained again: $reused" || not_ok "what was trained by then is not trained again: $reused"
is "the model is the same" "$(object)" "$whole"
done_testing
