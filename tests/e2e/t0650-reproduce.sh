#!/usr/bin/env bash
# A run made again: from its own clone, from another that has only the records, and what is said where bits differ.
. "$(dirname "$0")/lib.sh"
tiny_repo repo
ORIGIN=$PWD
assay run >/dev/null 2>&1
assay promote sums@v1 production --reason first >/dev/null
V1=$(git rev-parse HEAD)
sed -i 's/^base:$/base: sums@production/; /^  init:/,/vocab_size/d; s/max_steps: 250/max_steps: 40/; s/seed: 1$/seed: 7/' assay.yaml
commit_all "tiny: a second model, from the first"
check "a second model is trained from the first" 0 assay run
is "it is v2" "$(sql 'select max(number) from versions')" 2
assay promote sums@v2 production --reason second >/dev/null
echo more >README.md && commit_all "docs: readme"
check "a third run only meets it again" 0 assay run
BEFORE=$(sql 'select count(*) from records')

check "the same bits, in the same clone" 0 assay reproduce sums@v2
has "the same bits"
check "the base is what it was, although the alias has moved" 0 assay reproduce sums@v2 --json
is "equal" "$(jq -r .equal "$OUT")" true
is "model, files, samples and data were compared" "$(jq -r '[.compared[].what] | unique | join(" ")' "$OUT")" "data model samples"
check "a run that trained nothing points to the one that did" 0 assay reproduce HEAD --json
is "equal, too" "$(jq -r .equal "$OUT")" true
is "nothing is recorded" "$(sql 'select count(*) from records')" "$BEFORE"

# another clone: the commits and the records, no object
git clone -q "$ORIGIN" "$TRASH/other" && cd "$TRASH/other" || exit 1
mkdir -p .git/assay && cp -R "$ORIGIN/.git/assay/records" .git/assay/
check "no object is here" 65 assay artifact export sums@v2 "$TRASH/no"
check "on another clone, the base is made again first" 0 assay reproduce sums@v2 --json
is "the base" "$(jq -r '.rebuilt | length' "$OUT")" 1
is "the same bits" "$(jq -r .equal "$OUT")" true
check "and now the version is here" 0 assay artifact export sums@v2 "$TRASH/yes"
(cd "$ORIGIN" && assay artifact export sums@v2 "$TRASH/first" >/dev/null)
cmp -s "$TRASH/yes/model.safetensors" "$TRASH/first/model.safetensors" && ok "byte for byte" || not_ok "byte for byte"

# a shallow clone fetches what it lacks
git clone -q --depth 1 "file://$ORIGIN" "$TRASH/shallow" && cd "$TRASH/shallow" || exit 1
git -C "$ORIGIN" config uploadpack.allowAnySHA1InWant true
mkdir -p .git/assay && cp -R "$ORIGIN/.git/assay/records" .git/assay/
git cat-file -e "$V1" 2>/dev/null && not_ok "the first commit is not here" || ok "the first commit is not here"
check "assembled, nothing run" 0 assay reproduce sums@v1 --prepare "$TRASH/kit"
has "assembled in"
cmp -s "$TRASH/kit/code/data/train.jsonl" "$ORIGIN/data/train.jsonl" && ok "its data" || not_ok "its data"
is "its record" "$(jq -r .commit "$TRASH/kit/record.json")" "$V1"
check "with a base" 0 assay reproduce sums@v2 --prepare "$TRASH/kit2"
has "made again"
check "that can be loaded" 0 assay eval "$TRASH/kit2/base" "$TRASH/kit2/code/evals/sums.yaml"
check "it is not written over" 65 assay reproduce sums@v2 --prepare "$TRASH/kit2"
check "offline, what is missing is named" 65 env ASSAY_OFFLINE=1 "$ASSAY_TEST_BIN" reproduce "$(printf 0%.0s $(seq 40))"

cd "$ORIGIN" || exit 1
# records that lie: what differs first is told
# forge FILTER: the record of v2's run, changed, in a home of its own beside all other records and objects
forge() {
	rm -rf "${TRASH:?}/home" && cp -R .git/assay "$TRASH/home" && rm -f "$TRASH"/home/registry.db*
	id=$(sql 'select run from versions where number = 2')
	f=$TRASH/home/records/${id:0:2}/${id:2}
	jq -cSj "$1" "$f" >"$TRASH/forged"
	chmod u+w "$f" && rm "$f"
	FORGED=$(sha256sum <"$TRASH/forged" | cut -d' ' -f1)
	mkdir -p "$TRASH/home/records/${FORGED:0:2}" && cp "$TRASH/forged" "$TRASH/home/records/${FORGED:0:2}/${FORGED:2}"
}
v1=$(sql 'select object from versions where number = 1') v2=$(sql 'select object from versions where number = 2')
forge "(.product.object, .version.object, .stages[0].output.object, .artifacts[0].object) = \"$v1\""
check "another model was recorded" 1 env ASSAY_HOME="$TRASH/home" "$ASSAY_TEST_BIN" reproduce "$FORGED" --json
is "not equal" "$(jq -r .equal "$OUT")" false
is "first, the model" "$(jq -r '.first | split(" ")[0]' "$OUT")" model
is "its tensors are told" "$(jq -r '.compared[] | select(.name == "model.safetensors") | .note | test("tensors differ, first .*elements")' "$OUT")" true
forge "(.product.object, .version.object, .stages[0].output.object, .artifacts[0].object) = \"$v1\" | (.training, .stages[0].output.training).curve[3][1] = 1.5"
check "another curve, too" 1 env ASSAY_HOME="$TRASH/home" "$ASSAY_TEST_BIN" reproduce "$FORGED"
has "not the same: curve learning curve: the learning curves part at step"
forge '.samples[0].object = .product.object'
check "other samples" 1 env ASSAY_HOME="$TRASH/home" "$ASSAY_TEST_BIN" reproduce "$FORGED"
has "samples  sums/sums"
# put FILE: as an object of the forged home, named in $HEX
put() {
	HEX=$(sha256sum <"$1" | cut -d' ' -f1)
	mkdir -p "$TRASH/home/objects/${HEX:0:2}" && cp "$1" "$TRASH/home/objects/${HEX:0:2}/${HEX:2}"
}
assay samples sums@v2 --jsonl >"$TRASH/lines"
put "$TRASH/lines" && forge ".samples[0].object = \"$HEX\"" && put "$TRASH/lines"
check "the same samples in an older form" 0 env ASSAY_HOME="$TRASH/home" "$ASSAY_TEST_BIN" reproduce "$FORGED"
has "the same samples, stored in another form"
sed 's/\("id":"2+2".*"response":"\)[^"]*/\1another/' "$TRASH/lines" >"$TRASH/lines2"
put "$TRASH/lines2" && forge ".samples[0].object = \"$HEX\"" && put "$TRASH/lines2"
check "another answer to one of them" 1 env ASSAY_HOME="$TRASH/home" "$ASSAY_TEST_BIN" reproduce "$FORGED"
has "the first sample that differs is 2+2"
forge '.tool.numerics = "cpu-1/f32/x86-64-v1"'
check "numbers of another class" 69 env ASSAY_HOME="$TRASH/home" "$ASSAY_TEST_BIN" reproduce "$FORGED"
has "of the class cpu-1/f32/x86-64-v1"
check "all the same" 0 env ASSAY_HOME="$TRASH/home" "$ASSAY_TEST_BIN" reproduce "$FORGED" --other-numerics
forge '.tool.numerics = "abacus-1/i3"'
check "a device that there is not" 69 env ASSAY_HOME="$TRASH/home" "$ASSAY_TEST_BIN" reproduce "$FORGED"
forge '.commit = "1111111111111111111111111111111111111111"'
check "a commit that is nowhere" 65 env ASSAY_HOME="$TRASH/home" "$ASSAY_TEST_BIN" reproduce "$FORGED"
has "111111111111 is neither in this clone nor at its remote"
forge '.dirty = true'
check "a work tree" 65 env ASSAY_HOME="$TRASH/home" "$ASSAY_TEST_BIN" reproduce "$FORGED"
has "judged a work tree"
is "the model is still there" "$(sql "select count(*) from versions where object = '$v2'")" 1
done_testing
