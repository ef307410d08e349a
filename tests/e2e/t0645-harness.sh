#!/usr/bin/env bash
# Results written as lm-evaluation-harness writes them: read back, they are what they were.
. "$(dirname "$0")/lib.sh"
tiny_repo repo
for k in $(seq 0 19); do
	echo "{\"id\":\"n-$k\",\"lang\":\"l$((k % 3))\",\"prompt\":\"$((k % 5))+1=\",\"completion\":\"$((k % 5 + 1)) apples are there\",\"choices\":[\"1\",\"2\"],\"label\":$((k % 2))}"
done >evals/texts.jsonl
task() { # NAME TYPE TARGET MORE
	cat <<-Y
		task: $1
		dataset_path: json
		dataset_kwargs: {data_files: {test: texts.jsonl}}
		test_split: test
		output_type: $2
		doc_to_text: "{{prompt}}"
		doc_to_target: "$3"
		target_delimiter: ""
		metadata: {assay: {by: lang}}
		$4
	Y
}
filters='filter_list: [{name: first, filter: [{function: regex, regex_pattern: "([0-9])"}, {function: take_first}]}, {name: whole, filter: [{function: take_first}]}]'
task texts generate_until '{{completion}}' 'generation_kwargs: {until: ["\n"], max_gen_toks: 6}' >evals/texts.yaml
printf 'metric_list: [{metric: exact_match}, {metric: bleu}, {metric: ter}, {metric: chrf}]\n%s\n' "$filters" >>evals/texts.yaml
task choices multiple_choice '{{label}}' 'doc_to_choice: choices' >evals/choices.yaml
echo 'metric_list: [{metric: acc}, {metric: acc_norm}, {metric: f1}, {metric: mcc}, {metric: brier_score}]' >>evals/choices.yaml
task again multiple_choice '{{label}}' 'doc_to_choice: choices' >evals/again.yaml
task word loglikelihood '{{completion}}' '' >evals/word.yaml
task rolling loglikelihood_rolling '{{prompt}}{{completion}}' '' | sed /doc_to_text/d >evals/rolling.yaml
printf 'group: both\ntask: [choices, again]\naggregate_metric_list: [{metric: acc, weight_by_size: false}]\n' >evals/group.yaml
printf 'suite: all\ntasks: [texts.yaml, word.yaml, rolling.yaml, group.yaml]\n' >evals/all.yaml
check "a run" 0 assay run
M=sums@v1
check "evaluated, and written in the harness's form" 0 assay eval $M evals/all.yaml --harness out --samples own.jsonl
cp "$OUT" values.json
is "in a folder for the model" "$(ls out)" sums@v1
R=$(echo out/sums@v1/results_*.json)
is "one file of samples a task" "$(find out -name 'samples_*' | sed 's/.*samples_//; s/_2.*//' | sort | tr '\n' ' ')" "again choices rolling texts word "
is "with every value" "$(jq -Sc '.results | map_values(with_entries(select(.key | test(",") and (test("_stderr,") | not))))' "$R")" \
	"$(jq -Sc '.tasks | map_values(with_entries({key: (if .key | test(",") then .key else .key + ",none" end), value: .value.value}))' values.json)"
is "a standard error" "$(jq '.results.choices["acc_stderr,none"]' "$R")" "$(jq '.tasks.choices.acc.stderr' values.json)"
is "groups" "$(jq -c '[.groups | keys[]], .group_subtasks.both' "$R" | tr '\n' ' ')" '["both"] ["choices","again"] '
is "which way is better" "$(jq -c '.higher_is_better.rolling' "$R" | jq -Sc .)" '{"bits_per_byte":false,"byte_perplexity":false,"word_perplexity":false}'
is "how many" "$(jq -c '."n-samples".texts' "$R" | jq -Sc .)" '{"effective":20,"original":20}'
S=$(echo out/sums@v1/samples_texts_*.jsonl)
is "a row a filter and document" "$(wc -l <"$S") $(jq -r .filter "$S" | sort | uniq -c | tr -s ' \n' ' ')" "40  20 first 20 whole "
is "with the members of the harness that are known" "$(sed -n 3p "$S" | jq -c 'keys_unsorted | sort')" \
	'["arguments","assay","bleu","chrf","doc_hash","doc_id","exact_match","filter","filtered_resps","metrics","prompt_hash","resps","target","target_hash","ter"]'
is "the prompt, the texts" "$(sed -n 3p "$S" | jq -c '.arguments.gen_args_0.arg_0, .bleu[0], (.bleu[1] == .filtered_resps[0]), (.resps[0] | length)' | tr '\n' ' ')" \
	'"2+1=" "3 apples are there" true 1 '
is "f1 as two labels" "$(jq -c '.f1 | map(type)' out/sums@v1/samples_choices_*.jsonl | sort -u)" '["number","number"]'
is "a log-likelihood and its weight" "$(jq -c '.word_perplexity | length' out/sums@v1/samples_rolling_*.jsonl | sort -u)" 2

# and back
check "judged against the samples of our own form" 0 assay gate own.jsonl out --max-drop 0
hasnt "left out"
check "and put beside them" 0 assay diff own.jsonl out --json
is "every metric of every task and group" "$(jq '.rules | length' "$OUT")" "$(jq '[.tasks[] | length] | add' values.json)"
is "equal to the last bit" "$(jq '[.rules[] | select(.candidate != .baseline)] | length' "$OUT")" 0
is "and the values are there" "$(jq '[.rules[] | select(.candidate == null)] | length' "$OUT")" 0
printf 'require:\n  texts.exact_match,first: {no_new_failures: l1}\n' >golden.yaml
check "samples keep their names and slices" 0 assay gate own.jsonl out --policy golden.yaml
cp -r out changed
sed -i '3s/"doc_hash":"./"doc_hash":"x/' changed/*/samples_word_*.jsonl
check "another document is another question" 2 assay gate own.jsonl changed --max-drop 0
cp -r out false
for f in false/*/samples_again_*.jsonl; do jq -c 'if .doc_id == 0 then .acc = 1 - .acc else . end' "$f" >one && cp one "$f"; done
check "a score that was changed" 65 assay gate own.jsonl false --max-drop 0
has "its samples do not tell how its value is made"

# a stored run
check "a stored run" 0 assay samples --harness stored
is "by its model's name" "$(ls stored)" sums
is "numbered, where names are no numbers" "$(jq -r '"\(.doc_id) \(.assay.id)"' stored/sums/samples_sums_*.jsonl | sed -n 3p)" "2 2+2"
assay samples --jsonl >run.jsonl
check "read back" 0 assay gate run.jsonl stored --max-drop 0
check "a task that it has not" 65 assay samples --harness none --task nobody
has "no samples of task nobody"
[ ! -e none ] && ok "and nothing is written" || not_ok "and nothing is written"
check "one sample" 64 assay samples --harness none --id 2+2

# shards
check "a shard" 64 assay eval $M evals/texts.yaml --harness none --shard 1/2
for i in 1 2; do assay eval $M evals/again.yaml --shard $i/2 --samples s$i.jsonl >/dev/null 2>&1; done
check "shards put together" 0 assay eval --merge evals/again.yaml s1.jsonl s2.jsonl --harness merged
is "are all of them" "$(cat merged/*/samples_*.jsonl | wc -l)" 20
echo x >file
check "a folder that cannot be" 74 assay eval $M evals/again.yaml --harness file

# what cannot be written
long=$(printf 'apple %.0s' $(seq 1 1000))
sed -i "s/apples are there/$long/" evals/texts.jsonl
check "texts that are not kept whole" 0 assay eval $M evals/texts.yaml --harness cut
has "bleu,first of task texts stands in the results only"
is "the value is there" "$(jq '.results.texts["bleu,first"] | type' cut/*/results_*.json)" '"number"'
is "and its samples are not" "$(jq -c .metrics cut/*/samples_*.jsonl | sort -u)" '["exact_match"]'

# a metric that nobody can make again
mkdir -p odd/m
echo '{"results":{"t":{"alias":"t","odd,none":0.25}},"configs":{"t":{"task":"t"}},"versions":{"t":1},"n-shot":{"t":0},"n-samples":{"t":{"original":2,"effective":2}},"higher_is_better":{"t":{"odd":true}}}' >odd/m/results_2026-01-01T00-00-00.json
for k in 0 1; do
	echo "{\"doc_id\":$k,\"doc\":{},\"target\":\"a\",\"resps\":[[\"x\"]],\"filtered_resps\":[\"x\"],\"filter\":\"none\",\"metrics\":[\"odd\"],\"doc_hash\":\"$k\",\"prompt_hash\":\"$k\",\"target_hash\":\"$k\",\"odd\":1.0}"
done >odd/m/samples_t_2026-01-01T00-00-00.jsonl
check "with no metric left nothing is judged" 65 assay gate odd odd --max-drop 0
has "no metric is left of the baseline"
done_testing
