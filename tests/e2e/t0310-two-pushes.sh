#!/usr/bin/env bash
# Two pushes at once of one clone's registry: one verdict each, one alias, nothing lost. And two behind each other to a branch
# beside the default one, of which the first would write the rules for the second.
. "$(dirname "$0")/lib.sh"
tiny_repo repo
export CI_HOME=$TRASH/ci ASSAY_HOME=$TRASH/ci
# a protected push, as GitLab's CI tells it
branch=main
ci_run() {
	GITLAB_CI=true CI_PIPELINE_SOURCE=push CI_DEFAULT_BRANCH=main CI_COMMIT_BRANCH=$branch CI_COMMIT_REF_PROTECTED=true \
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
check "a default branch without a past brings its own policy" 0 ci_run HEAD
is "and moves no alias that is there" "$(jq -r .promotion.state "$OUT")" refused
is "it holds what it held" "$(db 'select commit_oid from promotions order by seq desc limit 1')" "$three"

check "a fork promotes nothing" 0 env GITLAB_CI=true CI_DEFAULT_BRANCH=main CI_MERGE_REQUEST_TARGET_BRANCH_NAME=main CI_PIPELINE_SOURCE=merge_request_event \
	CI_MERGE_REQUEST_SOURCE_PROJECT_ID=7 CI_MERGE_REQUEST_PROJECT_ID=8 \
	CI_MERGE_REQUEST_SOURCE_BRANCH_NAME=main "$ASSAY_TEST_BIN" run HEAD --json
is "its trust is fork" "$(jq -r .trust "$OUT")" fork
is "no promotion" "$(jq -r .promotion "$OUT")" null

# ---- a second protected branch, pushed to twice ----------------------------------------------------------------------------------

main=$(git rev-parse main) zero=0000000000000000000000000000000000000000
holds() { db "select group_concat(alias || '=' || commit_oid, ' ') from (select a.alias, (select commit_oid from promotions p where p.alias = a.alias order by seq desc limit 1) commit_oid from aliases a order by 1)"; }
source_of() { assay show "$(jq -r .run "$OUT")" --json | jq -r .policy.source; } # of the last run
held=$(holds)
is "an alias is held" "$held" "production=$three"
git checkout -q -b release && branch=release
sed -i 's/{min: 0.5, max_drop: 0.1}/{min: 0, max_drop: 1}/; s/^promote: .*/promote: {release: production, main: production}/' assay.yaml
commit_all "rules of its own" && first=$(git rev-parse HEAD)
before=$zero
check "the first push: a new branch with weak rules" 0 ci_run HEAD
is "is judged by the default branch" "$(source_of)" "target $main"
for i in $(seq 0 24); do echo "{\"prompt\":\"$((i % 5))+$((i / 5))=\",\"completion\":\"9\"}"; done >data/train.jsonl
commit_all "the model that they are for" && worse=$(git rev-parse HEAD)
before=$first
check "the second, whose event names the first as what was there" 1 ci_run HEAD
is "is judged by the default branch, too" "$(jq -r '.verdict, .trust' "$OUT" | tr '\n' ' ')" "FAIL protected "
before=$zero
check "a branch deleted and made again" 1 ci_run HEAD
before=$worse
git checkout -q -B release "$first" && sed -i 's/seed: 5/seed: 6/' assay.yaml && commit_all "rewritten, and good"
check "a forced push of a good model" 0 ci_run HEAD
is "takes no alias that the default branch does not give it" "$(jq -r .promotion "$OUT") $(holds)" "null $held"

# a tag that is called like the default branch, and variables that say another default branch than there is one
check "a tag" 0 env GITLAB_CI=true CI_PIPELINE_SOURCE=push CI_DEFAULT_BRANCH=main CI_COMMIT_TAG=main CI_COMMIT_REF_NAME=main \
	CI_COMMIT_REF_PROTECTED=true CI_COMMIT_SHA="$(git rev-parse HEAD)" CI_COMMIT_BEFORE_SHA=$zero "$ASSAY_TEST_BIN" run HEAD --json
is "moves nothing, and is judged by the default branch" "$(jq -r .promotion "$OUT") $(source_of)" "null target $main"
git clone -q . "$TRASH/clone" && cd "$TRASH/clone" && git -C "$TRASH/repo" checkout -q main
check "a pipeline's own variable names no other default branch" 78 env GITLAB_CI=true CI_PIPELINE_SOURCE=push CI_DEFAULT_BRANCH=release \
	CI_COMMIT_BRANCH=side CI_COMMIT_REF_PROTECTED=true CI_COMMIT_SHA="$worse" CI_COMMIT_BEFORE_SHA="$first" "$ASSAY_TEST_BIN" run "$worse"
has "the CI's variables call release the default branch, and HEAD of origin is main"
override() { # VARIABLE…: release, of which a variable says that it is the default branch
	env GITLAB_CI=true CI_DEFAULT_BRANCH=release CI_COMMIT_BRANCH=release CI_COMMIT_REF_PROTECTED=true CI_COMMIT_SHA="$worse" \
		CI_COMMIT_BEFORE_SHA="$first" "$@" "$ASSAY_TEST_BIN" run "$worse" --json
}
check "nor the very branch that is pushed to" 78 override CI_PIPELINE_SOURCE=push
has "the CI's variables call release the default branch, and HEAD of origin is main"
check "nor by a schedule" 78 override CI_PIPELINE_SOURCE=schedule
check "nor in a merged result of a request to it" 78 override CI_PIPELINE_SOURCE=merge_request_event CI_MERGE_REQUEST_SOURCE_PROJECT_ID=8 \
	CI_MERGE_REQUEST_PROJECT_ID=8 CI_MERGE_REQUEST_TARGET_BRANCH_NAME=release CI_MERGE_REQUEST_TARGET_BRANCH_SHA="$first"
check "where no remote can be asked" 0 override CI_PIPELINE_SOURCE=push ASSAY_OFFLINE=1
is "no alias moves" "$(jq -r '.verdict, .trust, (.promotion | tostring)' "$OUT" | tr '\n' ' ')$(holds)" "PASS branch null $held"
is "and the report says why" "$(assay show "$(jq -r .run "$OUT")" --json | jq -r '.notes[]' | grep -c "no remote could be asked whether release is the default branch")" 1
mr() { # TARGET  a merge request from the weak rules' branch
	GITLAB_CI=true CI_PIPELINE_SOURCE=merge_request_event CI_DEFAULT_BRANCH=main CI_MERGE_REQUEST_SOURCE_PROJECT_ID=8 \
		CI_MERGE_REQUEST_PROJECT_ID=8 CI_MERGE_REQUEST_TARGET_BRANCH_NAME="$1" CI_MERGE_REQUEST_TARGET_BRANCH_SHA="$2" \
		CI_MERGE_REQUEST_DIFF_BASE_SHA="$first" CI_COMMIT_SHA="$worse" CI_MERGE_REQUEST_SOURCE_BRANCH_NAME=main assay run "$worse"
}
check "a merge request to a side branch" 1 mr release ""
check "merged with it" 1 mr release "$first"
check "one to the default branch that began at weak rules" 1 mr main ""
cd "$TRASH/repo" || exit 1
is "nothing of all that has moved an alias" "$(holds)" "$held"

# the way it is meant: the default branch gives the alias, and judges
branch=main && before=$main
sed -i 's/^promote: .*/promote: {main: production, release: staging}/' assay.yaml && commit_all "an alias for releases"
check "the default branch gives release an alias" 0 ci_run HEAD
git checkout -q -B release && sed -i 's/seed: 5/seed: 7/' assay.yaml && commit_all "to be released"
branch=release before=$worse
check "a push to release" 0 ci_run HEAD
is "moves it" "$(jq -r '.promotion | .state + " " + .alias' "$OUT")" "made staging"
done_testing
