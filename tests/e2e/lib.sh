#!/usr/bin/env bash
# lib.sh: what the end-to-end tests share. Each test runs in a trash folder of its own and prints TAP.
#
#	. "$(dirname "$0")/lib.sh"
#	check "a first run passes" 0 assay run         # expected exit code, then the command
#	has "PASS"                                     # the last command's output (either stream) has the text
#	done_testing
#
# The last command's standard output is in $OUT, its standard error in $ERR; ASSAY_TEST_BIN names the binary.
set -u
: "${ASSAY_TEST_BIN:?the binary to test}"
tests=0
failures=0
TRASH=$(mktemp -d "${TMPDIR:-/tmp}/assay-e2e-XXXXXX")
trap 'chmod -R u+w "$TRASH" 2>/dev/null; rm -rf "$TRASH"' EXIT
trap 'exit 143' TERM INT
OUT=$TRASH/.out
# shellcheck disable=SC2034 # the tests use it
HERE=$(cd "$(dirname "$0")" && pwd)
ERR=$TRASH/.err
export HOME=$TRASH/home NO_COLOR=1 GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0 LC_ALL=C.UTF-8
unset ASSAY_HOME GITHUB_ACTIONS GITLAB_CI CI GIT_DIR GIT_WORK_TREE 2>/dev/null
mkdir -p "$HOME"
git config --global user.name "A Tester"
git config --global user.email tester@example.org
git config --global init.defaultBranch main
git config --global advice.detachedHead false
cd "$TRASH" || exit 1

assay() { "$ASSAY_TEST_BIN" "$@"; }

ok() {
	tests=$((tests + 1))
	echo "ok $tests - $1"
}
not_ok() {
	tests=$((tests + 1))
	failures=$((failures + 1))
	echo "not ok $tests - $1"
	cat "$OUT" "$ERR" 2>/dev/null | sed 's/^/# /' | tail -n 25
}
skip() {
	tests=$((tests + 1))
	echo "ok $tests - $1 # skip $2"
}
# check NAME CODE COMMAND…
check() {
	_name=$1 _want=$2
	shift 2
	"$@" >"$OUT" 2>"$ERR" </dev/null
	_got=$?
	if [ "$_got" = "$_want" ]; then ok "$_name"; else
		echo "exit $_got, wanted $_want: $*" >>"$ERR"
		not_ok "$_name"
	fi
}
# has TEXT [NAME]: the last output has this fixed text
has() {
	if grep -qF -- "$1" "$OUT" "$ERR"; then ok "${2:-it says: $1}"; else not_ok "${2:-it says: $1}"; fi
}
hasnt() {
	if grep -qF -- "$1" "$OUT" "$ERR"; then not_ok "${2:-it does not say: $1}"; else ok "${2:-it does not say: $1}"; fi
}
# is NAME GOT WANT
is() {
	if [ "$2" = "$3" ]; then ok "$1"; else
		printf 'got  %s\nwant %s\n' "$2" "$3" >"$ERR"
		not_ok "$1"
	fi
}
sql() { sqlite3 "$(git rev-parse --git-common-dir)/assay/registry.db" "$1"; }
done_testing() {
	echo "1..$tests"
	[ "$failures" = 0 ]
	exit
}

# A repository with a tiny model that trains in a second: sums up to nine.
# tiny_repo DIR
tiny_repo() {
	git init -q "$1" && cd "$1" || exit 1
	mkdir -p data evals
	for a in 0 1 2 3 4; do
		for b in 0 1 2 3 4; do
			echo "{\"prompt\":\"$a+$b=\",\"completion\":\"$((a + b))\"}"
		done
	done >data/train.jsonl
	for p in "0+1 1" "1+2 3" "2+2 4" "3+1 4" "4+4 8" "0+0 0" "3+4 7" "2+1 3"; do
		echo "{\"id\":\"${p% *}\",\"prompt\":\"${p% *}=\",\"completion\":\"${p#* }\"}"
	done >evals/sums.jsonl
	cat >evals/sums.yaml <<-Y
		suite: sums
		tasks:
		  - task: sums
		    dataset_path: json
		    dataset_kwargs: {data_files: {test: sums.jsonl}}
		    test_split: test
		    output_type: generate_until
		    doc_to_text: "{{prompt}}"
		    doc_to_target: "{{completion}}"
		    target_delimiter: ""
		    generation_kwargs: {until: ["\n"], max_gen_toks: 4}
		    metric_list: [{metric: exact_match}]
	Y
	cat >assay.yaml <<-Y
		model: sums
		base:
		  init:
		    hidden_size: 32
		    layers: 2
		    heads: 2
		    context: 64
		    tokenizer: {train: [data/train.jsonl], vocab_size: 260}
		finetune:
		  data: data/train.jsonl
		  max_steps: 250
		  batch_tokens: 256
		  learning_rate: 5e-3
		  seed: 1
		suites: [evals/sums.yaml]
		gate:
		  baseline: production
		  require:
		    sums.exact_match: {min: 0.5, max_drop: 0.1}
		promote: {main: production}
		profiles:
		  pre-push: {train: true}
	Y
	git add -A && git commit -q -m "tiny: first model"
}
# commit_all MESSAGE
commit_all() { git add -A && git commit -q -m "$1"; }
