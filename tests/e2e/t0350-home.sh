#!/usr/bin/env bash
# t0350-home.sh  A home in the work tree, as GitLab's cache needs it: what a commit brings there, or a link that it makes of it, is no
# memory, and every command says so before it reads any of it.
. "$(dirname "$0")/lib.sh"
tiny_repo "$TRASH/repo"
sed -i 's/max_steps: 250/max_steps: 5/; s/min: 0.5/min: 0/' assay.yaml && commit_all "quick"
export ASSAY_HOME=$PWD/.assay-home
check "a home of the work tree that nobody tracks" 0 assay run
check "and again" 0 assay status
cp -r .assay-home "$TRASH/kept"
good=$(git rev-parse HEAD)
everybody() { # NAME TEXT
	find "$seen" -type f -exec sha256sum {} + | sort >"$TRASH/before"
	for words in run "run $good" plan status runs "pull file://$TRASH/remote" "push file://$TRASH/remote" "registry rebuild" "artifact gc" \
		"hook run pre-push origin x" "promote sums@v1 production"; do
		# shellcheck disable=SC2086 # words
		check "$1: assay $words" 65 assay $words
		has "$2"
		has "fix: "
	done
	check "$1: assay doctor" 0 assay doctor
	has "$2"
	find "$seen" -type f -exec sha256sum {} + | sort >"$TRASH/after"
	cmp -s "$TRASH/before" "$TRASH/after" && ok "$1: nothing is written there" || not_ok "$1: nothing is written there"
}
ln -s "$PWD/.assay-home" "$TRASH/seen-home"
seen=$PWD/.assay-home

# one file is enough: the others may be the cache's
echo 'locations: {there: {url: "http://127.0.0.1:9/v1", model: m, key: SECRET}}' >.assay-home/config.yaml
git add -f .assay-home/config.yaml && git commit -q -m "a machine's own"
everybody "a file of the commit" "and HEAD tracks .assay-home: a commit does not bring the memory that judges it"
rm .assay-home/config.yaml
check "whatever lies on the disk" 65 assay status
export ASSAY_HOME=.assay-home
check "by a relative name" 65 assay status
export ASSAY_HOME=$PWD/data/../.assay-home/deeper
check "beside it, what it does not track, is a home" 0 assay runs
rm -rf .assay-home/deeper
export ASSAY_HOME=$PWD/data/../.assay-home
check "by a longer one" 65 assay status
ASSAY_HOME=$TRASH/seen-home check "by a link from outside" 65 assay status
cd / && check "from elsewhere" 65 assay runs
cd "$TRASH/repo" || exit 1
export ASSAY_HOME=$PWD/.assay-home
bad=$(git rev-parse HEAD)
git rm -q -r --cached .assay-home && git commit -q -m "taken back"
check "the next commit has a home again" 0 assay status
check "that commit is not judged from here" 65 assay run "$bad"
has "commit ${bad:0:12} tracks .assay-home"

# a link, committed or not; to the home, above it, into nothing
mv .assay-home "$TRASH/there"
seen=$TRASH/there
ln -s "$TRASH/there" .assay-home
everybody "a link" "leads through .assay-home, a symbolic link in the work tree"
git add -f .assay-home && git commit -q -m "a link"
everybody "a link of the commit" "leads through .assay-home, a symbolic link in the work tree"
rm .assay-home && ln -s "$TRASH/nowhere" .assay-home
check "a link to nothing" 65 assay status
[ -e "$TRASH/nowhere" ] && not_ok "nothing is made there" || ok "nothing is made there"
git rm -q --cached .assay-home && git commit -q -m "no link" && rm .assay-home
ln -s "$TRASH" up
ASSAY_HOME=$PWD/up/there check "a link above it" 65 assay status
has "leads through up, a symbolic link"
rm up
ASSAY_HOME=$PWD check "the work tree itself" 65 assay status
has "tracks files beside it"

# a folder that passes for a bare repository hides nothing
mv "$TRASH/there" .assay-home && git init -q --bare .assay-home && git add -f .assay-home && git commit -q -m "a bare one"
check "a home that is a bare repository" 65 assay status
cd .assay-home || exit 1
check "from within" 65 assay status
cd "$TRASH/repo" && git rm -q -r --cached .assay-home && git commit -q -m "gone" || exit 1

# as a submodule
rm -rf .assay-home && git init -q "$TRASH/sub" && git -C "$TRASH/sub" commit -q --allow-empty -m sub
git -c protocol.file.allow=always submodule --quiet add "$TRASH/sub" .assay-home && git commit -q -m "a submodule"
check "a home that is a submodule" 65 assay status
ASSAY_HOME=$PWD/.assay-home/deep check "what lies in one and is not tracked there is a home" 0 assay runs

# links outside any work tree are the machine's own
ln -s "$TRASH/kept" "$TRASH/linked"
ASSAY_HOME=$TRASH/linked check "a link outside the work tree" 0 assay runs
has "${good:0:12}"
done_testing
