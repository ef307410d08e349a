#!/usr/bin/env bash
# Overlap of the training data with the questions: counted, recorded, shown, and a rule of the gate.
. "$(dirname "$0")/lib.sh"
tiny_repo repo

# the data has every sum of 0 to 4: all questions stand in it
check "the plan counts it before anything is trained" 0 assay plan --json
is "all eight questions are in the data" "$(jq -c '.overlap.tasks[0] | [.task, .n, .exact, .ngram, .documents]' "$OUT")" '["sums",8,8,0,8]'
check "a run without a rule passes and tells" 0 assay run --json --report-dir "$TRASH/report"
is "the share is a metric" "$(sql "select value, n from metrics where metric = 'overlap'")" "1.0|8"
is "and so is the count" "$(sql "select value from metrics where metric = 'overlap_documents'")" "8.0"
grep -q ' of the 8 documents asked stand in the training data' "$TRASH/report/report.md" && ok "report.md says so" || not_ok "report.md says so"
is "report.json names examples" "$(jq -r '.overlap.tasks[0].examples[0] | "\(.id) \(.how) \(.where)"' "$TRASH/report/report.json")" "0+1 exact data/train.jsonl:2"
check "so does the terminal" 0 assay show
has "sums: 8 of 8 (8 exact, 0 by a 13-gram)"
is "it is kept in the record" "$(assay show --json | jq .overlap.tasks[0].documents)" 8

sed -i 's/^gate:$/gate:\n  max_overlap: 1%/' assay.yaml && commit_all "gate: no question may be trained on"
check "a gate that asks for it fails" 1 assay run --json
is "the verdict is FAIL" "$(jq -r .verdict "$OUT")" FAIL
is "training was reused, the overlap is there all the same" "$(jq -r '.steps[] | select(.name=="train") | .status' "$OUT")" reused
check "the sentence has the numbers" 1 assay run
has "sums.overlap: 8 of 8 documents stand in the training data (8 exact, 0 by a 13-gram); at most 1%"

sed -i 's/max_steps: 250/max_steps: 251/; s/pre-push: {train: true}/quick: {train: false}/' assay.yaml && commit_all "another training"
check "the plan knows it before training" 0 assay plan
has "the gate will fail whatever the scores are: sums.overlap: 8 of 8 documents"
check "so does a profile that trains nothing" 1 assay run --profile quick --json
is "with a verdict" "$(jq -r .verdict "$OUT")" FAIL
git reset -q --hard HEAD~1

# none of the questions, in other words: punctuation and case do not hide one, a longer text is not the whole of it
grep -v -e '"0+1=' -e '"1+2=' -e '"2+2=' -e '"3+1=' -e '"4+4=' -e '"0+0=' -e '"3+4=' -e '"2+1=' data/train.jsonl >clean
echo '{"text":"2+1=3 and 1+2=3"}' >>clean && mv clean data/train.jsonl
sed -i 's/max_overlap: 1%/max_overlap: 0/; s/min: 0.5, max_drop: 0.1/min: 0/' assay.yaml && commit_all "data: without the questions"
check "clean data passes" 0 assay run --json
is "nothing overlaps" "$(sql "select value from metrics where metric = 'overlap' order by (select seq from runs where n = run) desc limit 1")" "0.0"
check "and it is told" 0 assay show
has "None of the 8 documents asked stands in the training data"
echo '{"messages":[{"role":"user","content":"2 + 1 ="},{"role":"assistant","content":"3."}]}' >data/more.jsonl
sed -i 's#^  data: data/train.jsonl#  data: [data/train.jsonl, data/more.jsonl]#' assay.yaml && commit_all "data: one in disguise"
check "one in disguise is found" 0 assay plan --json
is "where it stands" "$(jq -r '.overlap.tasks[0].examples[] | "\(.id) \(.how) \(.where)"' "$OUT")" "2+1 exact data/more.jsonl:1"
check "a stored run is judged by its own count" 1 assay gate HEAD~2 HEAD~2 --policy assay.yaml
has "8 of 8 documents"
sed -i 's/max_overlap: 0/max_overlap: 3/' assay.yaml && commit_all "gate: nonsense"
check "a share above 1 is refused" 65 assay plan
has "max_overlap is 3"

# a long document: thirteen words in a row are enough
git checkout -q -b long && sed -i 's/max_overlap: 3/max_overlap: 0/; s#\[data/train.jsonl, data/more.jsonl\]#data/train.jsonl#' assay.yaml
echo '{"id":"long","prompt":"Ann has one apple, Bob has two pears, Cem has three plums: how many fruits are there?","completion":"6"}' >>evals/sums.jsonl
echo '{"text":"In a book it says: bob HAS two pears Cem has three plums how many fruits are there? Who knows."}' >>data/train.jsonl
commit_all "a long question"
check "a passage of it is found" 0 assay plan --json
is "by a 13-gram" "$(jq -c '.overlap.tasks[0] | [.n, .exact, .ngram, .documents, .examples[0].how]' "$OUT")" '[9,0,1,1,"13-gram"]'
check "assay plan says it" 0 assay plan
has "1 of 9"
done_testing
