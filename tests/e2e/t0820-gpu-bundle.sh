#!/usr/bin/env bash
# The script for a machine with a card, run from its first line to its last on the emulated device: all steps pass, what is not
# there is skipped with a reason, what is missing ends it. Peers are stood in for: a Python that answers as they do, llm.c likewise.
# shellcheck disable=SC2034 # what functions of the script read
. "$(dirname "$0")/lib.sh"
BUNDLE=$(dirname "$ASSAY_TEST_BIN")/gpu-bundle-dry
[ -x "$BUNDLE/bin/bench_ask" ] || {
	skip "the bundle on the emulated device" "it is not built (make tests-build)"
	done_testing
	exit
}
cp -r "$BUNDLE" bundle && cd bundle || exit 1
cat >python <<'STUB'
#!/usr/bin/env bash
case $* in
-c*nvidia*) echo "$PWD/pip/nvidia/cublas/lib" ;;     # where pip has put libraries
-c*) exit 0 ;;                                       # import torch, transformers
*make_shape.py*) cp -r results/model "$2" ;;         # a model of the right kind is there already
*check_transformers.py*) echo "the same" ;;
*harness=1* | *bench_torch_suite.py*) echo "this Python has no lm_eval" && exit 77 ;;
*lora=16*) echo "this Python has no peft" && exit 77 ;;
*bench_torch_score.py*) # what assay itself said of this folder
	sed 's/"assay"/"transformers"/' "results/score-$(basename "$2").txt" ;;
*) echo '{"engine":"torch","train_tokens_per_s":1}' ;;
esac
STUB
mkdir llm.c
cat >llm.c/train_gpt2cu <<'STUB'
#!/usr/bin/env bash
[ "$(head -c 4 "$2" | od -An -tu4 | tr -d ' ')" = 20240520 ] || exit 1
[ "$(wc -c <"$2")" = $((1024 + 2 * (2 * 16 * 4 + 1))) ] || exit 1
for r in 5 30 10 20; do echo "step 1/4 | loss 10.9 | 100.0 ms | 40.0% bf16 MFU | $r tok/s"; done
STUB
# Pins can be made and are in force, so that what follows them is run, too; the emulated device itself takes none.
mv bin/bench_gpu bin/bench_gpu-itself
cat >bin/bench_gpu <<'STUB'
#!/usr/bin/env bash
here=$(dirname "$0")
case $1 in
pins) echo "pin 90" >"$3" ;;
sanitize) "$here/bench_gpu-itself" "$@" | sed "1s|/own$|$(grep -q ^pin "$here/libassay-cuda.pins" && echo /lt1-0 || echo /own)|" ;;
*) exec "$here/bench_gpu-itself" "$@" ;;
esac
STUB
chmod +x python llm.c/train_gpt2cu bin/bench_gpu
# As on a machine with nothing but CUDA and PyTorch: no git, jq or sqlite3 but those of the bundle
mkdir bare
for f in /usr/local/bin/* /usr/bin/* /bin/*; do
	case ${f##*/} in git | git-* | jq | sqlite3) ;; *) ln -sf "$f" bare/ ;; esac
done
check "all of it runs" 0 env PATH="$PWD/bare" PYTHON="$PWD/python" bash run.sh --dry --minutes 200 --device cuda:0 --llm-c llm.c
has "0 failed"
has '{"measure":"train-gpt2-llmc","engine":"llm.c","batch":2,"length":16,"train_tokens_per_s":20}'
is "who is not there is skipped, and why" "$(grep -h '"why"' results/steps.jsonl | grep -v 'sanitizer\|two-cards' | jq -r '[.step, .why] | join(": ")' | sort)" \
	"lora-llama-peft: this Python has no peft
score-gpt2-lm-eval: this Python has no lm_eval
score-llama-lm-eval: this Python has no lm_eval
shots-smol-lm-eval: this Python has no lm_eval"
is "every measure is a line of JSON with its name" "$(jq -r .measure results/measures.jsonl | sort | tr '\n' ' ')" \
	"decode-gpt2 decode-gpt2-without-graphs limits-torch lora-llama push-smol score-gpt2 score-gpt2-transformers score-llama score-llama-transformers shots-smol train-gpt2 train-gpt2-llmc train-gpt2-pinned train-gpt2-torch train-gpt2-without-graphs train-llama train-llama-pinned "
is "kernels of every family are held against the reference" "$(jq -r 'select(.step | test("^kernels-")) | .step + " " + .state' results/steps.jsonl | sort | tr '\n' ' ')" \
	"kernels-attn ok kernels-attn_back ok kernels-bf16 ok kernels-draw ok kernels-gemm ok kernels-head ok kernels-loss ok kernels-norm ok kernels-pinned ok kernels-pointwise ok kernels-tf32 ok "
is "the tools that a bare machine lacks are the bundle's" "$(grep -c "^$PWD/tools/" results/tools.txt)" 3
is "a training is compared with itself" "$(jq -r 'select(.step | test("^train-same-again")) | .state' results/steps.jsonl | tr '\n' ' ')" "ok ok "
is "a push comes to a verdict" "$(jq -r .verdict results/push.json)" PASS
if PATH=$PATH:/sbin ldconfig -p | grep -q 'libcublasLt\.so'; then
	skip "libraries of pip are found" "the machine has its own"
else
	has "pip/nvidia/cublas/lib"
fi
is "graphs change no loss" "$(jq -c .losses results/train-gpt2.txt)" "$(jq -c .losses results/train-gpt2-without-graphs.txt)"
[ -e results/gpt2 ] && not_ok "the large models are gone" || ok "the large models are gone"


# What cannot hold is not called ok: functions of the script by themselves
functions() {
	for name in "$@"; do eval "$(sed -n "/^$name() {/,/^}/p" run.sh)"; done
}
functions line skip bound ask finish step same pins pins_in_force with_pins on_the_card sanitize
table=table.txt questions=12 failed=0 late=0 minutes=200 began=$SECONDS patience=1 device=cuda:0
check "scores that agree" 0 same 4096 64
: >results/scores-none && : >results/scores-nothing
check "scores of nothing do not" 1 same none nothing
has "scores-none has not the answers to 12 questions"
head -n 11 results/scores-4096 >results/scores-none
check "nor those of some of the questions" 1 same none none
is "every comparison of scores asks for all of them" "$(grep -c 'cmp results/scores' run.sh)" 0
export -f pins_in_force
echo "# no pin" >bin/libassay-cuda.pins
with_pins >"$OUT" 2>"$ERR"
is "where no pin is in force nothing is said of pins" "$failed $(grep -c ' ok ' "$OUT") $(grep -c 'skipped *no pin is in force' "$OUT")" "1 0 5"
rm bin/libassay-cuda.pins
cat >sanitizer <<'STUB'
#!/usr/bin/env bash
echo "========= Error: Device not supported. Please refer to the documentation" && exit 1
STUB
chmod +x sanitizer
sanitizer=$PWD/sanitizer
check "a device that compute-sanitizer does not know is no fault" 77 sanitize memcheck bin/bench_gpu
sanitizer=false
check "what it finds is one" 1 sanitize memcheck bin/bench_gpu
minutes=1 began=$((SECONDS - 58))
check "what would begin too late is not begun" 77 step late 10 true
has "1 minutes are over"
check "nor asked" 77 ask late 10 true
failed=0
check "and what was not begun is no success" 1 finish
has "0 failed, 2 not begun for time"
tiny_repo small
sed -i 's/max_steps: 250/max_steps: 2/; s/batch_tokens: 256/batch_tokens: 64/; s/min: 0.5, max_drop: 0.1/min: 0/' assay.yaml
git add -A && git commit -qm "few steps"
../bin/assay run --device cuda >"$OUT" 2>&1
cd ..
check "a model of the card" 0 on_the_card small sums
has "sums@v1: cuda-2/bf16/"
sed -i 's/seed: 1/seed: 2/' small/assay.yaml && git -C small commit -qam "again"
(cd small && ../bin/assay run --device cpu) >"$OUT" 2>&1
check "one that the CPU made is found out" 1 on_the_card small sums
has "it was not made on the card"
check "and so is none" 1 on_the_card small nothing

mv bin/bench_gpu-itself bin/bench_gpu
check "where no pins can be made it is skipped" 77 pins cuda:0 24:40
has "none made: cublasLt is missing"

check "a card that is not there ends it" 69 env PYTHON="$PWD/python" bash run.sh --dry --minutes 200 --device cuda:7
has "there is no such device"
has "what needs none has been run"
# Whoever does not answer ends in its time, and the whole in its minutes. All that is no question of time is stood in for.
mkdir -p quick/bin quick/emulated quick/peers quick/smi && cp run.sh VERSION quick/ && cp -R demo quick/
cat >quick/bin/stub <<'STUB'
#!/usr/bin/env bash
[ "$1 $2" != "check cuda:0/f32" ] || exit "${DEVICE_SAYS:-0}"
STUB
printf '#!/usr/bin/env bash\nsleep 1000\n' >quick/hang
chmod +x quick/bin/stub quick/hang && cp quick/hang quick/smi/nvidia-smi && cp quick/bin/stub quick/emulated/bench_gpu
for name in assay bench_gpu test_gemm test_cuda_norm test_cuda_pointwise test_cuda_loss test_cuda_head test_cuda_draw test_cuda_attn test_cuda_attn_back; do
	cp quick/bin/stub "quick/bin/$name"
done
check "Python and nvidia-smi hang, and it ends in its minute" 1 env PATH="$PWD/quick/smi:$PATH" PYTHON="$PWD/quick/hang" timeout 100 bash quick/run.sh --minutes 1
grep -q '^cards  *no answer' "$OUT" && ok "a hanging nvidia-smi is told" || not_ok "a hanging nvidia-smi is told"
grep -q '^python  *no answer' "$OUT" && ok "a hanging Python is told" || not_ok "a hanging Python is told"
grep -qE '^[0-9]+ failed, [1-9][0-9]* not begun for time, ' "$OUT" && ok "what was not begun is counted" || not_ok "what was not begun is counted"
check "a device that there is, and cannot be used" 78 env DEVICE_SAYS=78 PYTHON=false bash quick/run.sh --minutes 1

for minutes in 0 abc -1; do
	check "$minutes minutes" 64 bash run.sh --dry --minutes "$minutes"
done
check "an option without its value" 64 bash run.sh --minutes
check "an option it has not" 64 bash run.sh --nope
done_testing
