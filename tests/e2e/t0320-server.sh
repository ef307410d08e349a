#!/usr/bin/env bash
# The gate on the server: pre-receive judges what is in quarantine, post-receive moves the alias. And ASSAY_SKIP.
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
done_testing
