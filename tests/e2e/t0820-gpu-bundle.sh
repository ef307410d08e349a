#!/usr/bin/env bash
# The script for a machine with a card, run from its first line to its last on the emulated device: all steps pass, what is not
# there is skipped with a reason, what is missing ends it. Peers are stood in for: a Python that answers as they do, llm.c likewise.
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
# Pins can be made, so that what follows them is run, too; the emulated device takes none.
mv bin/bench_gpu bin/bench_gpu-itself
cat >bin/bench_gpu <<'STUB'
#!/usr/bin/env bash
[ "$1" = pins ] || exec "$(dirname "$0")/bench_gpu-itself" "$@"
echo "# no pin" >"$3"
STUB
chmod +x python llm.c/train_gpt2cu bin/bench_gpu
check "all of it runs" 0 env PYTHON="$PWD/python" bash run.sh --dry --minutes 200 --device cuda:0 --llm-c llm.c
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
	"kernels-attn ok kernels-attn_back ok kernels-bf16 ok kernels-draw ok kernels-gemm ok kernels-loss ok kernels-norm ok kernels-pinned ok kernels-pointwise ok kernels-tf32 ok "
is "a training is compared with itself" "$(jq -r 'select(.step | test("^train-same-again")) | .state' results/steps.jsonl | tr '\n' ' ')" "ok ok "
is "a push comes to a verdict" "$(jq -r .verdict results/push.json)" PASS
if PATH=$PATH:/sbin ldconfig -p | grep -q 'libcublasLt\.so'; then
	skip "libraries of pip are found" "the machine has its own"
else
	has "pip/nvidia/cublas/lib"
fi
is "graphs change no loss" "$(jq -c .losses results/train-gpt2.txt)" "$(jq -c .losses results/train-gpt2-without-graphs.txt)"
[ -e results/gpt2 ] && not_ok "the large models are gone" || ok "the large models are gone"

mv bin/bench_gpu-itself bin/bench_gpu
eval "$(sed -n '/^pins() {/,/^}/p' run.sh)"
check "where no pins can be made it is skipped" 77 pins cuda:0 24:40
has "none made: cublasLt is missing"

check "a card that is not there ends it" 69 env PYTHON="$PWD/python" bash run.sh --dry --minutes 200 --device cuda:7
has "there is no such device"
has "what needs none has been run"
check "no time ends it, too" 69 bash run.sh --dry --minutes 0
has "0 minutes are over"
check "an option it has not" 64 bash run.sh --nope
done_testing
