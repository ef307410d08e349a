#!/usr/bin/env bash
# Memory: what a plan needs is said and compared with what there is, before anything begins.
. "$(dirname "$0")/lib.sh"
tiny_repo repo

check "the plan estimates" 0 assay plan --json
is "training needs weights, gradients, optimizer, activations" "$(jq '.memory.train | .weights > 0 and .gradients > 0 and .optimizer > 0 and .activations > 0 and .total == .weights + .gradients + .optimizer + .activations + .cache' "$OUT")" true
is "evaluation has no gradients" "$(jq -c '.memory.eval | [.weights > 0, .gradients, .optimizer]' "$OUT")" '[true,0,0]'
is "it has a cache of keys and values" "$(jq '.memory.eval | .cache > 0 and .total == .weights + .activations + .cache' "$OUT")" true
is "there is some memory" "$(jq '.memory.available > 0' "$OUT")" true
need=$(jq .memory.train.total "$OUT")
check "the terminal says it, too" 0 assay plan
has "memory    about"
check "what does not fit is refused before it begins" 69 assay plan --memory 500K
has "training needs about"
has "(--memory)"
has "finetune.micro_tokens: 64 ("
check "by a run as well" 69 assay run --memory 500K
is "and nothing was trained" "$(sql "select count(*) from versions")" 0
check "the estimate itself is enough" 0 assay plan --memory "$need"
check "a byte less is not" 69 assay plan --memory "$((need - 1))"
check "a size that is none" 64 assay run --memory much
check "a model is made" 0 assay run
check "what is known needs no memory" 0 assay run --memory 20K --json
is "it was reused" "$(jq -r '.steps[] | select(.name=="eval") | .status' "$OUT")" reused

for i in $(seq 1 30); do echo "{\"id\":$i,\"context\":\"$((i % 5))+$((i % 3))=\",\"continuation\":\"$((i % 7))\"}"; done >reqs
assay score sums@v1 <reqs >wide
check "scoring lowers its batch to fit" 0 sh -c '"$ASSAY_TEST_BIN" score sums@v1 --memory 400K <reqs >narrow'
has "tokens at a time, to fit the memory (--memory)"
cmp -s wide narrow && ok "and scores the same" || not_ok "and scores the same"
check "what cannot fit at all is refused" 69 sh -c '"$ASSAY_TEST_BIN" score sums@v1 --memory 10K <reqs'
has "the model needs about"
has "or raise --memory above"
check "by eval" 69 assay eval sums@v1 evals/sums.yaml --memory 10K
check "by generate" 69 sh -c 'echo "{\"prompt\":\"1\"}" | "$ASSAY_TEST_BIN" generate sums@v1 --memory 10K'
check "by train" 69 assay train sums@v1 --data data/train.jsonl --out out --memory 10K
[ -e out ] && not_ok "which wrote nothing" || ok "which wrote nothing"
done_testing
