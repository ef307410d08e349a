#!/usr/bin/env bash
# What the gate can tell is known before anything is trained: assay plan, strict_power, the margin of assay init.
. "$(dirname "$0")/lib.sh"
tiny_repo work
check "a plan" 0 assay plan --json
is "a row for each limit" "$(jq -r '[.gate.rules[].rule] | join("; ")' "$OUT")" \
	"sums.exact_match: min 0.5; sums.exact_match: max_drop 0.1"
is "what nobody has seen is assumed" "$(jq -c '.gate.rules[1] | [.n, .flips, .from, .detects]' "$OUT")" '[8,0.05,"assumed",0.125]'
is "P(lost <= won) of 8 samples with 5 % flips" "$(jq '.gate.rules[1].pass * 1e6 | round' "$OUT")" 844641
is "a floor needs a baseline" "$(jq -c '[.gate.rules[0].pass, .gate.pass]' "$OUT")" '[null,null]'
check "and as text" 0 assay plan
has "unchanged passes"
is "nothing was trained" "$(sql 'SELECT count(*) FROM runs')" 0

check "a first model" 0 assay run
sed -i 's/baseline: production/baseline: main/; s/seed: 1/seed: 2/' assay.yaml
commit_all "another seed"
check "a second" 0 assay run
sed -i 's/seed: 2/seed: 3/' assay.yaml
commit_all "and another"
check "then flips are what was seen" 0 assay plan --json
is "by" "$(jq -r '.gate.rules[1].from' "$OUT")" "the last comparison"
is "and the whole gate has a probability" "$(jq '.gate.pass_least <= .gate.pass and .gate.pass <= .gate.pass_most and .gate.pass > 0' "$OUT")" true

cp assay.yaml good.yaml
sed -i 's/  require:/  target: population\n  require:/' assay.yaml
check "eight samples cannot show 10 points" 0 assay plan --dirty
has "an unchanged model can pass from 29 on"
cat >>evals/sums.yaml <<'Y'
  - task: loss
    dataset_path: json
    dataset_kwargs: {data_files: {test: sums.jsonl}}
    test_split: test
    output_type: loglikelihood_rolling
    doc_to_text: ""
    doc_to_target: "{{prompt}}"
Y
sed -i 's/  require:/  strict_power: true\n  require:\n    loss.bits_per_byte: {max_increase: 0.1}/' assay.yaml
check "a rule that can only end INCONCLUSIVE is refused where the policy is strict" 65 assay plan --dirty
has "can only end INCONCLUSIVE: 8 samples: bits_per_byte has no largest loss"
has "strict_power"
sed -i 's/strict_power: true/strict_power: false/' assay.yaml
check "else it is a note" 0 assay plan --dirty
has "can only end INCONCLUSIVE"

cp good.yaml assay.yaml
sed -i 's/sums.exact_match:/sums.exakt_match:/' assay.yaml
check "a metric that nobody measures is refused before it is paid for" 65 assay plan --dirty
has "exakt_match"
cp good.yaml assay.yaml
git checkout -q -B feature
git update-ref refs/remotes/origin/main main && git symbolic-ref refs/remotes/origin/HEAD refs/remotes/origin/main
sed -i 's/  require:/  require:\n    nope.acc: {min: 0.5}/' assay.yaml
commit_all "a gate that cannot work"
check "also in the policy that a candidate brings" 65 assay run
has "the gate that the candidate brings"

git checkout -q main
git symbolic-ref -d refs/remotes/origin/HEAD && git update-ref -d refs/remotes/origin/main
sed -i 's/  require:/  limits: {size: 1K, time: 1000, cost: 0.5, price: 1}\n  require:/; s/baseline: main/baseline: production/' assay.yaml
commit_all "a model must fit in a kilobyte"
check "what a model takes is limited" 1 assay run
has "run.size"
has "at most 1.024 kB allowed"
is "time and cost hold" "$(assay show HEAD --json | jq -c '[.gate.rules[] | select(.task == "run") | [.metric, .verdict]]')" \
	'[["size","FAIL"],["time","PASS"],["cost","PASS"]]'
printf 'limits: {time: 5}\nrequire: {scores.score: {max_drop: 1}}\n' >limits.yaml
echo '{"id":"a","score":1}' >scores.jsonl
check "of two files of scores nobody knows" 2 assay gate scores.jsonl scores.jsonl --policy limits.yaml
has "time is not known of stored scores"
rm limits.yaml scores.jsonl
mkdir ../fresh && cd ../fresh && git init -q .
check "init" 0 assay init
is "proposes a margin by the suite's size" "$(grep -c 'max_drop: 0.055}.*# 59 samples' assay.yaml)" 1
git add -A && git commit -qm first
check "which an unchanged model mostly passes" 0 assay plan --json
is "in 19 of 20 runs" "$(jq '.gate.rules[] | select(.rule | test("max_drop")) | .pass >= 0.95' "$OUT")" true
done_testing
