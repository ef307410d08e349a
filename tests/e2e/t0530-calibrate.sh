#!/usr/bin/env bash
# assay calibrate: what the same commit differs by from run to run, and what follows from it.
. "$(dirname "$0")/lib.sh"
tiny_repo work
sed -i 's/max_steps: 250/max_steps: 60/; s/min: 0.5, //' assay.yaml && commit_all "half trained"
# the oracle: the commit with the seeds written into it
for i in 0 1 2 3; do
	git checkout -q -B "seed$i" main
	sed -i "s/seed: 1\$/seed: $((1 + i))/; s/    context: 64/    context: 64\n    seed: $((1234 + i))/" assay.yaml && commit_all "seed $i"
	assay run --json 2>/dev/null | jq '.metrics[] | select(.metric == "exact_match") | .value' >>"$TRASH/values"
done
git checkout -q main
rm -rf .git/assay
is "which differ" "$(sort -u "$TRASH/values" | wc -l | tr -d ' ' | grep -c '[2-4]')" 1
check "four runs of one commit" 0 assay calibrate -k 4 --json
cp "$OUT" first
is "are four models" "$(sql "select count(distinct json_extract(output, '\$.object')) from stages where step = 'train'")" 4
is "with a floor of t, root two and the standard deviation" \
	"$(jq '.metrics[0] | (.floor / .sd - 2.3533634348018264 * (2 | sqrt)) | fabs < 1e-9' first)" true
is "of the values that commits with these seeds have" \
	"$(jq -s --slurpfile c first '(add / 4) as $m | (map(pow(. - $m; 2)) | add / 3 | sqrt) - $c[0].metrics[0].sd | fabs < 1e-12' "$TRASH/values")" true
is "the gate was held against all pairs" "$(jq '.policy.comparisons' first)" 12
check "again" 0 assay calibrate -k 4 --json
is "gives the same" "$(jq -S . "$OUT")" "$(jq -S . first)"
is "and trains nothing" "$(sql "select count(*) from stages where step = 'train'")" 4
check "nothing was judged" 0 assay status
hasnt "PASS"
is "no version was made" "$(sql 'select count(*) from versions')" 0

check "a limit beneath the noise is refused" 65 assay run
has "max_drop 0.1 is beneath the noise floor: 4 runs of commit"
has "assay calibrate"
sed -i 's/max_drop: 0.1/max_drop: 1/; s/  require:/  no_baseline: pass\n  require:/' assay.yaml && commit_all "allow it"
check "one above it is fine" 0 assay run
check "the plan reckons with it" 0 assay plan --json
is "by" "$(jq -r '.gate.rules[0].from' "$OUT")" "a calibration, 4 runs"
is "flips" "$(jq -r '.gate.rules[0].flips' "$OUT")" "$(jq -r '.metrics[0].flips' first)"
check "the commit's own run stands for it" 0 assay show HEAD
hasnt "calibrated"
echo '{"id":"1+1","prompt":"1+1=","completion":"2"}' >>evals/sums.jsonl
sed -i 's/max_drop: 1/max_drop: 0.1/' assay.yaml && commit_all "other questions"
check "other questions have another noise" 0 assay plan
check "a calibration of one is none" 64 assay calibrate -k 1

# what calibrated is no baseline, though it did not block
sed -i 's/baseline: production/baseline: main/' assay.yaml && commit_all "compare with the branch"
rm -rf .git/assay
sed -i 's/max_drop: 0.1/min: 0/' assay.yaml && commit_all "no limit to speak of"
check "a calibration" 0 assay calibrate -k 2
git commit -q --allow-empty -m next
check "then a run" 0 assay run --json
is "has no baseline" "$(jq -r .baseline "$OUT")" null
check "the registry is sound" 0 assay registry check
done_testing
