#!/usr/bin/env bash
# Early stop: the model stops once the gate is certain; what is left out is asked when it is needed.
. "$(dirname "$0")/lib.sh"
tiny_repo repo
# the same sums, 600 times, under ids of their own
for i in $(seq 0 74); do jq -c --arg i "$i" '.id += "-" + $i' evals/sums.jsonl; done >s && mv s evals/sums.jsonl
commit_all "600 questions"
check "the first model answers all of them" 0 assay run --json
is "whole" "$(jq -r '.stopped' "$OUT")" null
assay promote sums@v1 production >/dev/null 2>&1
base=$(git rev-parse HEAD)
mr() {
	GITLAB_CI=true CI_PIPELINE_SOURCE=merge_request_event CI_MERGE_REQUEST_SOURCE_PROJECT_ID=8 CI_MERGE_REQUEST_PROJECT_ID=8 \
		CI_DEFAULT_BRANCH=main CI_MERGE_REQUEST_TARGET_BRANCH_NAME=main CI_MERGE_REQUEST_TARGET_BRANCH_SHA="$base" \
		CI_MERGE_REQUEST_SOURCE_BRANCH_NAME=topic assay run HEAD "$@"
}
git checkout -q -b topic
sed -i 's/max_steps: 250/max_steps: 251/' assay.yaml && commit_all "a little more"
check "a model that is as good stops early" 0 mr --json
asked=$(jq -r '.stopped.asked' "$OUT")
is "after a part of the samples" "$([ "$asked" -ge 64 ] && [ "$asked" -lt 600 ] && echo yes)" yes
is "and why" "$(jq -r '.stopped.why' "$OUT")" "every rule is decided"
is "no version is made of it" "$(jq -r .version "$OUT")" null
run=$(jq -r .run "$OUT")
is "the report says so" "$(assay show "$run" --json | jq -r '.notes[]' | grep -c "decided after $asked of 600 samples: every rule is decided; ")" 1
is "the samples are a part" "$(assay samples "$run" --jsonl | jq -s "[.[]|select(.id)]|length")" "$asked"
check "the stored run is judged alike" 0 assay gate sums@production "$run" --max-drop 0.1 --json
is "by the same part" "$(jq -r '.rules[0].n' "$OUT")" "$asked"
check "the same push again asks nothing" 0 mr --json
is "and is judged alike" "$(jq -r '.stopped.asked' "$OUT")" "$asked"
git checkout -q main && git merge -q --ff-only topic
check "landed, it is asked whole" 0 assay run --json
run=$(jq -r .run "$OUT")
is "the report says what was known" "$(assay show "$run" --json | jq -r '.notes[]' | grep -c "$asked of 600 samples were known")" 1
is "nothing is left out" "$(jq -r .stopped "$OUT")" null
is "and a version is made" "$(jq -r .version.number "$OUT")" 2
is "of whole samples" "$(assay samples "$run" --jsonl | jq -s "[.[]|select(.id)]|length")" 600
git checkout -q topic
for i in $(seq 0 24); do echo "{\"prompt\":\"$((i % 5))+$((i / 5))=\",\"completion\":\"9\"}"; done >data/train.jsonl
commit_all "worse"
check "a model that is worse fails early" 1 mr --json
is "after the first block" "$(jq -r '.stopped.asked' "$OUT")" 64
is "for good" "$(jq -r '.stopped.why' "$OUT")" "a rule has failed for good"
git checkout -q -B never main
sed -i 's/  baseline: production/  baseline: production\n  stop: never/' assay.yaml && commit_all "no stopping" && base=$(git rev-parse HEAD)
sed -i 's/max_steps: 251/max_steps: 252/' assay.yaml && commit_all "a little more again"
check "stop: never" 0 mr --json
is "asks everything" "$(jq -r '.stopped' "$OUT") $(jq -r '.metrics[0].n' "$OUT")" "null 600"
git checkout -q -B budget main
sed -i 's/  baseline: production/  baseline: production\n  max_items: 20\n  stop: early/' assay.yaml && commit_all "a budget" && base=$(git rev-parse HEAD)
sed -i 's/max_steps: 251/max_steps: 253/' assay.yaml && commit_all "yet a little more"
check "a budget that is too small is inconclusive" 0 mr --json
is "and warns, as the policy says" "$(jq -r .verdict "$OUT")" INCONCLUSIVE
is "after so many samples" "$(jq -r '.stopped.asked' "$OUT")" 20
is "the report says so" "$(assay show "$(jq -r .run "$OUT")" --json | jq -r '.notes[]' | grep -c "stopped after 20 of 600 samples: max_items")" 1
done_testing
