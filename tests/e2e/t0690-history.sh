#!/usr/bin/env bash
# What was production, and going back: aliases at a time, rollbacks of versions and of prompts, a chain that shows gaps.
. "$(dirname "$0")/lib.sh"
tiny_repo repo
sed -i 's/max_steps: 250/max_steps: 40/; s/min: 0.5, max_drop: 0.1/min: 0, max_drop: 1/; s/^finetune:/prompt: prompt.txt\nfinetune:/' assay.yaml
printf '' >prompt.txt && commit_all "one"
prod() { sql "select version from aliases where alias = 'production'"; }
check "a first version" 0 assay run
for seed in 2 3; do
	sed -i "s/seed: .*/seed: $seed/" assay.yaml && commit_all "seed $seed"
	check "version $seed" 0 assay run
done
for v in 1 2 3; do check "promoted: v$v" 0 assay promote sums@v$v production --reason "review $v"; done
is "production is v3" "$(prod)" 3

check "a rollback" 0 assay rollback sums@production
is "goes to v2" "$(prod)" 2
check "a second" 0 assay rollback sums@production
is "goes further, to v1" "$(prod)" 1
check "there is nothing before it" 65 assay rollback sums@production
has "no version to go back to"
check "the registry agrees" 0 assay registry check


# a rollback asks no gate, so it goes to what was, unless it is forced
sed -i "s/seed: .*/seed: 4/; s/min: 0,/min: 0.999,/" assay.yaml && commit_all "it fails"
check "a version that fails" 1 assay run
git reset -q --hard HEAD~1
for to in "--to 4" "--to=4 --force --reason well"; do
	# shellcheck disable=SC2086
	check "no rollback takes it there: $to" 65 assay rollback sums@production $to
	has "sums@production never stood for v4"
	has "fix: assay promote sums@v4 production"
done
check "nor the environment" 65 env ASSAY_TO=4 "$ASSAY_TEST_BIN" rollback sums@production
has "no version to go back to"
has "fix: assay history sums"
for to in 0 -1 -2147483648 4294967297; do check "no version has the number $to" 64 assay rollback sums@production --to=$to; done
check "force has a reason and a version" 64 assay rollback sums@production --force --reason x
check "an alias that is not there" 65 assay rollback sums@nowhere
has "there is no sums@nowhere"
is "production is v1 all the while" "$(prod)" 1

check "history has it all" 0 assay history --json
is "each promotion names the one before it" "$(jq -c '[.[].previous][:-1] == [.[].id][1:]' "$OUT")" true
is "and what the gate said" "$(jq -c '[.[].verdict] | unique' "$OUT")" '["PASS"]'
is "and by which policy" "$(jq -r '[.[].policy] | unique | .[0] | length' "$OUT")" 64
check "today's aliases" 0 assay models sums --as-of "$(date -u +%F)" --json
is "production is v1" "$(jq -c '[.[] | select(.aliases == ["production"]) | .number]' "$OUT")" '[1]'
check "long ago" 0 assay models --as-of 2020-01-01
has "nothing yet, then"
check "a day that no calendar has" 64 assay history --as-of 2026-02-30
has "no such date"
check "runs have no past" 64 assay runs --as-of 2026-02-01

# a fork: two homes that promoted without a remote between them, and were copied together
check "one history" 0 assay history
hasnt "forks"
cp -a .git/assay "$TRASH/forked"
assay promote sums@v2 production --force --reason here >/dev/null
assay promote sums@v2 fresh --force --reason here >/dev/null
ASSAY_HOME=$TRASH/forked ASSAY_ACTOR=bob assay promote sums@v3 production --force --reason there >/dev/null
ASSAY_HOME=$TRASH/forked ASSAY_ACTOR=bob assay promote sums@v3 fresh --force --reason there >/dev/null
cp -rn .git/assay/records "$TRASH/forked/"
check "two that follow one are told beside the history" 0 env ASSAY_HOME="$TRASH/forked" "$ASSAY_TEST_BIN" history
# which of the two is named first is chance: their digests say
is "both that follow one are named" "$(grep -h "of sums@production both follow" "$OUT" "$ERR" | grep -oE '\(to v[0-9]+, by [a-z]+\)' | sort | paste -sd' ')" "(to v2, by $(id -un)) (to v3, by bob)"
has "of sums@fresh are both the first: the history forks"
check "a verification tells it" 74 env ASSAY_HOME="$TRASH/forked" "$ASSAY_TEST_BIN" artifact verify
has "the history forks"
has "is no single chain: 2 places"
check "and are a fault" 74 env ASSAY_HOME="$TRASH/forked" "$ASSAY_TEST_BIN" registry check
has "the history forks"
check "of the forked alias alone" 74 env ASSAY_HOME="$TRASH/forked" "$ASSAY_TEST_BIN" registry check
is "one line each" "$(grep -c forks "$OUT")" 2

# a row that somebody changed: what the record says is known all the same
check "where production is" 0 assay models sums --json
cp -a .git/assay "$TRASH/honest"
sqlite3 .git/assay/registry.db "update aliases set version = 3 where alias = 'production'"
check "a row that its record does not say is not served" 74 assay promote sums@production other --reason trust
has "the row of sums@production (v3) is not what its promotion's record says"
has "fix: assay registry rebuild"
check "nor shown" 74 assay models
check "nor verified" 74 assay artifact verify
sqlite3 .git/assay/registry.db "update aliases set version = 1, promotion = (select id from promotions where alias = 'production' and version = 1 order by seq limit 1)"
check "nor one of an older promotion" 74 assay models sums
has "is not of its newest promotion"
sqlite3 .git/assay/registry.db "delete from aliases where alias = 'production'"
check "nor is one that is gone taken for one that never was" 74 assay promote sums@v3 production --force --reason again
has "is gone, though it was promoted"
check "a rebuild makes them as they were" 0 assay registry rebuild
check "and they are served" 0 assay models sums
is "as before" "$(prod)" "$(sqlite3 "$TRASH/honest/registry.db" "select version from aliases where alias = 'production'")"
check "the store is whole" 0 assay artifact verify

# an index that is gone: the check says so, and what needs it says what mends it
sqlite3 .git/assay/registry.db "drop index runs_by_branch"
check "an index that is gone is a fault" 74 assay registry check
has "schema: the index runs_by_branch is not there"
has "fix: assay registry rebuild"
check "and damage to whoever asks by it" 74 assay show --trend sums.exact_match main -n 2
has "fix: assay registry rebuild"
check "a rebuild makes it" 0 assay registry rebuild
check "and all is there" 0 assay registry check
check "the trend, too" 0 assay show --trend sums.exact_match main -n 2

# the last promotion is damaged: it is named until it comes back, and not forgotten
cp -a .git/assay "$TRASH/copy"
assay promote sums@v3 production --force --reason "the last" >/dev/null
cp -a .git/assay "$TRASH/whole"
id=$(sql "select id from promotions order by seq desc limit 1")
chmod u+w .git/assay/records/"${id:0:2}/${id:2}"
printf x | dd of=.git/assay/records/"${id:0:2}/${id:2}" bs=1 seek=20 conv=notrunc 2>/dev/null
check "a check finds it" 74 assay registry check
has "fix: assay artifact repair --from takes damaged records"
check "a rebuild names it" 0 assay registry rebuild
has "record ${id:0:12} is damaged and lies in bad/"
check "a check does, for as long as it is not back" 74 assay registry check
has "record $id is damaged and lies in bad/"
hasnt "registry rebuild"
check "a promotion does" 0 assay promote sums@v2 another --force --reason "meanwhile"
has "record ${id:0:12} is damaged and lies in bad/"
check "the fix that was printed" 0 assay artifact repair --from "$TRASH/whole"
check "mends it" 0 assay registry check
is "production is what it was" "$(prod)" 3
rm -rf .git/assay && mv "$TRASH/copy" .git/assay

id=$(sql "select id from promotions order by seq limit 1 offset 1")
rm .git/assay/records/"${id:0:2}/${id:2}"
check "a promotion that is gone is missed, rebuilt or not" 0 assay registry rebuild
check "since another names it" 74 assay registry check
has "the chain is broken"
has "assay pull brings it from a remote, and from another home, too (assay pull file:///HOME)"
check "as the fix says" 0 assay pull "file://$TRASH/whole"
check "it is mended" 0 assay registry check

# the record that an alias rests on is gone, and so is the run that a promotion speaks of
id=$(sql "select promotion from aliases where alias = 'production'")
rm .git/assay/records/"${id:0:2}/${id:2}"
check "an alias without its record is damage" 74 assay models
has "the promotion that sums@production rests on: ${id:0:12}"
has "fix: assay pull brings a record that is gone"
check "what the fix says" 0 assay pull "file://$TRASH/whole"
check "helps" 0 assay models
check "and all agrees" 0 assay registry check
id=$(sql "select run from versions where number = 3")
rm .git/assay/records/"${id:0:2}/${id:2}"
check "a run is gone" 0 assay registry rebuild
check "a promotion speaks of it" 74 assay registry check
has "it speaks of a version that is not there"
has "what it speaks of comes with assay pull"
hasnt "aside/"
check "as it does" 0 assay pull "file://$TRASH/whole"
check "and the promotion counts again" 0 assay registry check

# slips of the pen
for list in models runs history; do
	check "$list of a model that nobody knows" 65 assay $list smus
	has "the registry has no model smus"
	has "fix: assay models lists them"
	check "fewer $list than none" 64 assay $list sums -n -4
done
done_testing
