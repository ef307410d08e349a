#!/usr/bin/env bash
# Two pipelines in a row, on fresh clones with fresh homes and one remote: the second finds its baseline and runs nothing again.
. "$(dirname "$0")/lib.sh"
REMOTE=file://$TRASH/remote
origin=$TRASH/origin
tiny_repo "$origin"

# As a runner does: a clone and a home that know nothing.
# pipeline NAME: leaves us in the clone
pipeline() {
	git clone -q "$origin" "$TRASH/$1"
	cd "$TRASH/$1" || exit 1
	export ASSAY_HOME=$TRASH/$1-home
	mkdir -p "$ASSAY_HOME"
}
db() { sqlite3 "$ASSAY_HOME/registry.db" "$1"; }

pipeline first
check "nothing is configured: that is said" 64 assay push
has "no remote is configured"
check "pulling from a folder that is not there" 65 assay pull "$REMOTE"
has "there is no folder $TRASH/remote"
has "is the share mounted?"
mkdir "$TRASH/empty"
check "from one where nothing is yet" 0 assay pull "file://$TRASH/empty"
has "pulled 0 records and 0 objects"
has "nothing has been pushed to file://$TRASH/empty yet"
check "a first run" 0 assay run
assay promote sums@v1 production --reason "first" >/dev/null
check "what a push would do" 0 assay push --dry-run "$REMOTE"
has "would have pushed 2 records"
is "and does not" "$(find "$TRASH/remote" -type f 2>/dev/null | wc -l)" 0
check "a push" 0 assay push "$REMOTE"
has "pushed 2 records"
check "again: nothing is left to do" 0 assay push "$REMOTE"
has "pushed 0 records and 0 objects"
is "names are digests" "$(cd "$TRASH/remote" && find objects records -type f | while read -r f; do
	[ "$(sha256sum <"$f" | cut -c-64)" = "$(basename "$(dirname "$f")")$(basename "$f")" ] || echo "$f"; done)" ""
is "the versions and moves were claimed" "$(find "$TRASH/remote/claims" -type f | wc -l)" 2

export ASSAY_REMOTE=$REMOTE
pipeline second
check "records alone" 0 assay pull --records --json
is "as JSON" "$(python3 -c 'import json,sys; d=json.load(open(sys.argv[1])); print(d["pulled"]["records"], d["pulled"]["objects"])' "$OUT")" "2 0"
is "no object came" "$(find "$ASSAY_HOME/objects" -type f | wc -l)" 0
check "the same commit on a fresh clone passes" 0 assay run --json
is "nothing is run again" "$(python3 -c 'import json,sys
d = json.load(open(sys.argv[1]))
print(d["verdict"], *[s["status"] for s in d["steps"] if s["name"] in ("train", "eval")])' "$OUT")" "PASS reused reused"
check "and what it needed was fetched" 0 assay samples latest
echo "# changed" >>README && commit_all "a README" && git push -q origin HEAD:refs/heads/second
check "a change beside the model" 0 assay run
check "is pushed too" 0 assay push
check "the whole of it is here now" 0 assay registry check

pipeline third
git checkout -q second
check "a dry pull" 0 assay pull --dry-run
has "would have pulled 4 records and 3 objects"
has "not looked into: the files of 1 model whose list is not here"
check "everything" 0 assay pull
is "weights and samples are here" "$(assay registry check 2>&1)" "$(cd ../second && ASSAY_HOME=$TRASH/second-home assay registry check 2>&1)"
check "and it is the same" 0 assay artifact verify
check "a dry pull of nothing" 0 assay pull --dry-run
hasnt "not looked into"
is "both see one history" "$(db 'SELECT id FROM records ORDER BY id')" \
	"$(sqlite3 "$TRASH/second-home/registry.db" "SELECT id FROM records WHERE id IN (SELECT id FROM records) ORDER BY id")"

# Weights that are lost, there and here: named by all who look, not promoted, brought back by what is printed.
manifest=$(db 'SELECT object FROM versions WHERE number = 1')
weights=$(jq -r '.files[] | select(.path == "model.safetensors").object' "$ASSAY_HOME/objects/${manifest:0:2}/${manifest:2}")
rm -f "$TRASH/remote/objects/${weights:0:2}/${weights:2}" "$ASSAY_HOME/objects/${weights:0:2}/${weights:2}"
check "a version without weights" 74 assay registry check
has "model.safetensors of"
check "is not pushed in silence" 74 assay push
has "$weights"
check "nor pulled" 0 assay pull
has "$weights"
check "nor promoted" 65 assay promote sums@v1 staging --reason "is it there?"
has "assay artifact repair --from HOME"
rm -f "$ASSAY_HOME/objects/${manifest:0:2}/${manifest:2}" "$TRASH/remote/objects/${manifest:0:2}/${manifest:2}"
check "nor without its list" 74 assay registry check
has "assay artifact repair --from HOME"
check "repair brings what is missing" 0 assay artifact repair --from "$TRASH/first-home"
has "$weights  repaired"
check "all is there" 0 assay registry check
check "and is promoted" 0 assay promote sums@v1 staging --reason "it is there"
check "and sent again" 0 assay push
has "2 objects"

# A remote named by the machine's file, and by a commit that names the name.
unset ASSAY_REMOTE
printf 'locations:\n  team: {url: "%s"}\n' "$REMOTE" >"$ASSAY_HOME/config.yaml"
check "by the name of a location" 0 assay pull team
check "of an unknown one" 65 assay pull tema
has "no location is called tema"
echo "remote: team" >>assay.yaml && commit_all "name the remote"
check "assay.yaml may name it" 0 assay pull
check "and a run uses it" 0 assay run

# A hostile remote.
pipeline fourth
bad=$(find "$TRASH/remote/records" -type f | head -n 1)
cp "$bad" "$TRASH/kept"
chmod u+w "$bad"
printf '{}' >"$bad"
check "a record that is not what its name says" 65 assay pull "$REMOTE"
has "is not what its name says"
has "is not what it says and stayed there; all else was taken over"
is "which it was" "$(db 'SELECT count(*) FROM records')" $(($(find "$TRASH/remote/records" -type f | wc -l) - 1))
cp "$TRASH/kept" "$bad"
pipeline fifth
bad=$(find "$TRASH/remote/objects" -type f -size -2k | head -n 1)
cp "$bad" "$TRASH/kept"
chmod u+w "$bad"
truncate -s 3 "$bad"
check "an object that was cut" 65 assay pull "$REMOTE"
has "is not what its name says; nothing of it was kept"
is "leaves out the records that need it" "$(db 'SELECT count(*) BETWEEN 0 AND '"$(($(find "$TRASH/remote/records" -type f | wc -l) - 1))"' FROM records')" 1
check "what came is whole" 0 assay artifact verify
cp "$TRASH/kept" "$bad"
check "pulled whole" 0 assay pull "$REMOTE"
object=$(find "$ASSAY_HOME/objects" -type f -size +2k | head -n 1) hex=$(sha256sum <"$object" | cut -c-64)
cp "$object" "$TRASH/kept"
for f in "$object" "$TRASH/remote/objects/${hex:0:2}/${hex:2}"; do
	chmod u+w "$f" && printf 'lies' | dd of="$f" bs=1 seek=1000 conv=notrunc 2>/dev/null
done
check "a remote that lies about a digest heals nothing" 74 assay artifact repair --from "$REMOTE"
has "$hex  still bad"
has "what came for ${hex:0:12} has the digest"
[ -e "$object" ] && not_ok "nothing of it is kept" || ok "nothing of it is kept"
check "nor is it pulled" 65 assay pull "$REMOTE"
has "is not what its name says; nothing of it was kept"
cp "$TRASH/kept" "$TRASH/remote/objects/${hex:0:2}/${hex:2}"
check "one that does not, does" 0 assay artifact repair --from "$REMOTE"
has "$hex  repaired: it was moved to bad/ before"
cmp -s "$object" "$TRASH/kept" && ok "the same bytes" || not_ok "the same bytes"
pipeline sixth
mkdir -p "$TRASH/remote/records/zz" "$TRASH/remote/records/.." && echo x >"$TRASH/remote/records/zz/..evil"
ln -s /etc/passwd "$TRASH/remote/records/zz/passwd"
check "names that are none are left alone" 0 assay pull "$REMOTE"
check "and all is well" 0 assay registry check

# Two teams' members who did not know of each other.
export ASSAY_REMOTE=$REMOTE
pipeline ann
assay pull >/dev/null 2>&1
sed -i 's/seed: 1/seed: 2/' assay.yaml && commit_all "ann: another seed" && assay run >/dev/null 2>&1
pipeline bob
assay pull >/dev/null 2>&1
sed -i 's/seed: 1/seed: 3/' assay.yaml && commit_all "bob: another seed" && assay run >/dev/null 2>&1
is "both made a second version" "$(db 'SELECT max(number) FROM versions')" 2
ASSAY_ACTOR=bob assay promote sums@v2 production --force --reason "bob says so" >/dev/null
cd "$TRASH/ann" && export ASSAY_HOME=$TRASH/ann-home
ASSAY_ACTOR=ann assay promote sums@v2 production --force --reason "ann says so" >/dev/null
check "the first to push has it" 0 assay push
cd "$TRASH/bob" && export ASSAY_HOME=$TRASH/bob-home
check "the second is told" 75 assay push
has "sums@production was moved to v2 meanwhile, by ann"
has "sums@v2 was another model's already: this home's is v3 now"
has "run the gate again"
is "production is ann's" "$(db "SELECT v.object = (SELECT object FROM versions WHERE number = 2) FROM aliases a JOIN versions v ON v.number = a.version WHERE a.alias = 'production'")" 1
is "and bob's model has a number" "$(db 'SELECT max(number) FROM versions')" 3
check "and can be promoted on top of it" 0 env ASSAY_ACTOR=bob "$ASSAY_TEST_BIN" promote sums@v3 production --force --reason "now"
check "which is pushed" 0 assay push
check "the registry is sound" 0 assay registry check
cd "$TRASH/ann" && export ASSAY_HOME=$TRASH/ann-home
check "ann sees it" 0 assay pull
is "production is bob's" "$(db "SELECT version FROM aliases WHERE alias = 'production'")" 3
check "her registry is sound" 0 assay registry check

# Two transfers of one store at once, from it and into it.
# at_once NAME COMMAND…: both must end well; each COMMAND is words of assay behind HOME=
at_once() {
	local name=$1 pids=() pid bad=0 n=0
	shift
	for words in "$@"; do
		n=$((n + 1))
		# shellcheck disable=SC2086 # words
		env ASSAY_HOME=${words%% *} "$ASSAY_TEST_BIN" ${words#* } >"$TRASH/said$n" 2>&1 &
		pids+=("$!")
	done
	for pid in "${pids[@]}"; do wait "$pid" || bad=$?; done
	cat "$TRASH"/said[1-9] >"$OUT"
	[ "$bad" = 0 ] && ok "$name" || not_ok "$name: exit $bad"
}
for round in 1 2 3; do
	rm -rf "$TRASH/both" "$TRASH/taker"
	at_once "round $round: two pushes at once" "$TRASH/ann-home push file://$TRASH/both" "$TRASH/ann-home push file://$TRASH/both"
	is "leave what is named right" "$(cd "$TRASH/both" && find objects records -type f -exec sha256sum {} + | awk '{ n = $2; sub(/^[a-z]*\//, "", n); sub("/", "", n); if (n != $1) print n }')" ""
	at_once "two pulls at once" "$TRASH/taker pull file://$TRASH/both" "$TRASH/taker pull file://$TRASH/both"
	check "leave a sound registry" 0 env ASSAY_HOME="$TRASH/taker" "$ASSAY_TEST_BIN" registry check
	check "and a whole store" 0 env ASSAY_HOME="$TRASH/taker" "$ASSAY_TEST_BIN" artifact verify
	is "with every record" "$(find "$TRASH/taker/records" -type f | wc -l)" "$(find "$TRASH/ann-home/records" -type f | wc -l)"
	rm -rf "$TRASH/taker"
	at_once "a push and two homes that pull meanwhile" "$TRASH/bob-home push file://$TRASH/both" "$TRASH/taker pull file://$TRASH/both" "$TRASH/ann-home pull file://$TRASH/both"
	check "leave a sound registry" 0 env ASSAY_HOME="$TRASH/taker" "$ASSAY_TEST_BIN" registry check
	is "and nothing half-written" "$(find "$TRASH/taker/tmp" "$TRASH/ann-home/tmp" -type f | wc -l)" 0
done
done_testing
