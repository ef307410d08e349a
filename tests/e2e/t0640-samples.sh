#!/usr/bin/env bash
# Samples: stored in blocks, found one by one, made in shards, and kept on their way when a process is killed.
. "$(dirname "$0")/lib.sh"
tiny_repo repo
check "a run" 0 assay run
M=sums@v1
store=.git/assay
object=$(sql "select object from samples where task='sums'")
file=$store/objects/${object:0:2}/${object:2}
is "stored in blocks with an index" "$(head -c 15 "$file")" assay-samples/2
check "all samples as lines" 0 assay samples --jsonl
is "a header and eight of them" "$(wc -l <"$OUT")" 9
is "with hashes and tokens" "$(sed -n 2p "$OUT" | jq -r '[.doc_hash,.prompt_hash,.target_hash]|map(length)|join(" ")') $(sed -n 2p "$OUT" | jq '.tokens>0')" "16 16 16 true"
is "and how long each took, which is in no digest" "$(jq -s '[.[]|select(.id)|.seconds>0]|all' "$OUT") $(sql "select output from stages where step='eval'" | jq -r '.tasks[0]|"\(.seconds>0) \(.times|length)"')" "true true 64"
check "one by its id" 0 assay samples --id 2+2 --jsonl
is "it alone" "$(jq -r '"\(.id) \(.target)"' "$OUT")" "2+2 4"
check "one that is not there" 65 assay samples --id nobody --task sums
has 'no sample "nobody" in sums of this run'

# damage in the texts is named by its block; the numbers are read all the same
cp "$file" whole && chmod u+w "$file"
printf X | dd of="$file" bs=1 seek=40 conv=notrunc 2>/dev/null
check "a damaged block" 74 assay samples --id 2+2
has "block 0 with the texts of samples 0 to 7 is damaged"
cp whole "$file"

# a share of the documents, as the harness's --limit 0.4, in runs and their plans, too: 4 of 8
check "a plan for a share" 0 assay plan --limit 0.4 --json
is "says of how many" "$(jq -c '[.suites[0].known, .gate.rules[0].n, .gate.rules[0].outlook]' "$OUT")" '[false,4,"never"]'
check "a run of a share decides nothing" 2 assay run --limit 0.4 --json
is "it asked those" "$(jq -c '[.steps[]|select(.name=="eval").status], [.metrics[]|select(.metric=="exact_match").n]' "$OUT" | tr '\n' ' ')" '["done"] [4] '
check "the same again" 2 assay run --limit 0.4 --json
is "has its key" "$(jq -r '.steps[]|select(.name=="eval").status' "$OUT")" reused
check "in words" 2 assay run --limit 0.4
has "0.4 of each task's samples were evaluated: no version is made"
check "another share" 2 assay run --limit 0.3 --json
is "has another" "$(jq -c '[.steps[]|select(.name=="eval").status], [.metrics[]|select(.metric=="exact_match").n]' "$OUT" | tr '\n' ' ')" '["done"] [3] '
check "a shard of a share" 64 assay run --limit 0.4 --shard 1/2
has "--limit asks 0.4 of each task's samples"
for bad in -1 1.5 nan x; do check "run --limit=$bad" 64 assay run --limit=$bad; done
check "plan --limit=1.5" 64 assay plan --limit=1.5

# shards
three_tasks 40 40 "{{prompt}}"
check "a suite as a whole" 0 assay eval $M evals/all.yaml --samples whole.jsonl
cp "$OUT" whole.json
for i in 1 2 3; do check "shard $i of 3" 0 assay eval $M evals/all.yaml --shard $i/3 --samples s$i.jsonl --batch-tokens 64; done
check "merged, in any order" 0 assay eval --merge evals/all.yaml s3.jsonl s1.jsonl s2.jsonl --samples merged.jsonl
cmp "$OUT" whole.json && ok "the same metrics, byte for byte" || not_ok "the same metrics, byte for byte"
cmp merged.jsonl whole.jsonl && ok "the same samples, byte for byte" || not_ok "the same samples, byte for byte"
is "the group among them" "$(jq '.tasks.both.exact_match.n' whole.json)" 80
for i in 1 2 3; do assay eval $M evals/all.yaml --shard $i/3 --samples l$i.jsonl --limit 7 >/dev/null 2>&1; done
assay eval $M evals/all.yaml --limit 7 --samples few.jsonl >/dev/null 2>&1
check "with a limit too" 0 assay eval --merge evals/all.yaml l1.jsonl l2.jsonl l3.jsonl --samples merged.jsonl
cmp merged.jsonl few.jsonl && ok "the first seven" || not_ok "the first seven"
assay eval $M evals/all.yaml --shard 50/50 --samples empty.jsonl --limit 7 >"$OUT" 2>"$ERR" && ok "a shard without samples" || not_ok "a shard without samples"
# a share, as the harness's: of each task's documents, rounded up
check "a share of the samples" 0 assay eval $M evals/all.yaml --limit 0.16 --samples share.jsonl
cmp share.jsonl few.jsonl && ok "0.16 of 40 are the first seven" || not_ok "0.16 of 40 are the first seven"
for i in 1 2 3; do assay eval $M evals/all.yaml --shard $i/3 --samples p$i.jsonl --limit 0.16 >/dev/null 2>&1; done
check "shards of a share" 0 assay eval --merge evals/all.yaml p2.jsonl p1.jsonl p3.jsonl --samples merged.jsonl
cmp merged.jsonl few.jsonl && ok "merged they are the same" || not_ok "merged they are the same"
check "a share that rounds up to all" 0 assay eval $M evals/all.yaml --limit 0.999 --samples share.jsonl
cmp share.jsonl whole.jsonl && ok "all of them" || not_ok "all of them"
for bad in -1 1.5 nan x; do check "--limit=$bad" 64 assay eval $M evals/all.yaml --limit=$bad; done
refuse() { # NAME TEXT FILE…
	local name=$1 text=$2
	shift 2
	check "$name" 65 assay eval --merge evals/all.yaml "$@"
	has "$text"
}
refuse "one is missing" "of 3 shards 1 are missing: 2" s1.jsonl s3.jsonl
cp s2.jsonl copy.jsonl
refuse "one is there twice, by name" "s2.jsonl and copy.jsonl are both shard 2 of 3" s1.jsonl s2.jsonl copy.jsonl s3.jsonl
refuse "other limits" "were made with different limits: 7 and 40 of task part3" s1.jsonl s2.jsonl l3.jsonl
refuse "no shard at all" "whole.jsonl is of another suite" s1.jsonl whole.jsonl s3.jsonl
sed 's/"by":"[0-9a-f]*"/"by":"00"/' s2.jsonl >other.jsonl
refuse "another model" "other.jsonl was made by another model, seed or numerics class than s1.jsonl" s1.jsonl other.jsonl s3.jsonl
sed 's/"id":"3-2"/"id":"x"/' s2.jsonl >other.jsonl
refuse "another document" 'other.jsonl: task part3: sample 0 is "x", and should be "3-2"' s1.jsonl other.jsonl s3.jsonl
refuse "no file of samples" "nothing.jsonl" s1.jsonl nothing.jsonl s3.jsonl
sed -i 's/"prompt":"1+3="/"prompt":"1+4="/' evals/part3.jsonl
refuse "other questions" "s1.jsonl has answers to other questions in task part3" s1.jsonl s2.jsonl s3.jsonl
check "a shard that is none" 64 assay eval $M evals/all.yaml --shard 4/3
check "--merge and a limit" 64 assay eval --merge evals/all.yaml s1.jsonl --limit 3

# killed in the middle of a task: the next one goes on, to the same bytes
for k in $(seq 1 9000); do echo "{\"text\":\"$((k % 7))+$((k % 11))=$((k % 13)), $k and more of it\"}"; done >evals/long.jsonl
cat >evals/sums.yaml <<-Y
	task: long
	dataset_path: json
	dataset_kwargs: {data_files: {test: long.jsonl}}
	test_split: test
	output_type: loglikelihood_rolling
	doc_to_target: "{{text}}"
Y
sed -i '/^gate:/,/^promote/{/^promote/!d}' assay.yaml
commit_all "a long suite"
export ASSAY_HOME=$TRASH/left-alone
cp -r "$store" "$ASSAY_HOME"
check "left alone" 0 assay run
left=$(sqlite3 "$ASSAY_HOME/registry.db" "select object from samples where task='long'")
export ASSAY_HOME=$TRASH/killed
cp -r "$store" "$ASSAY_HOME"
"$ASSAY_TEST_BIN" run >"$OUT" 2>"$ERR" &
pid=$!
for _ in $(seq 1 6000); do # until a block of samples is there
	size=$(cat "$ASSAY_HOME"/work/*-eval-* 2>/dev/null | wc -c)
	[ "$size" -gt 1000 ] && break
	kill -0 $pid 2>/dev/null || break
done
kill -KILL $pid
wait $pid 2>/dev/null
is "killed" $? 137
printf '{"bytes":10,"packed":7,"ta' >>"$(echo "$ASSAY_HOME"/work/*-eval-*)" # and torn
check "started again" 0 assay run --json
is "it goes on" "$(jq -r '.steps[]|select(.name=="eval").status' "$OUT")" resumed
has "samples are there from before"
is "the same object" "$(sqlite3 "$ASSAY_HOME/registry.db" "select object from samples where task='long'")" "$left"
[ -z "$(ls "$ASSAY_HOME/work")" ] && ok "nothing is left over" || not_ok "nothing is left over"
unset ASSAY_HOME

# metrics by slice, beside the baseline's
cat >assay.yaml <<-Y
	model: sums
	base: sums@v1
	suites: [evals/part1.yaml, evals/sums.yaml]
	gate: {baseline: production, require: {part1.exact_match: {min: 0}}}
Y
commit_all "slices"
assay run >/dev/null 2>&1
assay promote "$(assay models --json | jq -r '.[0] | "\(.model // .name)@v1"')" production >/dev/null 2>&1
printf 'Say: ' >prompt.txt
sed -i 's/^base:/prompt: prompt.txt\nbase:/' assay.yaml
commit_all "another prompt"
check "a run with slices" 0 assay run --report-dir out
is "three of each metric" "$(jq -r '[.slices[]|select(.metric=="exact_match")|.slice]|sort|join(" ")' out/report.json)" "l0 l1 l2"
is "which sum up" "$(jq '[.slices[]|select(.metric=="exact_match")|.n]|add' out/report.json)" 40
is "tasks without slices have none" "$(jq '[.slices[]|select(.task=="long")]|length' out/report.json)" 0
grep -q "<summary>By slice</summary>" out/report.md && grep -q "^| part1.exact_match | l1 | 14 |" out/report.md && ok "as a table" || not_ok "as a table"
has "part1.exact_match of l1:"

# the same by hand
check "kept in a file" 0 assay eval $M evals/all.yaml --keep kept --samples a.jsonl
[ ! -e kept ] && ok "which goes at the end" || not_ok "which goes at the end"
echo '{"assay-keep":1,"key":"other"}' >kept
check "a file of something else" 65 assay eval $M evals/all.yaml --keep kept
has "kept keeps samples of another model, suite, shard or limit"
echo "my thesis" >thesis.md
check "a file that is none of ours" 65 assay eval $M evals/all.yaml --keep thesis.md
is "stays as it is" "$(cat thesis.md)" "my thesis"
printf '{"assay-ke' >torn
check "a first line that was cut off is begun again" 0 assay eval $M evals/all.yaml --keep torn
done_testing
