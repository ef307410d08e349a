#!/usr/bin/env bash
# t0340-ci-machine.sh  What doctor and run say in a CI's job: event and trust, token, memory that will be lost, a shallow clone.
. "$(dirname "$0")/lib.sh"
tiny_repo "$TRASH/repo"
git clone -q --depth 1 "file://$TRASH/repo" "$TRASH/shallow" && cd "$TRASH/shallow" || exit 1
check "doctor on a person's machine" 0 assay doctor
has "is shallow"
hasnt "memory"
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
