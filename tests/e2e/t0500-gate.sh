#!/usr/bin/env bash
# assay gate on files: the verdict alone, without a repository, a model or a registry.
. "$(dirname "$0")/lib.sh"
scores() { # scores FILE N WRONG…: N samples, the listed ones wrong
	_f=$1 _n=$2
	shift 2
	for i in $(seq 1 "$_n"); do
		s=1
		for w in "$@"; do [ "$w" = "$i" ] && s=0; done
		echo "{\"id\":\"s$i\",\"score\":$s}"
	done >"$_f"
}
scores a.jsonl 100
scores b.jsonl 100 1 2
scores c.jsonl 100 1 2 3 4 5
check "two of a hundred lost, three allowed" 0 assay gate a.jsonl b.jsonl --max-drop 0.03 --json
is "verdict" "$(jq -r .verdict "$OUT")" PASS
is "bounds are one-sided" "$(jq -r '.rules[0].bounds' "$OUT")" one-sided
is "delta" "$(jq -r '.rules[0].delta * 1000 | round' "$OUT")" -20
is "the interval has a width" "$(jq -r '.rules[0].interval[1] > .rules[0].interval[0]' "$OUT")" true
check "five lost, three allowed" 1 assay gate a.jsonl c.jsonl --max-drop 0.03
has "dropped by 5.0 points on these 100 samples (lost 5, won 0); allowed 3.0 points"
check "exactly as many as allowed pass" 0 assay gate a.jsonl c.jsonl --max-drop 0.05
check "equal files pass" 0 assay gate a.jsonl a.jsonl --max-drop 0 --json
is "the interval has a width even so" "$(jq -r '.rules[0].interval[1] > .rules[0].interval[0]' "$OUT")" true
head -n 90 b.jsonl >short.jsonl
check "ids that are missing: incomparable, blocked" 2 assay gate a.jsonl short.jsonl --max-drop 0.03 --json
is "and named" "$(jq -r .verdict "$OUT")" INCOMPARABLE
echo '{"id":"s1","score":1}' >>a.jsonl
check "an id twice" 65 assay gate a.jsonl b.jsonl --max-drop 0.03
has "s1"
echo '{"id":"x","score":NaN}' >nan.jsonl
check "a score that is no number" 65 assay gate nan.jsonl nan.jsonl --max-drop 0.03
: >empty.jsonl
check "an empty file" 65 assay gate empty.jsonl empty.jsonl --max-drop 0.03
check "a file that is not there" 65 assay gate nope.jsonl b.jsonl --max-drop 0.03
check "no policy at all" 64 assay gate b.jsonl b.jsonl
printf 'gate:\n  confidence: 1.5\n  require: {b.score: {max_drop: 0.1}}\n' >p.yaml
check "a confidence of 1.5" 65 assay gate b.jsonl b.jsonl --policy p.yaml
has "p.yaml:2:"
scores big.jsonl 200
scores flips.jsonl 200 7
check "equal files of 100 say nothing of others to 2 points" 2 assay gate c.jsonl c.jsonl --max-drop 0.02 --target population --json
is "named" "$(jq -r .verdict "$OUT")" INCONCLUSIVE
is "and how many are needed" "$(jq -r '.rules[0].explanation' "$OUT" | grep -c '149 samples are needed')" 1
check "equal files of 200 do" 0 assay gate big.jsonl big.jsonl --max-drop 0.02 --target population --json
is "by which test" "$(jq -r '.rules[0].method' "$OUT")" "exact test"
check "one lost of 200 is open" 2 assay gate big.jsonl flips.jsonl --max-drop 0.02 --target population
has "samples would decide at these rates"
jq -c '. + {cluster: ("c" + (.id[1:] | tonumber / 8 | floor | tostring))}' big.jsonl >grouped.jsonl
check "the same in 26 clusters is held to them" 0 assay gate grouped.jsonl grouped.jsonl --max-drop 0.1 --target population
has "cluster t"
head -n 100 grouped.jsonl >few.jsonl
check "thirteen clusters are too few" 2 assay gate few.jsonl few.jsonl --max-drop 0.1 --target population
has "too few clusters"
has "from about 156 samples on there can be a verdict"
(cat grouped.jsonl && echo '{"id":"x","score":1}') >mixed.jsonl
check "a cluster in some lines only" 65 assay gate mixed.jsonl mixed.jsonl --max-drop 0.1 --target population
has "names a cluster for 200 of 201 samples"
jq -c 'del(.cluster)' grouped.jsonl >lone.jsonl
check "a candidate cannot shed the baseline's clusters" 2 assay gate grouped.jsonl lone.jsonl --max-drop 0.1 --target population
has 'INCOMPARABLE  scores.score: task scores: sample "s1" has a cluster in the baseline only'
jq -c '.cluster = .id' grouped.jsonl >split.jsonl
check "nor split them" 2 assay gate grouped.jsonl split.jsonl --max-drop 0.1 --target population
has 'sample "s1" is in cluster "s1" here and in "c0" in the baseline'
printf 'target: population\nrequire: {scores.score: {max_drop: 0.1, cluster_losses: whole}}\n' >whole.yaml
check "whole clusters may be lost: as many clusters as else samples" 2 assay gate grouped.jsonl grouped.jsonl --policy whole.yaml
has "200 samples in 26 clusters of uneven size, which count as 25.2"
has "clusters, which may be lost whole"
jq -c '. + {cluster: ("c" + (.id[1:] | tonumber / 4 | floor | tostring))}' big.jsonl >finer.jsonl
check "fifty of them are enough for 10 points" 0 assay gate finer.jsonl finer.jsonl --policy whole.yaml
jq -c '.score = 1 + 4 * .score' big.jsonl >judge.jsonl
printf 'require: {scores.score: {max_drop: 0.1, range: [1, 5]}}\n' >range.yaml
check "a judge's scores within the range that is declared" 0 assay gate judge.jsonl judge.jsonl --policy range.yaml
sed '3s/"score":5/"score":50/' judge.jsonl >wild.jsonl
check "and outside of it, the candidate's" 65 assay gate judge.jsonl wild.jsonl --policy range.yaml
has 'sample "s3": score of the candidate is 50, which is not within its range [1, 5]'
check "or the baseline's" 65 assay gate wild.jsonl judge.jsonl --policy range.yaml
sed -i 's/^/target: population\n/; s/max_drop: 0.1/max_drop: 0.2/' range.yaml
check "samples like these, by their largest loss" 0 assay gate judge.jsonl judge.jsonl --policy range.yaml
has "floored t"
for bad in '[5, 1]' '[1]' '[1, x]' '{a: 1}' '[.nan, 1]'; do
	printf 'require: {scores.score: {max_drop: 0.1, range: %s}}\n' "$bad" >range.yaml
	check "range: $bad" 65 assay gate judge.jsonl judge.jsonl --policy range.yaml
done
check "a level of next to a half comes to an end" 0 assay gate big.jsonl big.jsonl --max-drop 0.1 --confidence 0.5000001 --target population
sed 's/}$/,"weight":1e300}/' big.jsonl >heavy.jsonl
check "weights that add up to no number" 65 assay gate heavy.jsonl heavy.jsonl --max-drop 0.1
has "is 1e+300 in weight: too large to calculate with"
sed 's/}$/,"weight":1e-300}/' big.jsonl >light.jsonl
check "or to next to nothing" 65 assay gate light.jsonl light.jsonl --max-drop 0.1
jq -c '.cluster = "one"' big.jsonl >one.jsonl
check "one cluster" 2 assay gate one.jsonl one.jsonl --max-drop 0.1 --target population
has "one cluster says nothing of others"
has "from about 4000 samples on"
check "two points are not 2" 65 assay gate big.jsonl flips.jsonl --max-drop 2
has "0.02 is two points"
check "a confidence of 1.5, by its flag" 65 assay gate big.jsonl flips.jsonl --max-drop 0.02 --confidence 1.5
has "error: --confidence is 1.5, but must lie between 0.5 and 1"
check "a drop below nothing" 65 assay gate big.jsonl flips.jsonl --max-drop -0.01
has "error: --max-drop is -0.01, but must be from 0 up"
reach() { # reach LIMIT SAYS: no scores of 0 and 1 can be on both sides of it
	printf 'require: {scores.score: {%s}}\n' "$1" >reach.yaml
	check "a limit out of reach: $1" 65 assay gate big.jsonl flips.jsonl --policy reach.yaml
	has "$2"
}
reach "min: 1.5" "min is 1.5, but the scores go from 0 to 1"
reach "min: -0.5" "min is -0.5, but"
reach "max: 1.5" "max is 1.5, but"
reach "max: -1" "max is -1, but"
reach "min: 0.5, max: 2" "max is 2, but"
reach "min_gain: 2" "a change of 2 is more than scores from 0 to 1 can show"
reach "min: 0.5, range: [1, 5]" "min is 0.5, but the scores go from 1 to 5"
reach "max_drop: 5, range: [0, 4]" "a change of 5 is more than scores from 0 to 4 can show"
printf 'require: {scores.score: {min: 1, max: 1.0}}\n' >reach.yaml
check "the ends themselves are limits" 0 assay gate big.jsonl big.jsonl --policy reach.yaml
sed '3s/"score":1/"score":50/' big.jsonl >slip.jsonl
check "a 50 where the baseline has 0 and 1" 65 assay gate big.jsonl slip.jsonl --max-drop 0.02
has 'sample "s3": score of the candidate is 50, and the baseline'
has "declare what scores may be"
check "or the other way round" 65 assay gate slip.jsonl big.jsonl --max-drop 0.02
printf 'require: {scores.score: {max_drop: 0.02, range: [0, 50]}}\n' >reach.yaml
check "unless it is declared" 0 assay gate big.jsonl slip.jsonl --policy reach.yaml
sed '3s/"score":1/"score":0.5/' big.jsonl >half.jsonl
check "a half is a share of 1" 0 assay gate big.jsonl half.jsonl --max-drop 0.02
jq -c '. as $s | range(4) | $s + {repeat: .}' big.jsonl >asked4.jsonl
jq -c '. as $s | range(2) | $s + {repeat: ., score: (if . == 1 and $s.id == "s9" then 0 else $s.score end)}' big.jsonl >asked2.jsonl
check "repeats are averaged, as many as each file has" 1 assay gate asked4.jsonl asked2.jsonl --max-drop 0.002 --json
is "on 200 samples" "$(jq -c '.rules[0] | [.n, .candidate]' "$OUT")" "[200,0.9975]"
printf 'require: {scores.score: {no_new_failures: "gold-*"}}\n' >golden.yaml
check "golden samples that are not there" 65 assay gate big.jsonl flips.jsonl --policy golden.yaml
has 'no_new_failures "gold-*" matches no id and no slice of its 200 samples'
has 'an id of this task is "s1"'
printf 'require: {scores.score: {no_new_failures: "s7"}}\n' >golden.yaml
check "a golden sample fails" 1 assay gate big.jsonl flips.jsonl --policy golden.yaml
has '1 of 1 samples that match "s7" fails newly: "s7"'
check "a policy and a flag beside it" 64 assay gate big.jsonl flips.jsonl --policy golden.yaml --target population
ASSAY_MAX_DROP=1 check "a flag that loosens has no environment twin" 64 assay gate b.jsonl b.jsonl
golden=$HERE/../golden/harness
printf 'require:\n  gsm8k.exact_match,flexible-extract: {max_drop: 1}\n  texts.ter: {max_increase: 1000}\n' >harness.yaml
check "two folders of lm-evaluation-harness, cut short" 2 assay gate "$golden/a" "$golden/b/model-b" --policy harness.yaml --json
is "is inconclusive" "$(jq -r .verdict "$OUT")" INCONCLUSIVE
is "on eight samples" "$(jq -r '.rules[0].n' "$OUT")" 8
check "the same as a table" 0 assay diff "$golden/a" "$golden/b" --json
is "a value as the harness states it" "$(jq -r '.rules[] | select(.task == "lambada_openai" and .metric == "perplexity") | .baseline * 1e6 | round' "$OUT")" \
	"$(jq -r '.results.lambada_openai["perplexity,none"] * 1e6 | round' "$golden"/a/*/results_*.json)"
mkdir -p whole && cp -r "$golden/a" "$golden/b" whole/
sed -i 's/"original": [0-9]*/"original": 8/' whole/*/*/results_*.json
check "whole runs are judged" 1 assay gate whole/a whole/b --max-drop 0.01 --json
is "by all their tasks and groups" "$(jq '.rules | map(select(.rule)) | length > 12' "$OUT")" true
judged() { jq -r '[.rules[] | select(.rule) | .rule] | sort | join("; ")' "$OUT"; }
ruled() { # ruled CODE METRIC…: judged by these alone
	_code=$1
	shift
	check "only $*" "$_code" assay gate whole/a whole/b --max-drop 0.01 --json "${@/#/--metric=}"
}
ruled 0 arc_easy.acc_norm
is "one rule" "$(judged)" "arc_easy.acc_norm: max_drop 0.01"
ruled 1 piqa_inputs.acc arc_easy.acc_norm
is "one of them fails" "$(jq -c '[.rules[] | [.rule, .verdict]] | sort' "$OUT")" \
	'[["arc_easy.acc_norm: max_drop 0.01","PASS"],["piqa_inputs.acc: max_drop 0.01","FAIL"]]'
ruled 0 gsm8k.exact_match,flexible-extract arc_easy.acc_norm
is "one by its filter, in spite of the task's first" "$(judged)" "arc_easy.acc_norm: max_drop 0.01; gsm8k.exact_match,flexible-extract: max_drop 0.01"
ruled 0 texts.ter texts.ter,none texts.ter
is "by two names once, the way that is worse" "$(judged)" "texts.ter: max_increase 0.01"
check "one that nobody measured" 65 assay gate whole/a whole/b --max-drop 0.01 --metric arc_easy.acc --metric arc_easy.acc_nrom
has 'error: --metric arc_easy.acc_nrom: nothing of that name was measured; did you mean "arc_easy.acc_norm"?'
check "a filter that nobody has" 65 assay gate whole/a whole/b --max-drop 0.01 --metric gsm8k.exact_match,strict-extract
has 'did you mean "gsm8k.exact_match,strict-match"?'
for name in arc_easy arc_easy. .acc "" ","; do
	check "no name of a metric: \"$name\"" 65 assay gate whole/a whole/b --max-drop 0.01 --metric "$name"
	has "nothing of that name was measured"
done
check "beside a policy" 64 assay gate whole/a whole/b --policy harness.yaml --metric arc_easy.acc
check "without a limit" 64 assay gate whole/a whole/b --metric arc_easy.acc
ASSAY_METRIC=arc_easy.acc_nrom check "it has no environment twin" 1 assay gate whole/a whole/b --max-drop 0.01
check "a run against itself" 0 assay gate whole/a whole/a/*/results_*.json --max-drop 0
check "a folder of folders of folders" 65 assay gate whole whole/b --max-drop 0
mkdir both && cp -r whole/a/model-a whole/b/model-b both/
check "two models in one folder" 65 assay gate both whole/b --max-drop 0
has "several models"
rm whole/b/*/samples_gsm8k_*
check "samples that were not logged" 65 assay gate whole/a whole/b --max-drop 0
has "log_samples"
mkdir none
check "a folder without results" 65 assay gate none whole/a --max-drop 0
has "results_DATE.json"
# a difference says what it leaves out
for i in 1 2 3 4; do echo "{\"id\":\"x$i\",\"score\":1}"; done >four.jsonl
for i in 3 4 5 6; do echo "{\"id\":\"x$i\",\"score\":0}"; done >other.jsonl
for i in 1 2 3 4; do echo "{\"id\":\"x$i\",\"score\":0}"; done >none.jsonl
check "two files with other samples" 0 assay diff four.jsonl other.jsonl
has "0 without a clear change, 1 not compared"
grep -q 'only in the candidate "x5", "x6"; only in the' "$OUT" && ok "names them" || not_ok "names them"
check "two files without texts" 0 assay diff four.jsonl none.jsonl
grep -q 'scores/x1 .*1 → 0' "$OUT" && ok "shows the scores" || not_ok "shows the scores"
done_testing
