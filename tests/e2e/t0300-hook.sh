#!/usr/bin/env bash
# The pre-push hook: judges, blocks, proposes; an alias moves only when the commit has reached the remote.
. "$(dirname "$0")/lib.sh"
git init -q --bare origin.git
tiny_repo work
git remote add origin ../origin.git
git config --global core.hooksPath "$TRASH/everywhere"
check "in a folder of hooks that serves every repository" 65 assay hook install
has "the hooks of every repository"
[ -e "$TRASH/everywhere" ] && not_ok "nothing is installed" || ok "nothing is installed"
fix=$(sed -n 's/.*install again: //p' "$ERR")
check "the fix that is named" 0 bash -c "$fix && $ASSAY_TEST_BIN hook install && [ -x .git/hooks/pre-push ] && $ASSAY_TEST_BIN hook uninstall"
git config --global --unset core.hooksPath && git config --local --unset core.hooksPath
check "install" 0 assay hook install
check "install again changes nothing" 0 assay hook install
alias_of() { assay models --json 2>/dev/null | jq -r '.[] | select(.aliases[]? == "production") | .number'; }

check "a first push passes" 0 git push -q origin main
has "PASS"
is "the alias has not moved in the hook itself" "$(sql 'select count(*) from promotions')" 0
check "status settles the proposal" 0 assay status
has "sums@production is v1"
is "production is v1" "$(alias_of)" 1

# a model that forgot everything
git clone -q origin.git other 2>/dev/null
for i in $(seq 0 24); do echo "{\"prompt\":\"$((i % 5))+$((i / 5))=\",\"completion\":\"9\"}"; done >data/train.jsonl
commit_all "data: clean up"
before=$(git -C ../origin.git rev-parse main)
check "a worse model is blocked" 1 git push -q origin main
has "FAIL"
is "the remote has not moved" "$(git -C ../origin.git rev-parse main)" "$before"
assay status >/dev/null 2>&1
is "production is still v1" "$(alias_of)" 1
check "the same push again answers from what is stored" 1 git push -q origin main
git reset -q --hard origin/main

# the server says no after the hook passed
cat >../origin.git/hooks/pre-receive <<'H'
#!/bin/sh
echo "not today" >&2
exit 1
H
chmod +x ../origin.git/hooks/pre-receive
sed -i 's/seed: 1/seed: 2/' assay.yaml
commit_all "seed: another"
check "the hook passes, the server rejects" 1 git push -q origin main
has "not today"
assay status >/dev/null 2>&1
is "no alias has moved" "$(alias_of)" 1
is "the proposal waits" "$(sql "select count(*) from versions")" 3
rm ../origin.git/hooks/pre-receive
check "pushed again, it passes" 0 git push -q origin main
assay status >/dev/null 2>&1
is "and now the alias has moved" "$(alias_of)" "$(sql 'select max(version) from promotions')"

# what is not judged
check "a deletion is not judged" 0 bash -c 'git push -q origin main:tmp --no-verify && git push -q origin :tmp'
git checkout -q -b side
git commit -q --allow-empty -m "round the hook"
git push -q --no-verify -u origin side 2>/dev/null
git checkout -q main
check "status on main" 0 assay status
has "refs/remotes/origin/side is at $(git rev-parse --short=12 side), which nobody judged here" "tells of a push round the hook on another branch"
hasnt "origin/main is at $(git rev-parse --short=12 main), which nobody" "and not of those that were judged"
git branch -q -D side && git push -q --no-verify origin :side
git checkout -q -b plain && git commit -q --allow-empty -m "round the hook, and follows nothing"
git push -q --no-verify origin plain 2>/dev/null
check "status on a branch that was pushed without -u" 0 assay status
has "refs/remotes/origin/plain is at $(git rev-parse --short=12 plain), which nobody judged here"
git commit -q --allow-empty -m "further, not pushed" && git checkout -q main
check "status on main" 0 assay status
has "refs/remotes/origin/plain is at $(git rev-parse --short=12 plain~), which nobody judged here" "tells of what was pushed of that branch"
git push -q --no-verify origin plain:named 2>/dev/null && git push -q --no-verify origin :plain 2>/dev/null
check "by another name" 0 assay status
has "refs/remotes/origin/named is at $(git rev-parse --short=12 plain), which nobody judged here"
git branch -q -D plain && git push -q --no-verify origin :named 2>/dev/null
check "what no branch here made is no matter of this clone's" 0 assay status
hasnt "nobody judged"
git checkout -q -b aside && git commit -q --allow-empty -m "follows nothing"
check "past the gate, on a branch that follows nothing" 0 env ASSAY_SKIP=later git push -q origin aside
git checkout -q main && git branch -q -D aside
check "status tells of it" 0 assay status
has "went to origin refs/heads/aside, which nobody judged here"
has "sent past the gate by"
git checkout -q -b "$(printf 'a\302\233b\342\200\256c')"
check "a branch's name is a stranger's text" 0 assay status
grep -q "$(printf '\302\233\|\342\200\256')" "$OUT" && not_ok "and shows no control bytes" || ok "and shows no control bytes"
sed -i 's/seed: 2/seed: 4/' assay.yaml && commit_all "seed: yet another"
for _ in 1 2 3; do assay hook run pre-push origin x <<<"refs/heads/main $(git rev-parse HEAD) refs/heads/main $(git rev-parse origin/main)" >/dev/null 2>&1; done
check "a push that was tried thrice" 0 assay status
is "is proposed once" "$(grep -c '^proposed: .* when '"$(git rev-parse --short=12 HEAD)" "$OUT")" 1
git checkout -q main
git tag v1
check "a tag is not judged" 0 git push -q origin v1
git checkout -q --orphan pages && git rm -rqf . && echo hello >index.html && commit_all "pages"
check "a branch without assay.yaml has nothing to judge" 0 git push -q origin pages
has "has no assay.yaml: there is nothing to judge"
check "but not as the default branch" 1 git push -q --force origin pages:main
has "assay init writes one"
git checkout -q -f main
check "nothing to push: nothing to judge" 0 git push -q origin main
check "uninstall" 0 assay hook uninstall
[ -e .git/hooks/pre-push ] && not_ok "the hook is gone" || ok "the hook is gone"

# an existing hook is chained with the same input
printf '#!/bin/sh\ncat > "%s/chained"\n' "$TRASH" >.git/hooks/pre-push
chmod +x .git/hooks/pre-push
check "install over a hook" 0 assay hook install
echo x >x && commit_all "x"
check "push with both" 0 git push -q origin main
grep -q refs/heads/main "$TRASH/chained" && ok "the old hook got the same lines" || not_ok "the old hook got the same lines"
check "uninstall puts it back" 0 assay hook uninstall
grep -q chained .git/hooks/pre-push && ok "the old hook is back" || not_ok "the old hook is back"
# ---- which branch is the default one: a usual name and a clone's memory are no word of the remote's ---------------------------

cd "$TRASH" && tiny_repo team && git branch -m trunk
sed -i 's/^promote: .*/promote: {trunk: production}/' assay.yaml && commit_all "trunk's policy"
git init -q --bare -b trunk ../trunk.git && git remote add origin "$TRASH/trunk.git" && git push -q origin trunk
git checkout -q -b evil && sed -i 's/{min: 0.5, max_drop: 0.1}/{min: 0, max_drop: 1}/; s/^promote: .*/promote: {trunk: production, side: production}/' assay.yaml
commit_all "weak rules" && git push -q origin evil:main
worse() { for i in $(seq 0 24); do echo "{\"prompt\":\"$((i % 5))+$((i / 5))=\",\"completion\":\"9\"}"; done >data/train.jsonl; }
git init -q ../victim && cd ../victim && git remote add origin "$TRASH/trunk.git" && git fetch -q origin
git symbolic-ref -d refs/remotes/origin/HEAD 2>/dev/null
git checkout -q -b trunk origin/trunk && git update-ref -d refs/remotes/origin/trunk && assay hook install >/dev/null
worse && commit_all "worse"
# git ends with 1 whatever the hook says, so the hook itself is asked: 1 is a failed gate, 0 and 65 would be somebody's main
gate() { assay hook run pre-push "$1" x <<<"HEAD $(git rev-parse HEAD) $2 $3"; }
policy() { assay show "$(sql 'select id from runs order by seq desc limit 1')" --json | jq -r .policy.source; }
trunk=$(git rev-parse HEAD~1)
check "somebody's main does not judge where trunk is the default branch" 1 gate origin refs/heads/trunk "$trunk"
has "FAIL"
is "trunk does" "$(policy)" "target $trunk"
check "and git stops the push" 1 git push -q origin trunk
git reset -q --hard HEAD~1 && sed -i 's/seed: 1/seed: 2/' assay.yaml && commit_all "good"
check "an honest push passes" 0 git push -q origin trunk
assay status >/dev/null 2>&1
is "and its alias moves" "$(assay models --json | jq -r '.[] | select(.aliases[]? == "production") | .commit')" "$(git rev-parse HEAD)"

# a rename: the clone remembers the old name, which is anybody's now
git clone -q ../trunk.git ../before && git -C ../trunk.git branch -m trunk develop && git -C ../team push -q origin evil:trunk
cd ../before && assay hook install >/dev/null && git fetch -q && git checkout -q -b develop origin/develop
sed -i 's/^promote: .*/promote: {develop: production}/' assay.yaml && worse && commit_all "worse"
sed -i 's/^promote: .*/promote: {develop: production, trunk: production}/' ../team/assay.yaml && git -C ../team commit -qam "for the new name" && git -C ../team push -q origin evil:trunk && git fetch -q
check "a clone from before the rename proposes nothing" 1 git push origin develop
has "the remote says that it is develop"
has "git remote set-head origin --auto"
is "nor has anything come" "$(assay models --json | jq -r '[.[].aliases[]?] | length')" 0
git remote set-head origin --auto >/dev/null
check "after that the default branch judges" 1 git push -q origin develop
has "FAIL"

# another remote of the clone, a stranger's: what is pushed there, or checked out from there, is judged by one's own all the same
cd "$TRASH" && git clone -q trunk.git ours && git init -q --bare stranger.git && git -C team push -q ../stranger.git evil:main && cd ours || exit 1
git remote add -f stranger "$TRASH/stranger.git" 2>/dev/null && git remote set-head stranger main && git checkout -q -b theirs stranger/main
worse && commit_all "worse" && tip=$(git rev-parse origin/develop)
check "a push to a stranger's fork" 1 gate stranger refs/heads/main "$(git rev-parse stranger/main)"
has "the push goes to stranger, and the policy is that of develop of origin"
is "is not judged by the stranger" "$(policy)" "target $tip"
check "nor is a branch that follows one, by hand" 1 assay run
is "but by one's own" "$(policy)" "target $tip"
git checkout -q develop && sed -i 's/seed: [0-9]*/seed: 3/' assay.yaml && commit_all "good"
sed -i 's/^promote: .*/promote: {develop: production, main: production}/' assay.yaml && commit_all "good, and main is given the alias"
git push -q origin develop && sed -i 's/seed: 3/seed: 4/' assay.yaml && commit_all "good, too"
check "what passes on its way there" 0 gate stranger refs/heads/main "$(git rev-parse stranger/main)"
has "production was not moved: the push goes to another remote than"
is "is proposed for no alias" "$(sql 'select count(*) from proposals')" 0
check "and for one on its way to one's own" 0 gate origin refs/heads/develop "$(git rev-parse origin/develop)"
is "that is" "$(sql 'select count(*) from proposals')" 1

# a remote of which nothing was fetched
cd "$TRASH" && tiny_repo fresh && git remote add origin "$TRASH/trunk.git" && assay hook install >/dev/null && git checkout -q -b side
sed -i 's/{min: 0.5, max_drop: 0.1}/{min: 0, max_drop: 1}/; s/^promote: .*/promote: {side: production}/' assay.yaml && worse && commit_all "weak rules, worse model"
check "the first push of a side branch is no first push of all" 1 git push -q origin side
has "FAIL"
done_testing
