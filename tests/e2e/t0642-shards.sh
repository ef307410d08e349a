#!/usr/bin/env bash
# A matrix of jobs: each evaluates a shard on a machine of its own; the job behind them finds all samples, and judges as one job
# would have done.
. "$(dirname "$0")/lib.sh"
REMOTE=file://$TRASH/remote
origin=$TRASH/origin
tiny_repo "$origin"
# with prompts that are cut, and a task of two documents
three_tasks 37 2 "{{'0+1=1 ' * (21 if id == '1-9' else 1)}}{{prompt}}"
sed -i 's/^suites:.*/suites: [evals\/sums.yaml, evals\/all.yaml]/' assay.yaml
commit_all "a larger suite"

# As a runner does: a clone and a home that know nothing but the remote.
job() {
	git clone -q "$origin" "$TRASH/$1"
	cd "$TRASH/$1" || exit 1
	export ASSAY_HOME=$TRASH/$1-home
	mkdir -p "$ASSAY_HOME"
	unset ASSAY_REMOTE
}
status_of() { jq -r ".steps[]|select(.name==\"$1\").status" "$OUT"; }
# what a verdict rests on: metrics, samples by content, the gate
essence() { assay show "$1" --json | jq -S '{verdict,exit,metrics,samples:[.samples[]|del(.seconds,.times)],gate,version,notes:[.notes[]|select(test("stored parts")|not)]}'; }

job alone
check "one job alone" 0 assay run --json
alone=$(essence "$(jq -r .run "$OUT")")
is "which says something" "$(jq -r '"\(.verdict) \(.metrics|length>8) \(.samples|length)"' <<<"$alone")" "PASS true 5"
is "it cut prompts" "$(jq -r '.notes[]' <<<"$alone" | grep -c 'suite all: 2 prompts are longer')" 1

job s1
export ASSAY_REMOTE=$REMOTE
check "the first shard trains" 0 assay run --shard 1/3 --json
is "it trained" "$(status_of train)" "done"
is "it does not judge" "$(status_of gate) $(jq -r '.verdict' "$OUT")" "skipped INCONCLUSIVE"
is "it says what it has" "$(jq -c .shard "$OUT")" '{"i":1,"n":3,"samples":30,"total":84}'
is "and gives no metric of it, no version" "$(jq -c '[[.metrics[].metric|select(test("overlap")|not)],.version]' "$OUT")" '[[],null]'
first=$(jq -r .run "$OUT")
check "what it stored can be read" 0 assay samples "$first" --jsonl
is "its share alone" "$(jq -s '[.[]|select(.id)]|length' "$OUT")" 30
check "the same shard again" 0 assay run --shard 1/3 --json
is "asks nothing" "$(status_of eval)" reused
assay push >/dev/null 2>&1 || not_ok "the first shard is pushed"
check "a shard is no baseline, and no attempt" 0 sqlite3 "$ASSAY_HOME/registry.db" "select count(*) from runs where baseline_run is not null or version is not null"
is "of anything" "$(cat "$OUT")" 0
for i in 2 3; do
	job s$i
	export ASSAY_REMOTE=$REMOTE
	assay pull --records >/dev/null 2>&1 || not_ok "shard $i pulls"
	check "shard $i of 3" 0 env ASSAY_SHARD=$i/3 "$ASSAY_TEST_BIN" run --json
	is "finds the model" "$(status_of train) $(status_of eval)" "reused done"
	is "and asks its own documents" "$(assay samples "$(jq -r .run "$OUT")" --jsonl | jq -s '[.[]|select(.id)]|length')" $((i == 2 ? 28 : 26))
	assay push >/dev/null 2>&1 || not_ok "shard $i is pushed"
done

job join
export ASSAY_REMOTE=$REMOTE
assay pull --records >/dev/null 2>&1 || not_ok "the last job pulls"
check "the run behind them" 0 assay run --json
run=$(jq -r .run "$OUT")
is "finds every sample" "$(jq -r '.notes[]' <<<"$(assay show "$run" --json)" | grep 'stored parts')" \
	"suite sums: 8 of 8 samples were known from stored parts of this evaluation
suite all: 76 of 76 samples were known from stored parts of this evaluation"
is "metrics, samples, gate and notes are those of one job, to the bit" "$(essence "$run")" "$alone"
check "once more" 0 assay run --json
is "it is known as a whole" "$(status_of eval)" reused

# a shard that never came is asked by the run behind
job late
export ASSAY_REMOTE=
cp -r "$TRASH/s1-home/." "$ASSAY_HOME"
check "with one of three there" 0 assay run --json
is "the rest is asked" "$(essence "$(jq -r .run "$OUT")")" "$alone"
is "what was there is not" "$(assay show latest --json | jq -r '.notes[]' | grep -c 'suite all: 27 of 76 samples were known')" 1

# shards of other numbers overlap: what is known is not asked again
job mixed
cp -r "$TRASH/s1-home/." "$ASSAY_HOME"
check "a half, with a third there" 0 assay run --shard 2/2 --json
is "asks what the third has not" "$(assay samples "$(jq -r .run "$OUT")" --jsonl | jq -s '[.[]|select(.id)]|length')" \
	"$(jq -n '[8,37,37,2]|map([range(.)|select(. % 2 == 1 and . % 3 != 0)]|length)|add')"
check "the whole of both and the rest" 0 assay run --json
is "is the same" "$(essence "$(jq -r .run "$OUT")")" "$alone"

# a part whose samples are damaged is made again
job damaged
cp -r "$TRASH/s1-home/." "$ASSAY_HOME"
object=$(sqlite3 "$ASSAY_HOME/registry.db" "select object from samples where task='part1'" | head -1)
chmod u+w "$ASSAY_HOME/objects/${object:0:2}/${object:2}" && printf X | dd of="$ASSAY_HOME/objects/${object:0:2}/${object:2}" bs=1 seek=60 conv=notrunc 2>/dev/null
check "with damaged samples" 0 assay run --json
has "warning: suite all:"
is "the same in the end" "$(essence "$(jq -r .run "$OUT")")" "$alone"

# what makes no sense
check "a shard beyond" 64 assay run --shard 5/4
has "--shard 5/4: i/n with 1 <= i <= n"
for bad in 0/2 1 1/ /2 a/b 1/2/3 1/99999; do check "--shard $bad" 64 assay run --shard $bad; done
check "a shard of a limited run" 64 assay run --shard 1/2 --limit 3
has "--shard is of whole suites, and --limit asks at most 3 samples a task"
done_testing
