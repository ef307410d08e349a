#!/usr/bin/env bash
# t0340-ci-machine.sh  What doctor and run say in a CI's job: event and trust, token, memory that will be lost, a shallow clone; and
# whose policy judges there, in clones of depth 1 as actions/checkout makes them.
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
	jq -n --arg r "$1" --arg h "$head" '{repository: {full_name: "o/r", default_branch: "main"}, pull_request: {head: {sha: $h, ref: "main", repo: {full_name: $r}},
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
GITHUB_EVENT_NAME=pull_request_target
jq --arg h "$(printf '%040d' 7)" '.pull_request.head.sha = $h' "$TRASH/event.json" >"$TRASH/other.json"
check "under pull_request_target the target's commit, which is checked out, is not judged as the request" 65 \
	env GITHUB_EVENT_PATH="$TRASH/other.json" "$ASSAY_TEST_BIN" run
has "is neither the pull request's 000000000000 nor a merge of it"
has "github.event.pull_request.head.sha" "and the line that checks it out is told"
check "the request's own commit is" 0 assay run
GITHUB_EVENT_NAME=pull_request
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

# ---- whose policy: GitHub's events, of the default branch and of a second protected one --------------------------------------------

zero=0000000000000000000000000000000000000000
cd "$TRASH" && tiny_repo author && mkdir o && git init -q --bare "$TRASH/o/r.git" && git remote add origin "file://$TRASH/o/r.git"
echo "a page" >README && commit_all "before" && git push -q origin main
good=$(git rev-parse HEAD)
git checkout -q -b release
sed -i 's/{min: 0.5, max_drop: 0.1}/{min: 0, max_drop: 1}/; s/^promote: .*/promote: {release: production, main: production}/' assay.yaml
commit_all "rules of its own" && weak=$(git rev-parse HEAD)
for i in $(seq 0 24); do echo "{\"prompt\":\"$((i % 5))+$((i / 5))=\",\"completion\":\"9\"}"; done >data/train.jsonl
commit_all "the model that they are for" && worse=$(git rev-parse HEAD) && git push -q origin release
unset ASSAY_HOME
export ASSAY_HOME=$TRASH/memory GITHUB_ACTIONS=true GITHUB_EVENT_PATH=$TRASH/event.json GITHUB_REPOSITORY=o/r
depth1() { # COMMIT: a fresh clone of it alone
	rm -rf "$TRASH/job" && git init -q "$TRASH/job" && cd "$TRASH/job" || exit 1
	git remote add origin "${2:-file://$TRASH/o/r.git}"
	git fetch -q --no-tags --depth=1 origin "$1" && git checkout -q FETCH_HEAD
	export GITHUB_SHA=$1
}
pushed() { # BRANCH BEFORE AFTER [EVENT'S REF, DELETED]
	export GITHUB_EVENT_NAME=push GITHUB_REF=refs/heads/$1 GITHUB_REF_PROTECTED=true
	jq -n --arg r "${4:-refs/heads/$1}" --arg b "$2" --arg a "$3" --argjson d "${5:-false}" '{ref: $r, before: $b, after: $a, deleted: $d,
		repository: {full_name: "o/r", default_branch: "main"}}' >"$TRASH/event.json"
}
source_of() { assay show "$(jq -r .run "$OUT")" --json | jq -r .policy.source; }
production() { assay models --json | jq -r '.[] | select(.aliases[]? == "production") | .commit'; }

depth1 "$good" && pushed main "$zero" "$good"
check "the default branch's first push" 0 assay run --json
is "fills the alias" "$(production)" "$good"
depth1 "$weak" && pushed release "$zero" "$weak"
check "a second protected branch, in a clone of depth 1: the default branch is fetched" 0 assay run --json
is "and judges it" "$(source_of)" "target $good"
depth1 "$worse" && pushed release "$weak" "$worse"
check "what it held before does not" 1 assay run --json
is "neither by rules nor by alias" "$(source_of) $(production)" "target $good $good"
depth1 "$worse" && pushed release "$weak" "$worse"
check "where the default branch cannot be had, nothing else judges" 65 env ASSAY_OFFLINE=1 "$ASSAY_TEST_BIN" run
has "the policy is that of the default branch main, which is not in this clone"
has "fetch-depth: 0"
jq 'del(.repository)' "$TRASH/event.json" >e && mv e "$TRASH/event.json"
check "nor where nobody says which it is" 78 env ASSAY_OFFLINE=1 "$ASSAY_TEST_BIN" run
has "nobody says which branch is the default one"
check "the remote says it" 1 assay run --json
is "the same" "$(source_of)" "target $good"

# a side branch is deleted: the job is one of the default branch, "before" the tip of what went
git -C "$TRASH/author" checkout -q -B main "$good" && cd "$TRASH/author" && git checkout -q "$worse" -- data && commit_all "worse" && git push -q origin main
failed=$(git rev-parse HEAD)
depth1 "$failed" && pushed main "$good" "$failed"
check "a model that fails on the default branch" 1 assay run --json
depth1 "$failed" && pushed main "$weak" "$zero" refs/heads/release true
check "is not let through by a branch with other rules that is deleted" 1 assay run --json
is "the alias is where it was" "$(source_of) $(production)" "target $failed $good"
is "and the report says why" "$(assay show "$(jq -r .run "$OUT")" --json | jq -r '.notes[]' | grep -c "a push of refs/heads/release, and this job runs on refs/heads/main .*: no alias moves")" 1
pushed main "$weak" "$failed" refs/heads/release
check "nor by an event of another branch" 1 assay run --json
is "that has the default branch's commit" "$(jq -r '.trust, .promotion' "$OUT" | tr '\n' ' ')$(production)" "branch null $good"
git -C "$TRASH/author" push -q --force origin "$good:main"

# merge requests: to a side branch; in a queue; of a fork whose own branch is called like ours
request() { # BASE HEAD'S REPOSITORY
	export GITHUB_EVENT_NAME=pull_request GITHUB_REF=refs/pull/1/merge
	jq -n --arg b "$1" --arg h "$worse" --arg w "$weak" --arg r "$2" '{repository: {full_name: "o/r", default_branch: "main"}, pull_request:
		{head: {sha: $h, ref: "main", repo: {full_name: $r}}, base: {sha: $w, ref: $b, repo: {full_name: "o/r"}}}}' >"$TRASH/event.json"
}
depth1 "$worse" && request release o/r
check "a merge request to a side branch" 1 assay run --json
is "is judged by the default branch" "$(source_of)" "target $good"
git clone -q --bare "$TRASH/author" "$TRASH/mallory.git" && git -C "$TRASH/mallory.git" update-ref refs/heads/main "$weak"
depth1 "$worse" "file://$TRASH/mallory.git" && request release mallory/r
check "a fork's, in a clone of the fork" 65 assay run
has "no remote of o/r could be asked"
has "git remote set-url origin URL" "and the fix is one that helps"
mkdir -p "$TRASH/away/o" && ln -s "$TRASH/o/r.git" "$TRASH/away/o/r.git" && git remote set-url origin "file://$TRASH/away/o/r.git"
check "with it" 1 assay run
depth1 "$worse" && request release mallory/r
check "in a clone of ours" 1 assay run --json
is "by our default branch" "$(jq -r .trust "$OUT") $(source_of)" "fork target $good"
export GITHUB_EVENT_NAME=merge_group GITHUB_REF=refs/heads/gh-readonly-queue/main/pr-2
jq -n --arg w "$weak" --arg h "$worse" '{repository: {full_name: "o/r", default_branch: "main"}, merge_group: {base_sha: $w, head_sha: $h}}' >"$TRASH/event.json"
depth1 "$worse"
check "a merge group behind another" 1 assay run --json
is "is judged by the default branch as it stands" "$(source_of)" "target $good"
is "and all that moved no alias" "$(production)" "$good"
unset ASSAY_HOME GITHUB_ACTIONS GITHUB_EVENT_NAME GITHUB_EVENT_PATH GITHUB_REF GITHUB_SHA GITHUB_REF_PROTECTED GITHUB_REPOSITORY

# ---- and on a person's machine ----------------------------------------------------------------------------------------------------

git init -q --bare "$TRASH/team.git" && git -C "$TRASH/author" push -q "$TRASH/team.git" "$good:refs/heads/main" "$weak:refs/heads/topic"
git init -q "$TRASH/person" && cd "$TRASH/person" && git remote add origin "$TRASH/team.git" && git fetch -q origin
git checkout -q -b topic origin/topic && git branch -q new && git fetch -q "file://$TRASH/o/r.git" release && git merge -q --ff-only FETCH_HEAD
git symbolic-ref -d refs/remotes/origin/HEAD 2>/dev/null
check "without origin/HEAD, the usual name is looked for" 1 assay run --json
is "not what the branch follows" "$(source_of)" "target $good"
is "and the report says that it is a guess" "$(assay show "$(jq -r .run "$OUT")" --json | jq -r '.notes[]' | grep -c "policy is that of main of origin, which has the name that a default branch usually has")" 1
assay hook install >/dev/null
check "nor what the branch held, before a push" 1 git push -q origin topic
check "nor the new branch itself" 1 git push -q origin topic:another
check "nor at an address of which nothing is known" 1 git push -q "file://$TRASH/team.git" topic:another
git update-ref refs/remotes/origin/master "$weak"
check "two of the usual names: no guess" 0 assay run --json
is "and the report says what to do" "$(assay show "$(jq -r .run "$OUT")" --json | jq -r '.notes[]' | grep -c "does not know which branch of origin is the default one, .*: git fetch origin '+refs/heads/\*:refs/remotes/origin/\*' && git remote set-head origin --auto")" 1
git clone -q --single-branch -b topic "file://$TRASH/team.git" "$TRASH/single" && cd "$TRASH/single" && git symbolic-ref -d refs/remotes/origin/HEAD
check "the line works in a clone of one branch" 0 bash -c "git fetch -q origin '+refs/heads/*:refs/remotes/origin/*' && git remote set-head origin --auto"
is "and says the default branch" "$(git symbolic-ref refs/remotes/origin/HEAD)" refs/remotes/origin/main
cd "$TRASH/person" || exit 1
git symbolic-ref refs/remotes/origin/HEAD refs/remotes/origin/main
check "origin/HEAD decides" 1 assay run
git symbolic-ref -d refs/remotes/origin/HEAD && git config --global init.defaultBranch trunk && git update-ref -d refs/remotes/origin/master
check "init.defaultBranch is one of the usual names" 1 assay run
git update-ref refs/remotes/origin/trunk "$good" && git update-ref -d refs/remotes/origin/main
check "also alone" 1 assay run
git config --global init.defaultBranch main
check "a branch of a name that is not usual" 0 assay run --json
check "another CI says it" 1 env CI=true CI_REPO_DEFAULT_BRANCH=trunk "$ASSAY_TEST_BIN" run
sed -i '/^base:/,/vocab_size/d; /^finetune:/,/seed:/d' assay.yaml
printf 'base: theirs\nlocations: {theirs: {url: "http://127.0.0.1:9/v1", model: m, key: HOME}}\n' >>assay.yaml
commit_all "a server of its own" && git update-ref refs/remotes/origin/topic HEAD
check "what a branch follows says nothing of where secrets go" 65 assay run
has "there is no location of that name"
done_testing
