#!/usr/bin/env bash
# A run's report in every form, two runs or files side by side, a metric's history.
. "$(dirname "$0")/lib.sh"
tiny_repo repo
check "a first run" 0 assay run --report-dir "$TRASH/first"
check "it becomes the baseline" 0 assay promote sums@v1 production
sed -i 's/max_steps: 250/max_steps: 40/' assay.yaml
commit_all 'train <script>alert(1)</script> less'
check "a worse one fails" 1 assay run --report-dir "$TRASH/second"

# ---- a folder that leads elsewhere, such as one that a commit has under that name: nothing is read, removed or written there ----
mkdir "$TRASH/elsewhere" && cp -p "$TRASH/first/"* "$TRASH/elsewhere/" && ln -s "$TRASH/elsewhere" "$TRASH/link" && ln -s nowhere "$TRASH/dangling"
runs=$(sql 'select count(*) from runs')
for dir in link link/ dangling; do
	check "a report's folder that is a link: $dir" 65 assay run --report-dir "$TRASH/$dir"
	has "is a symbolic link"
done
check "of a hook, too" 65 bash -c 'echo | "$ASSAY_TEST_BIN" hook run pre-push origin x --report-dir "$0"' "$TRASH/link"
is "nothing ran" "$(sql 'select count(*) from runs')" "$runs"
diff -r "$TRASH/first" "$TRASH/elsewhere" >/dev/null && ok "what it leads to is as it was" || not_ok "what it leads to is as it was"

# ---- the folder -------------------------------------------------------------------------------------------------------------
for no in '＝' '} tokens`'; do
	grep -qF "$no" "$TRASH/second/report.html" && not_ok "the page has no $no" || ok "the page has no $no"
done
is "the folder holds every form" "$(cd "$TRASH/second" && echo *)" \
	"annotations.txt codequality.json junit.xml metrics.txt report.csv report.env report.html report.json report.md"
is "the page shows all samples" "$(grep -o '"total":8,"shown":8' "$TRASH/second/report.html")" '"total":8,"shown":8'
is "with what the baseline said" "$(sed -n 's/.*id="pairs">\(.*\)<\/script>.*/\1/p' "$TRASH/second/report.html" | jq -c '.tasks[0].rows[] | select(.[0] == "1+2") | [.[4], .[6], .[7]]')" '["3",[1],[0]]'
is "and both learning curves" "$(jq -r '.training.before.curve | length > 100' "$TRASH/second/report.json")" true
is "nothing of the commit's subject is an element" "$(grep -c '<script>alert' "$TRASH/second/report.html")" 0
is "a failed rule is a failed test" "$(grep -c '<failure ' "$TRASH/second/junit.xml")" 2
is "and an issue beside the diff" "$(jq -c '[.[] | .severity] | sort | unique' "$TRASH/second/codequality.json")" '["critical"]'
is "told from others by the rule alone" "$(jq -r '.[].fingerprint' "$TRASH/second/codequality.json" | sort | uniq | wc -l)" 2
is "none of which the first run had" "$(jq -c . "$TRASH/first/codequality.json")" '[]'
is "a later job has the verdict" "$(grep -c -E '^ASSAY_RESULT_(VERDICT=FAIL|EXIT=1|MODEL=sums|COMMIT=[0-9a-f]{40})$' "$TRASH/second/report.env")" 4
is "and nothing that a shell would read" "$(grep -c -v -E '^ASSAY_RESULT_[A-Z]+=[A-Za-z0-9._/@+-]*$' "$TRASH/second/report.env")" 0
is "the numbers end as OpenMetrics does" "$(tail -n 1 "$TRASH/second/metrics.txt")" "# EOF"
is "GitLab's reader finds no comment sign or quote in a value" "$(grep -v '^#' "$TRASH/second/metrics.txt" | grep -c '[#]')" 0

# ---- assay show -------------------------------------------------------------------------------------------------------------
check "the page again" 0 assay show --html
cp "$OUT" page.html
check "and again" 0 assay show -f html
cmp -s page.html "$OUT" && ok "the same bytes" || not_ok "the same bytes"
for f in md report junit openmetrics csv annotations codequality dotenv; do check "as $f" 0 assay show -f "$f"; done
check "an unknown form" 64 assay show -f pdf
has "junit"
check "two forms at once" 64 assay show --md --html

# ---- assay diff --------------------------------------------------------------------------------------------------------------
check "two runs side by side" 0 assay diff sums@v1 sums@v2
has "sums@v1 → sums@v2"
has "1 metric worse"
check "as a page" 0 assay diff sums@v1 sums@v2 --html
has 'candidate, training' "with both learning curves"
grep -q 'class="verdict' "$OUT" && not_ok "and no verdict" || ok "and no verdict"
check "as Markdown" 0 assay diff sums@v1 sums@v2 --md
check "as JSON" 0 assay diff sums@v1 sums@v2 --json
is "it is a report that decides nothing" "$(jq -c '[.kind, .verdict, .exit, .baseline.name, .name]' "$OUT")" '["diff",null,0,"sums@v1","sums@v2"]'
is "with the samples that broke" "$(jq '.samples.n_broken > 0' "$OUT")" true
for i in 1 2 3 4 5 6; do
	echo "{\"id\":\"s$i\",\"score\":1,\"slice\":\"l$((i % 2))\"}" >>a.jsonl
	echo "{\"id\":\"s$i\",\"score\":$((i % 3 > 0)),\"slice\":\"l$((i % 2))\"}" >>b.jsonl
done
check "files too, without a run" 0 assay diff a.jsonl b.jsonl -f report
is "slice by slice" "$(jq -c '[.slices[] | [.slice, .n, .baseline]]' "$OUT")" '[["l1",3,1],["l0",3,1]]'
is "and broken samples by id" "$(jq -c '[.samples.broken[].id]' "$OUT")" '["s3","s6"]'
check "a file that is not there" 65 assay diff a.jsonl nope.jsonl
check "two forms at once" 64 assay diff a.jsonl b.jsonl --json --md

# ---- a metric's history -------------------------------------------------------------------------------------------------------
check "the history of a metric" 0 assay show --trend sums.exact_match
has "sums.exact_match ↑ on main"
check "as JSON, oldest first, a commit once" 0 assay show --trend sums.exact_match main --json
is "in order" "$(jq -c '[.points[].verdict]' "$OUT")" '["PASS","FAIL"]'
assay run >/dev/null 2>&1
check "after the same commit once more" 0 assay show --trend sums.exact_match --json
is "still two" "$(jq '.points | length' "$OUT")" 2
is "in the form of all its JSON" "$(sed "s|\.0,\$|,|" "$OUT" | sum)" "$(jq . "$OUT" | sum)"
check "the newest point alone" 0 assay show --trend sums.exact_match -n 1 --json
is "is the last" "$(jq -c '[.points[].verdict]' "$OUT")" '["FAIL"]'
check "all of them" 0 assay show --trend sums.exact_match -n 0 --json
is "with none left out" "$(jq '.points | length' "$OUT")" 2
check "a limit of nothing" 64 assay show -n 1
check "a limit below" 64 assay show --trend sums.exact_match -n -1
check "as a page" 0 assay show --trend sums.exact_match --html
# its last piece is written at once, and nothing is left to flush
check "as a page that does not fit" 74 bash -c '"$ASSAY_TEST_BIN" show --trend sums.exact_match --html >/dev/full'
check "one that nobody measured" 65 assay show --trend sums.nothing
check "a name without a metric" 64 assay show --trend sums
check "a branch that is none" 65 assay show --trend sums.exact_match 'no/such'
check "in a form that it has not" 64 assay show --trend sums.exact_match -f junit
done_testing
