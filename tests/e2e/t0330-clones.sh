#!/usr/bin/env bash
# t0330-clones.sh  Every kind of clone that a CI or a person has: the same commit gives the same keys, so that what one clone
# has computed no other computes again; or one sentence says what to do. Servers are file:// remotes.
. "$(dirname "$0")/lib.sh"
export ASSAY_HOME=$TRASH/state
git config --global protocol.file.allow always
tiny_repo "$TRASH/first"
git init -q --bare "$TRASH/origin.git"
git -C "$TRASH/origin.git" config uploadpack.allowFilter true
git remote add origin "file://$TRASH/origin.git"
# a long history, cheaply: 400 commits before what is judged
tip=$(git rev-parse HEAD)
for i in $(seq 1 400); do
	tip=$(git commit-tree -p "$tip" -m "filler $i" "$tip^{tree}")
done
git reset -q --hard "$tip"
sed -i 's/baseline: production/baseline: merge-base/' assay.yaml
commit_all "the merge base"
git push -q -u origin main
check "a full clone" 0 assay run
run_reused() { # NAME  the model is not trained again
	check "$1" 0 assay run --json
	is "$1: nothing is trained again" "$(jq -r '.verdict + " " + (.steps[] | select(.name == "train") | .status)' "$OUT")" "PASS reused"
}

git worktree add -q "$TRASH/linked" -b linked && cd "$TRASH/linked" || exit 1
run_reused "a linked work tree"

git clone -q --bare "file://$TRASH/origin.git" "$TRASH/bare.git" && cd "$TRASH/bare.git" || exit 1
run_reused "a bare repository"
check "it has no work tree" 64 assay run --dirty

git clone -q "file://$TRASH/origin.git" "$TRASH/sparse" && cd "$TRASH/sparse" || exit 1
git sparse-checkout set evals >/dev/null 2>&1
git config core.repositoryformatversion 1 # an extension that libgit2 does not know is then fatal to it
git config extensions.worktreeConfig true
[ ! -e data/train.jsonl ] && run_reused "a sparse checkout"

# line ends and filters are a work tree's; inputs are read as git stores them
git clone -q "file://$TRASH/origin.git" "$TRASH/eol" && cd "$TRASH/eol" || exit 1
printf '*.jsonl text eol=crlf\n*.yaml ident\n' >.git/info/attributes
git config core.autocrlf true
rm data/train.jsonl evals/sums.jsonl && git checkout -q -- data evals
is "the work tree has other line ends" "$(grep -c $'\r' data/train.jsonl)" 25
run_reused "line ends of a work tree"

# partial: blobs come when they are asked for
git clone -q --no-checkout --filter=blob:none "file://$TRASH/origin.git" "$TRASH/partial" && cd "$TRASH/partial" || exit 1
check "a partial clone, offline" 65 env ASSAY_OFFLINE=1 "$ASSAY_TEST_BIN" run
has "cannot read assay.yaml"
has "which ASSAY_OFFLINE forbids"
run_reused "a partial clone"

# ---- depth 1 ----
git clone -q "file://$TRASH/origin.git" "$TRASH/author" && cd "$TRASH/author" || exit 1
git checkout -q -b topic && for i in 1 2 3; do git commit -q --allow-empty -m "topic $i"; done
git push -q origin topic
git checkout -q main && git commit -q --allow-empty -m "others went on" && git push -q origin main
git checkout -q --detach main && git merge -q --no-edit topic && git push -q origin HEAD:refs/pull/7/merge
head=$(git rev-parse topic) base=$(git rev-parse topic~3) main=$(git rev-parse main) merge=$(git rev-parse HEAD)

shallow() { # DIR REF: as actions/checkout does it
	git init -q "$1" && cd "$1" || exit 1
	git remote add origin "file://$TRASH/origin.git"
	git fetch -q --no-tags --depth=1 origin "$2" && git checkout -q FETCH_HEAD
}
pull_request() { # SHA: the event
	jq -n --arg h "$head" --arg b "$main" '{repository: {default_branch: "main"}, number: 7, pull_request: {number: 7, head: {sha: $h, ref: "topic",
		repo: {full_name: "o/r"}}, base: {sha: $b, ref: "main", repo: {full_name: "o/r"}}}}' >"$TRASH/event.json"
	export GITHUB_ACTIONS=true GITHUB_EVENT_NAME=pull_request GITHUB_REF=refs/pull/7/merge GITHUB_SHA=$1
	export GITHUB_EVENT_PATH=$TRASH/event.json
}
commits() { jq -r '.commits | "\(.tested) \(.head) \(.base) \(.target)"' report/report.json; }

shallow "$TRASH/merged" refs/pull/7/merge
pull_request "$merge"
check "depth 1, a merged result" 0 assay run --report-dir report
is "three commits: tested, head, base, and the target's tip" "$(commits)" "$merge $head $main $main"
grep -q "${head:0:7}" report/report.md && ok "the report names the merge request's own commit" || not_ok "the report names the merge request's own commit"
is "the nearest judged commit before the target's tip was looked for" "$(jq -r .baseline.commit report/report.json)" "$base"

shallow "$TRASH/head" topic
pull_request "$head"
check "depth 1, offline" 65 env ASSAY_OFFLINE=1 "$ASSAY_TEST_BIN" run
has "fetch-depth: 0"
check "depth 1, the head" 0 assay run --report-dir report
is "compared with the merge base, not with what others did" "$(jq -r .baseline.commit report/report.json)" "$base"
is "and recorded" "$(commits)" "$head $head $base $main"
n=$(git rev-list --count HEAD)
if [ "$n" -gt 3 ] && [ "$n" -lt 200 ]; then ok "deepened to the merge base, not to the root"; else is "deepened to the merge base, not to the root" "$n" "4 to 199"; fi
unset GITHUB_ACTIONS GITHUB_EVENT_NAME GITHUB_REF GITHUB_SHA GITHUB_EVENT_PATH

shallow "$TRASH/alone" topic
rm -rf "$TRASH/gone" && git remote set-url origin "file://$TRASH/gone"
git update-ref refs/remotes/origin/main "$(git commit-tree -m other 'HEAD^{tree}')"
check "no way to the merge base" 65 assay run --target origin/main
has "no common ancestor"
has "fetch-depth: 0"

# ---- an alias does not go back, also where the clone cannot see it ----
cd "$TRASH/author" && git checkout -q main && sed -i 's/baseline: merge-base/baseline: production/' assay.yaml && commit_all "by alias"
git push -q origin main
older=$(git rev-parse HEAD)

# an ordinary request: nothing is compared with the merge base, and it is recorded all the same
shallow "$TRASH/ordinary" topic
main=$older pull_request "$head"
git fetch -q --depth=1 origin "$older" && cp -r . "$TRASH/noway"
check "depth 1, compared by alias" 0 assay run --report-dir report
is "where the change began is recorded" "$(commits)" "$head $head $base $older"
n=$(git rev-list --count HEAD)
if [ "$n" -gt 3 ] && [ "$n" -lt 200 ]; then ok "deepened as far as that"; else is "deepened as far as that" "$n" "4 to 199"; fi
cd "$TRASH/noway" || exit 1
check "without a way to the remote" 0 env ASSAY_OFFLINE=1 "$ASSAY_TEST_BIN" run --report-dir report
is "it is not known" "$(commits)" "$head $head null $older"
is "and the report says what helps" "$(jq -r '.notes[]' report/report.json | grep -c 'where this change began is not in this clone.*fetch-depth: 0')" 1
unset GITHUB_ACTIONS GITHUB_EVENT_NAME GITHUB_REF GITHUB_SHA GITHUB_EVENT_PATH
cd "$TRASH/author" || exit 1
sed -i 's/seed: 1/seed: 2/' assay.yaml && commit_all "another seed" && git push -q origin main
newer=$(git rev-parse HEAD)
push_event() { # BEFORE AFTER
	jq -n --arg b "$1" --arg a "$2" '{ref: "refs/heads/main", before: $b, after: $a,
		repository: {default_branch: "main"}}' >"$TRASH/event.json"
	export GITHUB_ACTIONS=true GITHUB_EVENT_NAME=push GITHUB_REF=refs/heads/main GITHUB_SHA=$2 GITHUB_REF_PROTECTED=true
	export GITHUB_EVENT_PATH=$TRASH/event.json
}
shallow "$TRASH/newer" main
push_event "$older" "$newer"
check "a push" 0 assay run --json
is "moves the alias" "$(jq -r .promotion.state "$OUT")" made
git init -q "$TRASH/again" && cd "$TRASH/again" || exit 1
git remote add origin "file://$TRASH/origin.git" && git fetch -q --depth=1 origin "$older" && git checkout -q "$older"
push_event "$main" "$older"
check "an old job again, in a clone of depth 1" 0 assay run --json
is "does not move it back" "$(jq -r .promotion.state "$OUT")" refused
has "later commit"
unset GITHUB_ACTIONS GITHUB_EVENT_NAME GITHUB_REF GITHUB_SHA GITHUB_REF_PROTECTED GITHUB_EVENT_PATH

# ---- a repository of SHA-256 names ----
unset ASSAY_HOME
git init -q --bare --object-format=sha256 "$TRASH/long.git"
git init -q --object-format=sha256 "$TRASH/long" && cd "$TRASH/long" || exit 1
cp -r "$TRASH/first/assay.yaml" "$TRASH/first/data" "$TRASH/first/evals" .
commit_all "in long names"
git remote add origin "$TRASH/long.git"
check "SHA-256: a run" 0 assay run
check "SHA-256: and again, by --dirty" 0 assay run --dirty --json
is "SHA-256: a file has one name, committed or not" "$(jq -r '.steps[] | select(.name == "train") | .status' "$OUT")" reused
check "SHA-256: status" 0 assay status
check "SHA-256: a hook" 0 assay hook install
check "SHA-256: a push through it" 0 git push -q origin main
(cd "$TRASH/long.git" && assay hook install) >/dev/null
echo "nothing: new" >>README && commit_all "a text" && sed -i 's/max_drop: 0.1/max_drop: 2.5/' assay.yaml && commit_all "nonsense"
check "SHA-256: quarantine reads what is pushed" 1 env ASSAY_SKIP=test git push origin main
has "max_drop" "SHA-256: and says what is wrong with it"

# ---- submodules ----
git init -q "$TRASH/data" && cd "$TRASH/data" || exit 1
cp "$TRASH/first/data/train.jsonl" . && commit_all "rows"
git clone -q "$TRASH/first" "$TRASH/super" && cd "$TRASH/super" || exit 1
git submodule --quiet add "file://$TRASH/data" rows
git rm -q -r data && sed -i 's,data/train,rows/train,' assay.yaml && commit_all "data of its own"
check "an input in a submodule" 0 assay run --json
git clone -q "$TRASH/super" "$TRASH/without" && cd "$TRASH/without" || exit 1
check "a clone without its submodules" 65 assay run
has "rows is a submodule"
has "submodules: recursive"
git submodule --quiet update --init
check "and with them" 0 assay run

# ---- LFS, with its real client ----
git clone -q "$TRASH/first" "$TRASH/malformed" && cd "$TRASH/malformed" || exit 1
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:12ab\nsize 3\n' >data/train.jsonl
commit_all "a pointer by hand"
check "a pointer that names no object" 65 assay run
has 'data/train.jsonl begins as a Git LFS pointer and has no line "oid sha256:" with 64 digits'
has "git lfs pointer --file"
if git lfs version >/dev/null 2>&1; then
	git init -q --bare "$TRASH/lfs.git"
	git clone -q "$TRASH/first" "$TRASH/lfs" && cd "$TRASH/lfs" || exit 1
	git remote set-url origin "file://$TRASH/lfs.git"
	git config --global filter.lfs.clean "git-lfs clean -- %f"
	git config --global filter.lfs.smudge "git-lfs smudge -- %f"
	git config --global filter.lfs.process "git-lfs filter-process"
	git config --global filter.lfs.required true
	git lfs track 'data/*.jsonl' >/dev/null && git rm -q --cached data/train.jsonl && commit_all "rows in LFS"
	git push -q -u origin main >/dev/null 2>&1
	check "LFS objects that are here" 0 assay run
	GIT_LFS_SKIP_SMUDGE=1 git clone -q "file://$TRASH/lfs.git" "$TRASH/pointers" && cd "$TRASH/pointers" || exit 1
	check "a clone with pointers" 65 assay run
	has "is a Git LFS pointer"
	has "git lfs fetch"
	git lfs fetch >/dev/null 2>&1
	check "after git lfs fetch, no checkout is needed" 0 assay run
else
	skip "LFS" "git-lfs is not installed"
fi

# ---- another user's ----
if [ "$(id -u)" = 0 ]; then
	git clone -q "$TRASH/first" "$TRASH/theirs" && chown -R 12345 "$TRASH/theirs" && cd "$TRASH/theirs" || exit 1
	check "another user's repository" 78 assay run
	has "git config --global --add safe.directory"
	git config --global --add safe.directory '*'
	check "safe.directory=*" 0 assay run
	git config --global --unset-all safe.directory
	git config --global --add safe.directory "$TRASH/theirs"
	check "safe.directory by name" 0 assay run
else
	skip "another user's repository" "needs root"
fi
done_testing
