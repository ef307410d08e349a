#!/usr/bin/env bash
# Two owners: a candidate cannot loosen its own gate, nor answer easier questions.
. "$(dirname "$0")/lib.sh"
tiny_repo repo
check "the first model" 0 assay run
assay promote sums@v1 production >/dev/null 2>&1
base=$(git rev-parse HEAD)
mr() {
	GITLAB_CI=true CI_PIPELINE_SOURCE=merge_request_event CI_MERGE_REQUEST_SOURCE_PROJECT_ID=8 CI_MERGE_REQUEST_PROJECT_ID=8 \
		CI_DEFAULT_BRANCH=main CI_MERGE_REQUEST_TARGET_BRANCH_NAME=main CI_MERGE_REQUEST_SOURCE_BRANCH_NAME=topic assay run HEAD "$@"
}
git checkout -q -b topic
for i in $(seq 0 24); do echo "{\"prompt\":\"$((i % 5))+$((i / 5))=\",\"completion\":\"9\"}"; done >data/train.jsonl
sed -i 's/{min: 0.5, max_drop: 0.1}/{min: 0, max_drop: 1}/' assay.yaml
commit_all "worse, and a gate that does not mind"
check "its own gate does not decide" 1 mr
has "changes gate"
jq -c '.completion="9"' evals/sums.jsonl >s && mv s evals/sums.jsonl && commit_all "easier questions"
check "its own questions do not decide" 1 mr --json
run=$(jq -r .run "$OUT")
check "but they are asked" 0 assay show "$run" --json
is "and shown apart" "$(jq -r '.proposed[0].value == 1' "$OUT")" true
is "the target's are what was judged" "$(jq -r '.metrics[0].value == 0' "$OUT")" true
is "the policy's source is the target" "$(jq -r .policy.source "$OUT")" "target $base"
printf 'suite: sums\ntasks:\n  - task: sums\n    no_such_key: 1\n' >evals/sums.yaml && commit_all "broken questions"
check "a mistake in proposed questions is an error" 65 mr
has "no_such_key"
git reset -q --hard "$base"
sed -i 's/max_steps: 250/max_steps: 251/' assay.yaml && commit_all "a little more"
check "an honest change passes" 0 mr --json
is "a merge request promotes nothing" "$(jq -r .promotion "$OUT")" null
done_testing
