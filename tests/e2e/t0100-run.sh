#!/usr/bin/env bash
# A run from commit to record: what is made, what is reused, what the registry holds, and that it can be rebuilt.
. "$(dirname "$0")/lib.sh"
tiny_repo repo

check "plan runs nothing and says so" 0 assay plan
has "train"
check "a first run passes by its floors" 0 assay run --report-dir "$TRASH/report"
has "PASS"
is "there is one run" "$(sql 'select count(*) from runs')" 1
is "its verdict is in capitals" "$(sql 'select verdict from runs')" PASS
is "its trust is that of a person" "$(sql 'select trust from runs')" branch
is "a version was made" "$(sql 'select model, number from versions')" "sums|1"
is "no alias moved: a person's run promotes nothing" "$(sql 'select count(*) from promotions')" 0
[ -s "$TRASH/report/report.md" ] && [ -s "$TRASH/report/report.json" ] && ok "report files are written" || not_ok "report files are written"
is "seven steps are kept" "$(sql 'select count(*) from steps')" 7

check "the same commit again reuses everything" 0 assay run --json
is "train was reused" "$(jq -r '.steps[] | select(.name=="train") | .status' "$OUT")" reused
is "eval was reused" "$(jq -r '.steps[] | select(.name=="eval") | .status' "$OUT")" reused
is "no second version" "$(sql 'select count(*) from versions')" 1

check "promote by hand" 0 assay promote sums@v1 production --reason "looks right"
check "history tells who and why" 0 assay history
has "looks right"
echo "more" >README.md && commit_all "docs: readme"
check "a change of the README passes by identity" 0 assay run --json
is "the verdict is PASS" "$(jq -r .verdict "$OUT")" PASS
is "no version is made of it" "$(jq -r .version "$OUT")" null
assay show | grep -q "same weights, tokenizer, prompt and questions" && ok "by identity, and it says so" || not_ok "by identity, and it says so"

is "the learning curve is in the registry" "$(sql "select count(*) > 50 and min(lr) >= 0 and max(grad_norm) > 0 and max(tokens_per_s) > 0 from curves where kind = 'train' and run = (select n from runs order by seq limit 1)")" 1
is "its last point is the last step" "$(sql "select max(step) from curves where run = (select n from runs order by seq limit 1)")" 250
check "assay show draws it" 0 assay show sums@v1
has "full, 250 steps"
grep -q '█.*▁' "$OUT" && ok "as a line of blocks" || not_ok "as a line of blocks"
check "and as points" 0 assay show sums@v1 --curve --json
is "with what belongs to them" "$(jq -r '.[0] | has("loss") and has("lr") and has("grad_norm") and has("tokens_per_s")' "$OUT")" true
check "or as a table" 0 assay show sums@v1 --curve
has "tokens/s"

dump() { sqlite3 .git/assay/registry.db .dump | grep -v -e '^PRAGMA' -e '^INSERT INTO shelves' | sort; } # shelves: of the file system
dump >"$TRASH/before"
check "registry check finds no fault" 0 assay registry check
check "registry rebuild" 0 assay registry rebuild
dump >"$TRASH/after"
cmp -s "$TRASH/before" "$TRASH/after" && ok "the rebuilt registry is equal, row for row" || { diff "$TRASH/before" "$TRASH/after" >"$OUT"; not_ok "the rebuilt registry is equal, row for row"; }
rm -f .git/assay/registry.db*
check "it is made again when it is gone" 0 assay models
has "production"

check "a limited run decides nothing" 2 assay run -n 2 --json
is "its verdict" "$(jq -r .verdict "$OUT")" INCONCLUSIVE
is "and makes no version" "$(jq -r .version "$OUT")" null
done_testing
