#!/usr/bin/env bash
# What a candidate is compared with, how often it may try, and which aliases move for it.
. "$(dirname "$0")/lib.sh"
tiny_repo repo
export ASSAY_HOME=$TRASH/ci
db() { sqlite3 "$ASSAY_HOME/registry.db" "$1"; }
before=0000000000000000000000000000000000000000
# a protected push of HEAD, as GitLab's CI tells it; then it is what the next one comes after
push() {
	GITLAB_CI=true CI_PIPELINE_SOURCE=push CI_DEFAULT_BRANCH=main CI_COMMIT_BRANCH=main CI_COMMIT_REF_PROTECTED=true \
		CI_COMMIT_SHA="$(git rev-parse HEAD)" CI_COMMIT_BEFORE_SHA="$before" assay run HEAD --json
	local rc=$?
	before=$(git rev-parse HEAD)
	return $rc
}
state() { jq -c '[.verdict, .version.number, .promotion.state, .promotion.from, .promotion.to]' "$OUT"; }

# ---- the prompt belongs to what is promoted -------------------------------------------------------------------------------------

echo >README
sed -i 's/^finetune:/prompt: prompt.txt\nfinetune:/; s/{min: 0.5, max_drop: 0.1}/{min: 0, max_drop: 1}/' assay.yaml
printf '' >prompt.txt
commit_all "a prompt"
push >"$OUT" 2>"$ERR"
is "the first version" "$(state)" '["PASS",1,"made",null,1]'
printf '0+0=0 ' >prompt.txt
commit_all "another prompt on the same weights"
push >"$OUT" 2>"$ERR"
is "makes no version, and the alias stands for it" "$(state)" '["PASS",null,"made",1,1]'
is "the promotion is recorded" "$(db "select group_concat(from_version || '>' || version) from promotions where from_version")" "1>1"
echo more >README
commit_all "nothing of the product"
push >"$OUT" 2>"$ERR"
is "the next is compared with the new prompt" "$(state)" '["PASS",null,"kept",1,1]'
is "by its run" "$(jq -r .baseline.prompt "$OUT")" "$(git rev-parse HEAD:prompt.txt)"
check "the report says so" 0 assay show HEAD~1
hasnt "Made sums"
check "the registry is sound" 0 assay registry check
check "and can be made again" 0 assay registry rebuild
is "with the same alias" "$(db "select version from aliases")" 1

# ---- an alias beside the baseline's --------------------------------------------------------------------------------------------

sed -i 's/promote: {main: production}/promote: {main: staging}/' assay.yaml
commit_all "main fills another alias"
push >"$OUT" 2>"$ERR"
git commit -q --allow-empty -m nothing
push >"$OUT" 2>"$ERR"
is "the baseline's own model moves an alias that is elsewhere" "$(state)" '["PASS",null,"made",null,1]'
git commit -q --allow-empty -m "nothing again"
push >"$OUT" 2>"$ERR"
is "once" "$(state)" '["PASS",null,"kept",1,1]'

# ---- what only a branch has wanted is no base of a protected run ----------------------------------------------------------------

git checkout -q -b wild
sed -i 's/seed: 1/seed: 7/' assay.yaml
commit_all "a wild one"
check "a branch makes a version" 0 assay run --json
is "two" "$(jq -r .version.number "$OUT")" 2
git checkout -q main
cp assay.yaml keep.yaml
sed -i '/^base:/,/vocab_size/d; s/^finetune:/base: sums@v2\nfinetune:/; s/max_steps: 250/max_steps: 2/' assay.yaml
commit_all "built upon it"
push >"$OUT" 2>"$ERR"
is "refused in a protected run" $? 65
has "was made by a run of class branch"
check "promoted by a person it is everybody's" 0 assay promote sums@v2 blessed --reason "looked at"
push >"$OUT" 2>"$ERR"
has '"PASS"' "and then it may be built upon"
check "a version that did not pass needs force" 65 assay promote sums@v99 production --force --reason x
cp keep.yaml assay.yaml
commit_all "back"

# ---- the merge base, or the nearest commit before it that was judged ------------------------------------------------------------

unset ASSAY_HOME
git checkout -q -B main
sed -i 's/baseline: production/baseline: merge-base/; s/promote: .*/promote: {}/' assay.yaml
commit_all "compare with where the branch began"
check "main is judged" 0 assay run
judged=$(git rev-parse HEAD)
echo unjudged >README && commit_all "pushed without a run"
git update-ref refs/remotes/origin/main HEAD && git symbolic-ref refs/remotes/origin/HEAD refs/remotes/origin/main
git checkout -q -b feature
sed -i 's/seed: 1$/seed: 11/' assay.yaml && commit_all "first try"
check "a branch" 0 assay run --json
is "is compared with the nearest that was judged" "$(jq -r .baseline.commit "$OUT")" "$judged"
is "and nothing of it is run again" "$(jq -r '[.baseline.samples[].object] | length' "$OUT")" 1

# ---- attempts -------------------------------------------------------------------------------------------------------------------

check "again" 0 assay run --json
run=$(jq -r .run "$OUT")
check "is the same attempt" 0 assay show "$run"
hasnt "attempt 2"
sed -i 's/seed: 11/seed: 12/' assay.yaml && commit_all "second try"
check "another seed" 0 assay run
has "attempt 2 of this branch against this baseline"
git checkout -q main
sed -i 's/  require:/  attempts: 2\n  require:/' assay.yaml && commit_all "two attempts"
check "main" 0 assay run
git update-ref refs/remotes/origin/main HEAD
git checkout -q -b other
for seed in 21 22 23; do
	sed -i "s/seed: .*/seed: $seed/" assay.yaml && commit_all "seed $seed"
	check "seed $seed" 0 assay run --json
done
is "the third is one too many; arithmetic holds all the same" "$(jq -r .verdict "$OUT")" PASS
is "each was judged at half of the error" "$(sqlite3 .git/assay/registry.db "select 1" && assay show HEAD --json | jq '.policy.confidence')" "1
0.975"

# ---- incomparable ---------------------------------------------------------------------------------------------------------------

git checkout -q main
sed -i 's/  attempts: 2/  incomparable: block/; s/seed: .*/seed: 1/' assay.yaml
sed -i 's/"0+1=","completion":"1"/"0+1=","completion":"2"/' evals/sums.jsonl
echo '{"id":"1+1","prompt":"1+1=","completion":"2"}' >>evals/sums.jsonl
commit_all "other questions"
git update-ref refs/remotes/origin/main HEAD
git checkout -q -b changed
sed -i 's/seed: 1$/seed: 31/' assay.yaml && commit_all "judged on them"
check "what differs is listed" 2 assay run
has '1 documents have changed: "0+1"; 1 are new: "1+1"'
git checkout -q main
sed -i 's/incomparable: block/incomparable: {rescore: 5}/' assay.yaml && commit_all "a budget" && git update-ref refs/remotes/origin/main HEAD
git checkout -q changed && git merge -q main -m merge
check "more samples than the policy allows" 2 assay run
has "takes 9 samples, of which the policy allows 5"
git checkout -q main
sed -i 's/{rescore: 5}/{rescore: 9}/' assay.yaml && commit_all "enough" && git update-ref refs/remotes/origin/main HEAD
git checkout -q changed && git merge -q main -m merge
assay run >"$OUT" 2>"$ERR"
has "scored again on these questions"

# ---- a branch is not compared with this very commit -------------------------------------------------------------------------------

git checkout -q main
sed -i 's/baseline: merge-base/baseline: main/; s/  incomparable: .*/  inconclusive: warn\n  no_baseline: pass/; s/sums.exact_match: .*/sums.exact_match: {max_drop: 0.1}/' assay.yaml
git checkout -q -B lone
rm -rf .git/assay
git update-ref -d refs/remotes/origin/main
git symbolic-ref -d refs/remotes/origin/HEAD
sed -i 's/baseline: main/baseline: lone/; s/promote: .*/promote: {lone: live}/' assay.yaml
commit_all "a branch of its own"
check "without a baseline" 0 assay run --json
is "named" "$(jq -r .verdict "$OUT")" NO_BASELINE
check "and again" 0 assay run --json
is "the same: it is not its own baseline" "$(jq -r .verdict "$OUT")" NO_BASELINE
ASSAY_TARGET=HEAD~1 check "the target has no environment twin" 0 assay run --json
check "a target that was chosen by hand" 0 assay run --target HEAD
has "these questions were chosen by hand"

# ---- a baseline whose objects are gone ----------------------------------------------------------------------------------------------

cd "$TRASH" && tiny_repo gone
check "a baseline" 0 assay run --json
run=$(jq -r .run "$OUT")
check "in production" 0 assay promote sums@v1 production --force --reason "a start"
sed -i 's/max_steps: 250/max_steps: 2/; s/min: 0.5, //' assay.yaml && commit_all "another model"
cp -r .git/assay kept
samples=$(assay show "$run" --json | jq -r '.samples[0].object')
rm -f ".git/assay/objects/$(echo "$samples" | cut -c1-2)/$(echo "$samples" | cut -c3-)"
check "stored runs without their samples are not judged" 65 assay gate "$run" "$run" --max-drop 0.1
has "run $(echo "$run" | cut -c1-12), the samples of task sums: $samples is not in the store"
has "assay pull brings what a remote has; or run $(git rev-parse HEAD~1) again"
check "the weights answer again" 1 assay run
has "the baseline's weights were scored again on these questions, for what they"
is "and one warning" "$(grep -c '^warning:.*is not in the store' "$ERR")" 1
rm -rf .git/assay && mv kept .git/assay
find .git/assay/objects -type f -exec rm -f {} +
check "without the weights, too, nothing is compared" 2 assay run
has "INCOMPARABLE"
is "what is missing is said as it is" "$(tr -s ' \n' ' ' <"$OUT" | grep -c "suite sums: what the baseline answered is not in the store, and its weights are not in the store; assay pull")" 1
hasnt "was not asked these questions"
is "in one warning" "$(grep -c '^warning:.*is not in the store' "$ERR")" 1
is "and no alias moves" "$(sql 'select version from aliases')" 1
done_testing
