#!/usr/bin/env bash
# Two pushes at once of one clone's registry: one verdict each, one alias, nothing lost.
. "$(dirname "$0")/lib.sh"
tiny_repo repo
export CI_HOME=$TRASH/ci ASSAY_HOME=$TRASH/ci
# a protected push, as GitLab's CI tells it
ci_run() {
	GITLAB_CI=true CI_PIPELINE_SOURCE=push CI_COMMIT_BRANCH=main CI_COMMIT_REF_PROTECTED=true \
		CI_COMMIT_SHA="$(git rev-parse "${2:-$1}")" CI_COMMIT_BEFORE_SHA="$before" assay run "$1" --json
}
before=0000000000000000000000000000000000000000
check "a protected push promotes" 0 ci_run HEAD
is "trust" "$(jq -r .trust "$OUT")" protected
is "state" "$(jq -r .promotion.state "$OUT")" made
before=$(git rev-parse HEAD)
sed -i 's/seed: 1/seed: 2/' assay.yaml && commit_all two && two=$(git rev-parse HEAD)
sed -i 's/seed: 2/seed: 3/' assay.yaml && commit_all three && three=$(git rev-parse HEAD)
ci_run "$two" >"$TRASH/two" 2>"$TRASH/two.err" &
ci_run "$three" >"$TRASH/three" 2>"$TRASH/three.err" &
wait
cat "$TRASH"/two.err "$TRASH"/three.err >"$OUT"
db() { sqlite3 "$ASSAY_HOME/registry.db" "$1"; }
is "three runs are recorded" "$(db 'select count(*) from runs')" 3
is "each has a verdict" "$(db "select count(*) from runs where verdict in ('PASS','FAIL')")" 3
is "three versions" "$(db 'select group_concat(number) from (select number from versions order by number)')" 1,2,3
is "one alias row" "$(db 'select count(*) from aliases')" 1
now=$(db "select commit_oid from runs join versions on versions.run = runs.id join aliases on aliases.version = versions.number")
is "it holds the later commit, whoever came first" "$now" "$three"
check "nothing is lost" 0 assay registry check

# what no event may do
sed -i 's/seed: 3/seed: 4/' assay.yaml && commit_all four
check "a commit that was not pushed" 0 ci_run HEAD "$three"
is "is not protected" "$(jq -r '.trust, (.promotion | tostring)' "$OUT" | tr '\n' ' ')" "branch null "
before=0000000000000000000000000000000000000000
sed -i 's/seed: 4/seed: 5/' assay.yaml && commit_all five
check "a new branch brings its own policy" 0 ci_run HEAD
is "and moves no alias that is there" "$(jq -r .promotion.state "$OUT")" refused
is "it holds what it held" "$(db 'select commit_oid from promotions order by seq desc limit 1')" "$three"

check "a fork promotes nothing" 0 env GITLAB_CI=true CI_PIPELINE_SOURCE=merge_request_event \
	CI_MERGE_REQUEST_SOURCE_PROJECT_ID=7 CI_MERGE_REQUEST_PROJECT_ID=8 CI_MERGE_REQUEST_DIFF_BASE_SHA="$two" \
	CI_MERGE_REQUEST_SOURCE_BRANCH_NAME=main "$ASSAY_TEST_BIN" run HEAD --json
is "its trust is fork" "$(jq -r .trust "$OUT")" fork
is "no promotion" "$(jq -r .promotion "$OUT")" null
done_testing
