#!/usr/bin/env bash
# What is wrong in questions is one clear error with file, row and key, before anything is asked, in bounded time and memory;
# where lm-evaluation-harness goes on with a warning, so does assay, and the report counts it.
. "$(dirname "$0")/lib.sh"
M=$HERE/../golden/llama # its context has 24 tokens
rows() { # rows N: two choices each, the right one in turn
	seq 0 $(($1 - 1)) | awk '{ printf "{\"q\":\"q%d\",\"c\":[\"x\",\"y\"],\"l\":%d}\n", $1, $1 % 2 }'
}
task() { # task TYPE DATA LINE…
	printf 'task: t\ndataset_path: json\ndataset_kwargs: {data_files: {test: %s}}\ntest_split: test\noutput_type: %s\n' "$2" "$1"
	shift 2
	printf '%s\n' "$@"
}
# bad NAME TEXT…: of t.yaml; the answer is there in a minute, or it is none
bad() {
	_what=$1
	shift
	check "$_what" 65 timeout 60 "$ASSAY_TEST_BIN" eval "$M" t.yaml
	for _t in "$@"; do has "$_t"; done
	is "$_what: one error" "$(grep -c '^error: ' "$ERR")" 1
	is "$_what: no result" "$(wc -c <"$OUT")" 0
}
choice() { task multiple_choice "$1" 'doc_to_choice: c' 'doc_to_target: l' "${@:2}" >t.yaml; }
rows 4 >d.jsonl

choice d.jsonl 'doc_to_text: q' 'doc_to_txet: q'
bad "an unknown key" 't.yaml:9:1: unknown key "doc_to_txet" in task; did you mean "doc_to_text"?'
choice d.jsonl 'doc_to_text: "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}"'
bad "a template that loops without end" "d.jsonl:1: t.yaml: doc_to_text:1:" "takes more than 1000000 steps"
choice d.jsonl 'doc_to_text: "{% set ns = namespace(x=q) %}{% for i in range(64) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}"'
bad "one that doubles its text" "d.jsonl:1: t.yaml: doc_to_text:1:" "a text of more than 16 MiB"
choice d.jsonl "doc_to_text: '{{ q * 4000000000 }}'"
bad "one that grows at once" "d.jsonl:1: t.yaml: doc_to_text:1:6: a text of more than 16 MiB"
choice d.jsonl "doc_to_text: '{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(q) }}'"
bad "one that calls itself" "d.jsonl:1: t.yaml: doc_to_text:1:" "more than 1000 blocks in each other"

(choice d.jsonl 'doc_to_text: q' && printf 'metadata: %s%s\n' "$(printf '[%.0s' $(seq 99))" "$(printf ']%.0s' $(seq 99))" >>t.yaml)
bad "lists in lists in a task file" "t.yaml:9:" "more than 64 levels"
printf '{"q":%s%s}\n' "$(printf '[%.0s' $(seq 9999))" "$(printf ']%.0s' $(seq 9999))" >deep.jsonl
choice deep.jsonl 'doc_to_text: q'
bad "or in a row" "deep.jsonl:1:" "maximum parsing depth reached"

rows 41300 | sed '41207s/"q":"q41206",//' >big.jsonl
choice big.jsonl 'doc_to_text: q'
bad "a field missing in row 41,207" 'task t: big.jsonl:41207: this row has no "q", which doc_to_text needs' "fix: the row's columns: c, l"
choice big.jsonl 'doc_to_text: "{{ q }}?"'
bad "or in a template" "task t: big.jsonl:41207: t.yaml: doc_to_text:1:4: 'q' is undefined" "fix: the row's columns: c, l"

# a newcomer's mistakes: what, where, and what to write instead
choice d.jsonl 'doc_to_text: q' 'metric_list: [{metric: foo}]'
bad "an unknown metric" 't.yaml:9:16: unknown metric "foo"' "fix: multiple_choice has acc, acc_norm"
choice d.jsonl 'doc_to_text: q' 'metric_list: [{metric: bleu}]'
bad "a metric of another kind of task" "bleu is not defined for output_type multiple_choice" "fix: multiple_choice has acc"
choice d.jsonl 'doc_to_text: q' && sed -i '/dataset_path/d' t.yaml
bad "no data" "t.yaml:1:1: a task needs data: dataset_path" "data_files: {test: FILE.jsonl}"
choice d.jsonl 'doc_to_text: q' && sed -i 's/test_split: test/test_split: validation/' t.yaml
bad "a split that is not there" 't.yaml:4:1: there is no split "validation" in data_files (there is: test)'
printf 'suite: s\ntasks: [arc_easy]\n' >t.yaml
bad "a task's name where a file's is wanted" 't.yaml: there is no file "arc_easy"' "fix: tasks: names files, such as arc_easy.yaml"
printf 'group: g\ntask: [nix]\n' >t.yaml
bad "a group of what is not there" 't.yaml:2:7: no task, group or tag named "nix"' "fix: a file of its own that says task: nix"
printf 'group: g\ntask: [g]\naggregate_metric_list: [{metric: acc}]\n' >t.yaml
bad "a group within itself" 'group "g" is a member of itself'
rm t.yaml
bad "no such file" "there is no suite file t.yaml" "fix: a suite, and a task of lm-evaluation-harness, is named by the path"
choice d.jsonl 'doc_to_text: q'
check "no such model" 65 assay eval nomodel t.yaml
has "nomodel is no folder, and MODEL@ALIAS and locations are looked for in a clone: here is none"
check "none in a home" 65 env ASSAY_HOME="$TRASH/at" "$ASSAY_TEST_BIN" eval nomodel t.yaml
has "nomodel is no folder, no MODEL@ALIAS, and no location in"
has "fix: name a folder with config.json"
check "help" 0 assay eval --help
has "from the environment: --samples is ASSAY_SAMPLES"

: >empty.jsonl
choice empty.jsonl 'doc_to_text: q'
bad "an empty split" 't.yaml:4:1: task t: the split "test" is empty: nothing to ask'
choice d.jsonl 'doc_to_text: q' "process_docs: {where: 'l == 9'}"
bad "a split of which nothing is left" 'the split "test" is empty once process_docs has chosen: nothing to ask'

(rows 1 && printf '{"q":"a","c":["x","%s"],"l":0}\n' "$(head -c 4000 /dev/zero | tr '\0' 'y')") >long.jsonl
choice long.jsonl 'doc_to_text: q'
bad "a continuation longer than the context" "task t, sample 1: long.jsonl:2: " "the model takes 24"
rows 3 | sed 's/{/{"id":"same",/' >twice.jsonl
choice twice.jsonl 'doc_to_text: q'
bad "an id twice" 'twice.jsonl:2: the id "same" is taken by twice.jsonl:1'
(rows 2 && echo '{"q":3,"c":["x"],"l":0}') >mixed.jsonl
choice mixed.jsonl 'doc_to_text: q'
bad "mixed types" "mixed.jsonl:3: doc_to_text gives a number here, and text in the first document"
(rows 2 && printf '{"q":"\xff\xfe","c":["x"],"l":0}\n') >bytes.jsonl
choice bytes.jsonl 'doc_to_text: q'
bad "invalid UTF-8" "bytes.jsonl:3:6: not JSON: unable to decode byte 0xff"

(rows 1 && printf '{"q":"') >line.jsonl
truncate -s 2200M line.jsonl
choice line.jsonl 'doc_to_text: q'
bad "a line of 2 GB" "t.yaml: dataset_kwargs.data_files: line.jsonl is larger than 1073741824 bytes"
(rows 1 && printf '{"q":"' && head -c 34000000 /dev/zero | tr '\0' 'y' && echo '"}') >line.jsonl
bad "a line that a file has room for" "line.jsonl:2: a row of more than 32 MiB"
rm line.jsonl
head -c 1100M /dev/zero | tr '\0' '\n' | gzip -1 >bomb.jsonl.gz
choice bomb.jsonl.gz 'doc_to_text: q'
bad "a file that unpacks without end" "bomb.jsonl.gz: unpacks to more than 1024 MiB"
yes '{}' | head -n 4000000 | gzip -1 >many.jsonl.gz # twelve million bytes in some thousand, more than a gigabyte as values
choice many.jsonl.gz 'doc_to_text: q'
bad "a small file of millions of rows" "many.jsonl.gz:" "take 256 MiB of memory, and the file has "
has "fix: is it damaged? If all these rows are meant, commit them unpacked"
if nm "$ASSAY_TEST_BIN" 2>/dev/null | grep -q __asan_init; then
	skip "rows that take more memory than there is" "the sanitizer wants all of the address space"
else
	choice bomb.jsonl.gz 'doc_to_text: q'
	check "a file that unpacks to more than there is" 65 bash -c "ulimit -v 1000000; timeout 60 '$ASSAY_TEST_BIN' eval '$M' t.yaml"
	has "bomb.jsonl.gz: unpacks to more than"
	has "fix: split the data into more files, or give it more memory"
	gunzip many.jsonl.gz
	choice many.jsonl 'doc_to_text: q'
	check "rows that take more memory than there is" 65 bash -c "ulimit -v 1500000; timeout 60 '$ASSAY_TEST_BIN' eval '$M' t.yaml"
	has "many.jsonl:"
	has "MiB of memory, and there is less for them"
	has "fix: split the file"
fi

# one long word has a perplexity that no number holds: no value, and that is said
printf '{"a":"%s"}\n' "$(printf 'xyzzy%.0s' $(seq 200))" >word.jsonl
task loglikelihood_rolling word.jsonl 'doc_to_target: "{{a}}"' >t.yaml
check "a value that overflows" 0 assay eval "$M" t.yaml
note="task t: word_perplexity is too large for a number, and has no value; bits_per_byte does not overflow"
has "warning: $note"
is "the result has no value" "$(jq -c .tasks.t.word_perplexity.value "$OUT")" null
is "and says why" "$(jq -r '.notes[]' "$OUT" | grep -cxF "$note")" 1

# a regular expression that never ends, on what the model writes
task generate_until d.jsonl 'doc_to_text: q' 'doc_to_target: q' 'generation_kwargs: {until: ["zzz"], max_gen_toks: 20}' \
	'filter_list: [{name: f, filter: [{function: regex, regex_pattern: "^((((.?)+)+)+)+$(?<=never ever)"}, {function: take_first}]}]' >t.yaml
bad "a regular expression that backtracks for ever" "task t, sample 0: d.jsonl:1: filter f: " "backtracks too much"
task generate_until d.jsonl 'doc_to_text: q' 'doc_to_target: q' 'generation_kwargs: {until: ["zzz"], max_gen_toks: 20}' \
	'metric_list: [{metric: exact_match, regexes_to_ignore: ["^((((.?)+)+)+)+$(?<=never ever)"]}]' >t.yaml
bad "or one of a metric" "task t, sample 0: d.jsonl:1: exact_match: " "backtracks too much"

# a right answer that is no choice: the harness goes on, and so does assay
rows 4 | sed '3s/"l":0/"l":9/' >gold.jsonl
choice gold.jsonl 'doc_to_text: q'
note='task t: 1 of 4 documents have a right answer that is not among their choices (first: gold.jsonl:3); it counts as wrong'
check "a right answer out of range" 0 assay eval "$M" t.yaml
is "counted in the document" "$(jq -r '.notes[]' "$OUT")" "$note"
has "warning: $note"
choice d.jsonl 'doc_to_text: q'
check "none out of range" 0 assay eval "$M" t.yaml
is "says nothing" "$(jq -c 'keys' "$OUT")" '["suite","tasks"]'
tiny_repo repo
cp ../gold.jsonl evals/
(cd evals && choice gold.jsonl 'doc_to_text: q' && mv t.yaml gold.yaml)
sed -i 's|suites: .*|suites: [evals/sums.yaml, evals/gold.yaml]|' assay.yaml
commit_all "a suite with a wrong label"
note=${note/gold.jsonl/evals/gold.jsonl}
check "a plan" 0 assay plan --json
is "notes it" "$(jq -r '.notes[]' "$OUT" | grep -cF "$note")" 1
check "a run" 0 assay run
check "its record" 0 assay show --json
is "notes it once" "$(jq -r '.notes[]' "$OUT" | grep -cF "$note")" 1
check "its report" 0 assay show --md
has "1 of 4 documents have a right answer that is not among their choices"
done_testing
