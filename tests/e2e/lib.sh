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
servers=() # process ids; killed at the end
trap 'kill "${servers[@]}" 2>/dev/null || :; chmod -R u+w "$TRASH" 2>/dev/null; rm -rf "$TRASH"' EXIT
trap 'exit 143' TERM INT
OUT=$TRASH/.out
# shellcheck disable=SC2034 # the tests use it
HERE=$(cd "$(dirname "$0")" && pwd)
ERR=$TRASH/.err
export HOME=$TRASH/home NO_COLOR=1 GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0 LC_ALL=C.UTF-8
unset ASSAY_HOME GITHUB_ACTIONS GITLAB_CI CI CI_DEFAULT_BRANCH GIT_DIR GIT_WORK_TREE 2>/dev/null
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
# serve SCRIPT MODE: a stand-in for a server (SCRIPT beside this file: Python, writes its port to a file); sets PORT
serve() {
	rm -f "$TRASH/port"
	python3 "$HERE/$1" "$TRASH/port" "$2" 2>"$TRASH/server.log" &
	servers+=("$!")
	for _ in $(seq 200); do [ -s "$TRASH/port" ] && break; sleep 0.05; done
	# shellcheck disable=SC2034 # the tests use it
	PORT=$(cat "$TRASH/port")
}
# needs_emulation WHAT: sets EMU, the program with emulated devices; skips the whole test where it is not built
needs_emulation() {
	# shellcheck disable=SC2034 # the tests use it
	EMU=$(dirname "$ASSAY_TEST_BIN")/cuda/bin/assay
	[ -x "$EMU" ] && return
	skip "$1" "it is not built (make tests-build)"
	done_testing
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
# Three tasks for suites that are cut: one sampled twice, one rolling, two of them in a group; with slices.
# three_tasks DOCUMENTS DOCUMENTS_OF_THE_THIRD DOC_TO_TEXT
three_tasks() {
	for i in 1 2 3; do
		for k in $(seq 1 $((i == 3 ? $2 : $1))); do
			echo "{\"id\":\"$i-$k\",\"lang\":\"l$((k % 3))\",\"prompt\":\"$((k % 5))+$i=\",\"completion\":\"$((k % 5 + i))\"}"
		done >evals/part$i.jsonl
		cat >evals/part$i.yaml <<-Y
			task: part$i
			dataset_path: json
			dataset_kwargs: {data_files: {test: part$i.jsonl}}
			test_split: test
			output_type: generate_until
			doc_to_text: "$3"
			doc_to_target: "{{completion}}"
			target_delimiter: ""
			generation_kwargs: {until: ["\n"], max_gen_toks: 4, temperature: 0.7}
			repeats: 2
			metric_list: [{metric: exact_match}, {metric: bleu}]
			metadata: {assay: {by: lang}}
		Y
	done
	sed -i 's/^output_type.*/output_type: loglikelihood_rolling/; /^metric_list/d; /^generation_kwargs/d; /^repeats/d; /doc_to_text/d; s/^doc_to_target.*/doc_to_target: "{{prompt}}{{completion}}"/' evals/part3.yaml
	printf 'suite: all\ntasks: [part3.yaml, group.yaml]\n' >evals/all.yaml
	printf 'group: both\ntask: [part1, part2]\naggregate_metric_list: [{metric: exact_match}]\n' >evals/group.yaml
}
# commit_all MESSAGE
commit_all() { git add -A && git commit -q -m "$1"; }
