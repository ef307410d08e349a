#!/usr/bin/env bash
# Training on several devices, a process each: the bytes of one device, whatever is killed on the way; in a Slurm step, whose
# variables are set by hand here; and what is said of lists that cannot be.
. "$(dirname "$0")/lib.sh"
tiny_repo repo
assay run --device cpu >/dev/null 2>&1
sum() { sha256sum <"$1/model.safetensors"; }
train() { # DIR OPTION…
	local out=$1
	shift
	assay train sums@v1 --data data/train.jsonl --set max_steps=8 --set batch_tokens=128 --out "$out" "$@"
}

check "three shares on one device" 0 train one --device cpu --set data_parallel=3
check "on two" 0 train two --device cpu,cpu --set data_parallel=3
is "gives the same weights" "$(sum two)" "$(sum one)"
check "as many devices are as many shares" 0 train three --device cpu,cpu,cpu
is "gives the same weights, too" "$(sum three)" "$(sum one)"
check "factors in three shares" 0 train lora1 --device cpu --set data_parallel=3 --set method=lora --set lora_dropout=0.1
check "factors on three devices" 0 train lora3 --device cpu,cpu,cpu --set method=lora --set lora_dropout=0.1
is "the same factors" "$(sha256sum <lora3/adapter/adapter_model.safetensors)" "$(sha256sum <lora1/adapter/adapter_model.safetensors)"
check "one share" 0 train whole --device cpu
[ "$(sum whole)" != "$(sum one)" ] && ok "has other bits, which is why shares are in the key" || not_ok "has other bits, which is why shares are in the key"

# a whole run, from fresh weights, and the same run again on one device
echo "# again" >>README.md
sed -i 's/learning_rate: .*/learning_rate: 1e-3/' assay.yaml
git add -A && git commit -qm "another rate"
check "a run on two devices" 0 assay run --device cpu,cpu --json

is "its training says how many shares it had" "$(assay show HEAD --json | jq .training.data_parallel)" 2
check "is made again on one device" 0 assay reproduce HEAD
has "the same bits"

# who is killed, or told to stop
long() { train "$1" --device cpu,cpu --set data_parallel=2 --set max_steps=150 --checkpoint-every 0.001; }
long straight >/dev/null 2>&1
begin() { # NAME: a training of its own process group, at its first checkpoints
	rm -rf "$1"
	setsid "$ASSAY_TEST_BIN" train sums@v1 --data data/train.jsonl --set batch_tokens=128 --device cpu,cpu --set data_parallel=2 \
		--set max_steps=150 --checkpoint-every 0.001 --out "$1" >"$1.out" 2>"$1.err" &
	pid=$!
	for _ in $(seq 1 500); do
		[ "$(find "$1/.assay-train/checkpoints" -name 'checkpoint-*' 2>/dev/null | wc -l)" -ge 2 ] && break
		sleep 0.01
	done
	hand=$(ps -o pid= --ppid "$pid" | tr -d ' ')
}
ended() { # CODE WHAT: the training has ended like this, and left nobody behind
	wait "$pid" 2>/dev/null
	is "$2" "$?" "$1"
	for _ in $(seq 1 500); do kill -0 "$hand" 2>/dev/null && sleep 0.01 || break; done
	kill -0 "$hand" 2>/dev/null && not_ok "$2: no rank is left" || ok "$2: no rank is left"
}
begin killed
kill -KILL "$hand"
ended 69 "a rank is killed"
grep -q "rank 1 (cpu) .*signal 9" killed.err && ok "it is named" || { not_ok "it is named"; sed 's/^/# /' killed.err; }
grep -q "goes on from the last checkpoint" killed.err && ok "with what helps" || not_ok "with what helps"
is "one error is printed" "$(grep -c '^error' killed.err)" 1
[ ! -e killed/model.safetensors ] && ok "nothing is published" || not_ok "nothing is published"
check "the same command again" 0 long killed
is "gives the same weights" "$(sum killed)" "$(sum straight)"
begin orphan
kill -KILL "$pid"
ended 137 "rank 0 is killed"
check "the same command again, behind that" 0 long orphan
is "gives the same weights as well" "$(sum orphan)" "$(sum straight)"
begin stopped
kill -TERM "$hand"
ended 75 "a rank is told to stop"
check "a stopped one goes on" 0 long stopped
is "and gives the same weights" "$(sum stopped)" "$(sum straight)"

codes() { # PID…: how they ended
	local pid
	for pid in "$@"; do
		wait "$pid"
		printf '%s ' $?
	done
}

# a Slurm step: every task is given the same command
step() { # TASKS OUT OPTION…: the exit codes of all tasks, and rank 0's output in $2.0
	local n=$1 out=$2 i pids=()
	shift 2
	for i in $(seq 0 $((n - 1))); do
		SLURM_JOB_ID=7 SLURM_STEP_ID=$n SLURM_PROCID=$i SLURM_LOCALID=$i SLURM_STEP_NUM_TASKS=$n "$ASSAY_TEST_BIN" train sums@v1 \
			--data data/train.jsonl --set max_steps=8 --set batch_tokens=128 --device cpu --threads 1 --out "$out" "$@" \
			>"$out.$i" 2>&1 &
		pids+=($!)
	done
	codes "${pids[@]}"
}
is "three tasks of a step" "$(step 3 slurm)" "0 0 0 "
is "are one training" "$(sum slurm)" "$(sum one)"
is "only one speaks" "$(cat slurm.1 slurm.2)" ""
is "and leave no file" "$(find slurm -name '.assay*' | wc -l)" 0
is "one error ends all tasks" "$(step 2 wrong --set data_parallel=1)" "65 0 "
SLURM_JOB_ID=7 SLURM_NTASKS=4 SLURM_PROCID=0 check "a batch script outside srun is no step" 0 train batch --device cpu

# lists that cannot be
check "nothing beside a comma" 64 train bad --device cpu,
check "not every device has its number" 64 train bad --device auto,cpu
has "each has its number"
check "twice the same card" 64 train bad --device cuda:0,0
has "named twice"
for list in cuda:0,00 cuda:0,cuda:01 cuda:0,+1 cuda:0,cuda: cuda:0,cpux cuda:0,cuda:-1 "cuda:0, 1"; do
	check "no list: $list" 64 train bad --device "$list"
	has "in a list each has its number"
done
for list in cuda:0,cpu cpu,cuda:0 cpu,1 cpu,cpu_ref cuda:0,1,cpu_ref; do
	check "not of one kind: $list" 64 train bad --device "$list"
	has "the devices are not of one kind"
done
check "nor for a run" 64 assay run --device cpu,cuda:0
has "the devices are not of one kind"
check "all cards of a machine that has none" 69 train bad --device cuda:all
check "scoring takes one" 64 assay score sums@v1 --device cpu,cpu
has "several devices are for training"
check "nor all" 64 assay score sums@v1 --device cuda:all
has "several devices are for training"
check "in any class" 64 assay score sums@v1 --device cuda:all/f32
has "several devices are for training"
check "fewer shares than devices" 65 train bad --device cpu,cpu --set data_parallel=1
has "there are 2 devices"
check "rank is no command of users" 64 assay rank 1 2 cpu 1
[ ! -e bad/model.safetensors ] && ok "nothing is written" || not_ok "nothing is written"

# emulated cards
EMU=$(dirname "$ASSAY_TEST_BIN")/cuda/bin/assay
[ -x "$EMU" ] || {
	skip "emulated cards" "they are not built (make tests-build)"
	done_testing
	exit
}
export EMU_DEVICES=2
few() { # DIR OPTION…
	local out=$1
	shift
	"$EMU" train sums@v1 --data few.jsonl --set batch_tokens=64 --set max_steps=3 --out "$out" "$@"
}
head -n 16 data/train.jsonl >few.jsonl
check "two shares on one emulated card" 0 few emu1 --device cuda:0/f32 --set data_parallel=2
export EMU_NCCL_LOG=$PWD/nccl.log
check "on two cards" 0 few emu2 --device cuda:0,1/f32
is "the same weights" "$(sum emu2)" "$(sum emu1)"
is "NCCL has carried the gradients" "$(sort nccl.log)" "$(printf 'rank 0 of 2: 6 groups\nrank 1 of 2: 6 groups')"
check "on all cards, in bf16" 0 few emuall --device cuda:all
check "on one, in bf16" 0 few emubf --device cuda:1 --set data_parallel=2
is "the same weights again" "$(sum emuall)" "$(sum emubf)"
export EMU_DEVICES=3
check "five shares on three cards" 0 few emu3 --device cuda:0,1,2/f32 --set data_parallel=5
check "five shares on one card" 0 few emu5 --device cuda:2/f32 --set data_parallel=5
is "the same weights whatever the rounds" "$(sum emu3)" "$(sum emu5)"
export EMU_DEVICES=2 EMU_NCCL=missing
check "without NCCL" 0 few emuhost --device cuda:0,1/f32
has "go from device to device by the host"
is "the same weights by the host" "$(sum emuhost)" "$(sum emu1)"
export EMU_NCCL="fail 3"
check "an error of NCCL on one card ends both" 69 few emufail --device cuda:0,1/f32 --checkpoint-every 0.001
has "rank 1 (cuda:1/f32): cuda:1: NCCL: unhandled system error at ncclGroupEnd"
unset EMU_NCCL
check "the same command goes on" 0 few emufail --device cuda:0,1/f32 --checkpoint-every 0.001
is "to the same weights" "$(sum emufail)" "$(sum emu1)"
export EMU_NCCL="die 3" # and NCCL does not notice
check "a rank that dies in the middle of a group ends both" 69 few emudie --device cuda:0,1/f32 --checkpoint-every 0.001
has "rank 1 (cuda:1/f32) was ended by signal 9"
unset EMU_NCCL
check "and they go on from there" 0 few emudie --device cuda:0,1/f32 --checkpoint-every 0.001
is "to the same weights too" "$(sum emudie)" "$(sum emu1)"
export EMU_NCCL=alone # the cards look for one another, and whoever is told to stop does not wait for it
for told in 0 1; do
	setsid "$EMU" train sums@v1 --data few.jsonl --set batch_tokens=64 --set max_steps=3 --out alone --device cuda:0,1/f32 >alone.out 2>alone.err &
	pid=$!
	hand=
	for _ in $(seq 1 500); do
		hand=$(ps -o pid= --ppid "$pid" | tr -d ' ')
		[ -n "$hand" ] && break
		sleep 0.01
	done
	sleep 2
	kill -TERM "$([ $told = 0 ] && echo "$pid" || echo "$hand")"
	ended 75 "rank $told is told to stop while the cards meet"
	grep -q "while the devices met" alone.err && ok "and says so" || { not_ok "and says so"; sed 's/^/# /' alone.err; }
done
unset EMU_NCCL
check "doctor tells of NCCL where there are two cards" 0 "$EMU" doctor
has "NCCL 2.28.9"
# a card and the host, which only a Slurm step can still bring together: each task has a device of its own
mixed() { # DEVICE DEVICE: the exit codes of both tasks
	local i pids=() devices=("$@")
	for i in 0 1; do
		SLURM_JOB_ID=7 SLURM_STEP_ID="9$1" SLURM_PROCID=$i SLURM_LOCALID=0 SLURM_STEP_NUM_TASKS=2 "$EMU" train sums@v1 --data few.jsonl \
			--set batch_tokens=64 --set max_steps=3 --device "${devices[i]}" --threads 1 --out mixed >"mixed.$i" 2>&1 &
		pids+=($!)
	done
	codes "${pids[@]}"
}
for pair in "cuda:0/f32 cpu" "cpu cuda:0/f32"; do
	ends=$(mixed $pair)
	is "a step on ${pair/ / and } ends" "${ends%% *}" 69
	grep -q "the devices are not of one kind" mixed.0 && ok "and says why" || { not_ok "and says why"; sed 's/^/# /' mixed.0; }
done
check "more cards than there are" 69 few bad --device cuda:0,1,2/f32
has "rank 2 (cuda:2/f32): cuda:2: there is no such device"
done_testing
