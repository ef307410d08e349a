#!/usr/bin/env bash
# The gate on the server: pre-receive judges what is in quarantine, post-receive moves the alias. The policy is the default
# branch's, whatever is pushed. And ASSAY_SKIP.
. "$(dirname "$0")/lib.sh"
git init -q --bare -b main origin.git
tiny_repo work
git remote add origin ../origin.git
cd ../origin.git || exit 1
printf '#!/bin/sh\ncat >"%s/earlier"\n' "$TRASH" >hooks/pre-receive
chmod +x hooks/pre-receive
check "install in a bare repository" 0 assay hook install
has "hooks/pre-receive (the hook that was there runs behind it)"
has "hooks/post-receive"
cd ../work || exit 1
server() { (cd ../origin.git && assay "$@"); }
alias_of() { server models --json 2>/dev/null | jq -r '.[] | select(.aliases[]? == "production") | .number'; }

# no profile: nothing is trained in a hook, CI does that
check "a push that cannot be judged without training is left to CI" 0 git push -q origin main
grep -q refs/heads/main "$TRASH/earlier" && ok "the earlier hook got the same lines" || not_ok "the earlier hook got the same lines"
is "no version is made" "$(server models --json | jq length)" 0

sed -i 's/^profiles:/profiles:\n  pre-receive: {train: true}/' assay.yaml
commit_all "policy: the server trains"
check "the policy reaches the target" 0 git push -q origin main
sed -i 's/seed: 1/seed: 3/' assay.yaml
commit_all "seed: another"
check "a push is judged" 0 git push -q origin main
has "PASS"
is "and the alias is moved behind it" "$(alias_of)" 1
is "by the commit that arrived" "$(server models --json | jq -r '.[0].commit')" "$(git rev-parse HEAD)"

for i in $(seq 0 24); do echo "{\"prompt\":\"$((i % 5))+$((i / 5))=\",\"completion\":\"9\"}"; done >data/train.jsonl
commit_all "data: clean up"
before=$(git -C ../origin.git rev-parse main)
check "a worse model is refused by the server" 1 git push -q origin main
has "FAIL"
is "the branch has not moved" "$(git -C ../origin.git rev-parse main)" "$before"
check "nor does ASSAY_SKIP help there" 1 env ASSAY_SKIP=please git push -q origin main
is "the alias is where it was" "$(alias_of)" 1
check "a deletion and a tag are not judged" 0 bash -c 'git tag v1 HEAD~1 && git push -q origin v1 && git push -q origin :v1'

cd ../origin.git || exit 1
check "uninstall" 0 assay hook uninstall
[ ! -e hooks/post-receive ] && grep -q earlier hooks/pre-receive && ok "the earlier hook is back" || not_ok "the earlier hook is back"
check "three words are wanted" 65 bash -c 'echo "one two" | "$ASSAY_TEST_BIN" hook run pre-receive'
check "a hook nobody knows" 64 assay hook run post-update </dev/null

# the pusher's own hook
cd ../work || exit 1
check "here, the hook is pre-push" 0 assay hook install
check "past the gate, with a reason" 0 env ASSAY_SKIP="hotfix $(printf '\033')[31m 12" git push -q origin main
has "unjudged, and that is noted"
git branch -q --set-upstream-to=origin/main
check "status tells" 0 assay status
has "nobody judged here"
has "sent past the gate by"
has "hotfix"
grep -q "$(printf '\033')" "$OUT" && not_ok "and shows no control bytes" || ok "and shows no control bytes"
is "one line is kept" "$(jq -r .commit .git/assay/skipped.jsonl)" "$(git rev-parse HEAD)"

# ---- whose policy: the default branch's, as it was before the push ---------------------------------------------------------------

# a server DIR whose HEAD names the branch HEAD, with the hooks; and a clone DIR-work of the tiny model, whose policy it is
team() { # DIR HEAD
	cd "$TRASH" && git init -q --bare -b "$2" "$1.git" && (cd "$1.git" && assay hook install) >/dev/null
	tiny_repo "$1-work" && git remote add origin "../$1.git"
	sed -i 's/^profiles:/profiles:\n  pre-receive: {train: true}/; s/^promote: .*/promote: {main: production, release: staging}/' assay.yaml
	commit_all "the team's policy"
}
worse() { for i in $(seq 0 24); do echo "{\"prompt\":\"$((i % 5))+$((i / 5))=\",\"completion\":\"9\"}"; done >data/train.jsonl; }
aliases() { (cd "$TRASH/$1.git" && assay models --json) 2>/dev/null | jq -r '[.[] | "\(.aliases[]?)=\(.commit[0:7])"] | sort | join(" ")'; }
easy='s/{min: 0.5, max_drop: 0.1}/{min: 0, max_drop: 1}/'

team two main
check "the default branch is made, and judged by its own" 0 git push -q origin main
has "nothing is on the default branch before this push"
good=$(git rev-parse HEAD)
is "which fills an alias" "$(aliases two)" "production=${good:0:7}"
git checkout -q -b side
sed -i "$easy; s/^promote: .*/promote: {side: production, main: production}/" assay.yaml && commit_all "rules of its own"
check "first push to a side branch: weak rules, and nothing else" 0 git push -q origin side
worse && commit_all "the model that they are for"
check "the second is judged by the default branch, not by the first" 1 git push -q origin side
has "FAIL"
is "and moves nothing" "$(aliases two)" "production=${good:0:7}"
git reset -q --hard HEAD~1 && sed -i 's/seed: 1/seed: 2/' assay.yaml && commit_all "a good model"
check "a side branch that passes" 0 git push -q origin side
is "takes no alias that the default branch does not give it" "$(aliases two)" "production=${good:0:7}"
git commit -q --amend -m "rewritten" && worse && commit_all "worse again"
check "a forced push changes nothing of that" 1 git push -q --force origin side
check "the branch is deleted" 0 git push -q origin :side
check "and made again: the same" 1 git push -q origin side

git checkout -q -B release "$good" && sed -i 's/seed: 1/seed: 3/' assay.yaml && commit_all "to be released"
check "a side branch that the default branch gives an alias" 0 git push -q origin release
held="production=${good:0:7} staging=$(git rev-parse --short=7 HEAD)"
is "moves that one" "$(aliases two)" "$held"
sed -i "$easy; s/^promote: .*/promote: {release: production}/" assay.yaml && commit_all "rules of its own" && git push -q origin release 2>/dev/null
worse && commit_all "and worse"
check "not by rules that it brought itself" 1 git push -q origin release

# two references in one push: the first would loosen the policy that judges the second
git checkout -q main && sed -i "$easy; s/^promote: .*/promote: {main: production, side: production, release: production}/" assay.yaml && commit_all "a looser policy"
check "several references at once" 1 git push -q origin main release
is "are all judged by what was there before" "$(git -C ../two.git rev-parse main) $(aliases two)" "$good $held"
check "in the other order, too" 1 git push -q origin release main
git checkout -q -B side release
check "a policy that is on the default branch does count" 0 git push -q origin main
check "from the next push on" 0 git push -q origin side

git -C ../two.git config receive.denyDeleteCurrent ignore
check "the default branch is not taken away" 1 git push -q origin :main
has "is the default branch, whose policy judges"
check "nor in a push with others" 1 git push -q origin :main side:main2
git -C ../two.git symbolic-ref refs/heads/master refs/heads/main && git -C ../two.git symbolic-ref refs/heads/old refs/heads/master
check "nor by another name that the server has for it" 1 git push -q origin :master
has "is the default branch, whose policy judges"
check "nor by a name of that name" 1 git push -q origin :old
git -C ../two.git symbolic-ref HEAD refs/heads/master
check "nor what HEAD stands for in the end" 1 git push -q origin :main
check "nor the name that it has" 1 git push -q origin :master
git -C ../two.git symbolic-ref HEAD refs/heads/main

# a branch of something else; the policy of the default branch is not taken away so
git checkout -q --orphan pages && git rm -rqf . && echo hello >index.html && commit_all "pages"
check "a branch without assay.yaml has nothing to judge" 0 git push -q origin pages
has "has no assay.yaml: there is nothing to judge"
git checkout -q -f main && git rm -q assay.yaml && commit_all "no policy"
check "the default branch keeps its policy" 1 git push -q origin main
has "commit $(git rev-parse --short=12 HEAD) has no assay.yaml"
is "that moved no alias" "$(aliases two | tr ' ' '\n' | grep -c "$(git rev-parse --short=7 pages)")" 0
git reset -q --hard HEAD~1

# a policy that got there broken, past the hook: the way out
held=$(aliases two)
echo "gate: [" >>assay.yaml && commit_all "broken" && mv ../two.git/hooks ../two.git/off && git push -q origin main && mv ../two.git/off ../two.git/hooks
git checkout -q -B topic && git checkout -q HEAD~1 -- assay.yaml && commit_all "mended"
check "a side branch cannot be judged by a broken policy" 1 git push -q origin topic
has "assay.yaml of target"
has "a push to main whose assay.yaml and suites are sound is let through as a repair" "and the fix is named"
git fetch -q origin && git remote set-head origin main && git checkout -q -B main topic
check "a person's run of it" 0 assay run --json
is "judges nothing" "$(jq -r '.verdict, .version, .promotion' "$OUT" | tr '\n' ' ')" "INCONCLUSIVE null null "
check "nor does a plan" 0 assay plan
check "the repair" 0 git push -q origin topic:main
has "repair: the default branch's policy was broken"
is "moves no alias" "$(aliases two)" "$held"
check "and judges the next push" 0 git push -q origin topic:again
hasnt "broken"
git branch -q -u origin/main main && git fetch -q origin
check "status" 0 assay status
has "not judged: INCONCLUSIVE  repair: " "says that nobody judged it"
has "refs/remotes/origin/main is at $(git rev-parse --short=12 HEAD), which nobody judged here"
check "a run of it does" 0 assay run --json
check "which status says" 0 assay status
has "  judged: PASS"
has "refs/remotes/origin/main is at $(git rev-parse --short=12 HEAD), judged"
hasnt "a later run erred"
git checkout -q -b broken-target && echo "model: two" >>assay.yaml && commit_all "a key twice" && git checkout -q main
check "a later run of it errs" 65 assay run --target broken-target
check "which takes the verdict from nobody" 0 assay status
has "  judged: PASS"
has "  a later run erred: "
has "refs/remotes/origin/main is at $(git rev-parse --short=12 HEAD), judged"
git branch -q -D broken-target

# a suite that got there broken: the same way out, and what comes with it does not go by unjudged for good
team six main
git push -q origin main 2>/dev/null && held=$(aliases six)
past() { mv ../six.git/hooks ../six.git/off && git push -q origin HEAD:main && mv ../six.git/off ../six.git/hooks && git fetch -q origin; }
sed -i 's/^tasks:/tasks: [/' evals/sums.yaml && commit_all "a broken suite" && past
git commit -q --allow-empty -m "on"
check "a push that mends nothing" 1 git push -q origin main
has "evals/sums.yaml"
git checkout -q HEAD~2 -- evals && worse && commit_all "a suite that can be read, and a worse model"
check "a side branch waits for it" 1 git push -q origin main:side
has "a push to main whose assay.yaml and suites are sound is let through as a repair"
check "the repair of a suite" 0 git push -q origin main
has "repair: the default branch's policy was broken"
has "the model pushed with it" "and says what of the model"
is "moves no alias" "$(aliases six)" "$held"
git commit -q --allow-empty -m "next"
check "the next push judges what came with it" 1 git push -q origin main
has "FAIL"
git checkout -q HEAD~4 -- data && commit_all "the data as they were"
check "and lets it be taken back" 0 git push -q origin main
git rm -q evals/sums.jsonl && git commit -q -m "without its questions" && past
sed -i 's/test: sums.jsonl/test: none.jsonl/' evals/sums.yaml && commit_all "with others that are not there"
check "what is as broken mends nothing" 1 git push -q origin main
has "none.jsonl"
git checkout -q HEAD~2 -- evals && commit_all "with them"
check "but one that has its questions does" 0 git push -q origin main
has "repair: "

# ---- a HEAD that names nothing --------------------------------------------------------------------------------------------------

team three master
check "a first branch that is not HEAD's" 1 git push -q origin main
has "push master first"
has "git symbolic-ref HEAD refs/heads/main" "and the fix"
check "nor beside HEAD's own" 1 git push -q origin main main:master
is "nothing has come" "$(git -C ../three.git for-each-ref)" ""
mv ../three.git/hooks ../three.git/off && git push -q origin main && mv ../three.git/off ../three.git/hooks
git checkout -q -b evil && sed -i "$easy" assay.yaml && commit_all "weak"
check "the branches were there before the hook: HEAD's name is no way in" 1 git push -q origin evil:master
has "HEAD names master, which does not exist"
check "nor is any other" 1 git push -q origin evil
check "nor is the main branch itself judged" 1 git push -q origin evil:main
has "git symbolic-ref HEAD refs/heads/main"
git -C ../three.git symbolic-ref HEAD refs/heads/main
worse && commit_all "worse"
check "with a HEAD that is there its policy judges" 1 git push -q origin evil
has "FAIL"
git -C ../three.git update-ref --no-deref HEAD main
check "a HEAD that is on no branch" 1 git push -q origin evil
has "HEAD is on no branch"
check "the tool's exit code is the environment's" 78 bash -c 'cd ../three.git && echo "0000000000000000000000000000000000000000 $(git rev-parse main) refs/heads/x" | "$ASSAY_TEST_BIN" hook run pre-receive'

# git reads a commit by another one's content where refs/replace/ says so, and nobody judges what is pushed there; libgit2 does
# not, and it does not know names of SHA-256
GIT_DEFAULT_HASH=sha256 team five main
check "a server of SHA-256 names" 0 git push -q origin main
good=$(git rev-parse HEAD)
git checkout -q -b side && sed -i "$easy" assay.yaml && commit_all "weak" && weak=$(git rev-parse HEAD)
worse && commit_all "and worse"
check "another commit in the place of the default branch's" 0 git push -q origin "$weak:refs/replace/$good"
check "does not judge" 1 git push -q origin side
has "FAIL"

# a default branch without an assay.yaml: a side branch is judged by its own, since there is no other, and moves nothing
team four main
mkdir ../plain && cd ../plain && git init -q && git commit -q --allow-empty -m "no assay yet"
mv ../four.git/hooks ../four.git/off && git push -q ../four.git main && mv ../four.git/off ../four.git/hooks
cd ../four-work && sed -i 's/^promote: .*/promote: {side: production}/' assay.yaml && commit_all "mine"
check "a side branch before there is a policy" 0 git push -q origin main:side
has "has no assay.yaml yet"
is "makes no alias" "$(aliases four)" ""
done_testing
