#!/usr/bin/env bash
# t0340-ci-machine.sh  What doctor and run say in a CI's job: event and trust, token, memory that will be lost, a shallow clone.
. "$(dirname "$0")/lib.sh"
tiny_repo "$TRASH/repo"
git clone -q --depth 1 "file://$TRASH/repo" "$TRASH/shallow" && cd "$TRASH/shallow" || exit 1
check "doctor on a person's machine" 0 assay doctor
has "is shallow"
hasnt "memory"
has "(what is free)" "tells of the machine's memory"
hasnt "plan " "and plans nothing where history would have to be fetched"
cd "$TRASH/repo" || exit 1
check "doctor in a whole clone" 0 assay doctor
has "of HEAD: it fits"
has "; the model of HEAD takes " "and beside it, what the model takes"
sed -i 's/^suites:.*/suites: [evals\/none.yaml]/' assay.yaml && commit_all "a suite that is not there"
check "doctor with a plan that cannot be" 0 assay doctor
has "missing  plan"
has "evals/none.yaml"
mkdir "$TRASH/small"
if mount -t tmpfs -o size=20m tmpfs "$TRASH/small" 2>/dev/null; then
	check "doctor with a full disk" 0 env ASSAY_HOME="$TRASH/small" "$ASSAY_TEST_BIN" doctor
	has "missing  home"
	has "assay artifact gc"
	umount "$TRASH/small"
else
	skip "doctor with a full disk" "needs a mount"
fi
cd "$TRASH/shallow" || exit 1
hasnt "token"

head=$(git rev-parse HEAD)
event() { # REPOSITORY of the head
	jq -n --arg r "$1" --arg h "$head" '{pull_request: {head: {sha: $h, ref: "main", repo: {full_name: $r}},
		base: {sha: $h, ref: "main", repo: {full_name: "o/r"}}}}' >"$TRASH/event.json"
}
export GITHUB_ACTIONS=true GITHUB_EVENT_NAME=pull_request GITHUB_EVENT_PATH=$TRASH/event.json GITHUB_REF=refs/pull/1/merge
event o/r
check "doctor in GitHub Actions" 0 assay doctor
has "pull_request, trusted as branch"
has "GITHUB_TOKEN is not set"
has "pull-requests: write" "and names the permission"
has "no later job finds a baseline"
check "run in it" 0 assay run
has "which a fresh runner does not keep" "and warns of the memory"
event stranger/r
check "doctor for a fork" 0 env GITHUB_TOKEN=x "$ASSAY_TEST_BIN" doctor
has "trusted as fork: its token may only read"
has "GITHUB_TOKEN is set"
export GITHUB_SERVER_URL=https://forge.example GITHUB_REPOSITORY=o/r GITHUB_SHA=$head GITHUB_API_URL=http://127.0.0.1:9
check "a forge that does not answer" 0 env GITHUB_TOKEN=x "$ASSAY_TEST_BIN" doctor
has "GITHUB_TOKEN is set; not tried" "is no fault of the token's"
check "and offline none is asked" 0 env GITHUB_TOKEN=x ASSAY_OFFLINE=1 "$ASSAY_TEST_BIN" doctor
has "GITHUB_TOKEN is set; not tried"
serve forge_says.py 403
GITHUB_API_URL=http://127.0.0.1:$PORT
jq '.pull_request.number = 7' "$TRASH/event.json" >"$TRASH/event7.json" && mv "$TRASH/event7.json" "$TRASH/event.json"
check "a token that may not comment" 0 env GITHUB_TOKEN=x "$ASSAY_TEST_BIN" doctor
has "missing  token"
has "pull-requests: write"
serve forge_says.py 422
GITHUB_API_URL=http://127.0.0.1:$PORT
check "a token that may" 0 env GITHUB_TOKEN=x "$ASSAY_TEST_BIN" doctor
has "GITHUB_TOKEN is set, and may comment on request 7"
unset GITHUB_API_URL GITHUB_SERVER_URL GITHUB_REPOSITORY GITHUB_SHA
export ASSAY_HOME=$TRASH/kept
check "with memory" 0 assay run
hasnt "fresh runner"
check "doctor with memory" 0 assay doctor
has "ASSAY_HOME is set"
GITHUB_EVENT_PATH=$TRASH/none check "doctor without the event" 0 assay doctor
has "mount the event file"
unset GITHUB_ACTIONS GITHUB_EVENT_NAME GITHUB_EVENT_PATH GITHUB_REF
check "doctor in GitLab CI" 0 env GITLAB_CI=true CI_PIPELINE_SOURCE=schedule "$ASSAY_TEST_BIN" doctor
has "ASSAY_GITLAB_TOKEN is not set"
has "scope api"
check "doctor in another CI" 0 env CI=true "$ASSAY_TEST_BIN" doctor
has "a CI"
hasnt "token"
done_testing
