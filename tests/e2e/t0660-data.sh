#!/usr/bin/env bash
# Data sets as versions, and lineage in both directions, by commands alone.
. "$(dirname "$0")/lib.sh"
tiny_repo repo
cat >>assay.yaml <<'Y'
data:
  data/train.jsonl: {license: CC0-1.0, owner: team sums, source: "https://example.org/sums", about: "sums to eight"}
Y
commit_all "data: who owns it"
assay run >/dev/null 2>&1
assay promote sums@v1 production --reason first >/dev/null
cp data/train.jsonl "$TRASH/leaked-copy.jsonl"
sed -i 's/^base:$/base: sums@production/; /^  init:/,/vocab_size/d; s/max_steps: 250/max_steps: 20/' assay.yaml
echo '{"prompt":"4+4=","completion":"8","note":1}' >>data/train.jsonl
commit_all "tiny: a second model, on more data"
assay run >/dev/null 2>&1
assay promote sums@v2 production --reason second >/dev/null

check "data sets have versions" 0 assay data ls --json
is "two of one path" "$(jq -c '[.[] | [.path, .number, .rows]]' "$OUT")" '[["data/train.jsonl",2,26],["data/train.jsonl",1,25]]'
check "as a table" 0 assay data ls data/train.jsonl
has "CC0-1.0"
check "one of them" 0 assay data show data/train.jsonl@v2
has "team sums"
has "note: integer, in 1 rows"
has "prompt: text, in 26 rows"
check "by its digest" 0 assay data show "$(git rev-parse HEAD:data/train.jsonl | cut -c1-8)" --json
is "it is the second" "$(jq '.[0].number' "$OUT")" 2

check "which production models saw this file?" 0 assay data lineage "$TRASH/leaked-copy.jsonl" --alias production --json
is "both: one through its base" "$(jq -c '[.[0].models[] | [.version, .depth, .aliases]]' "$OUT")" '[[2,1,["production"]],[1,0,[]]]'
check "for people" 0 assay data lineage "$TRASH/leaked-copy.jsonl" --alias production
has "through 1 base"
check "the second content reached one" 0 assay data lineage data/train.jsonl@v2 --json
is "v2" "$(jq -c '[.[0].models[].version]' "$OUT")" '[2]'
check "an alias that none held" 0 assay data lineage data/train.jsonl@v2 --alias staging
has "no version came of it"
echo other >"$TRASH/other"
check "a file that no run read" 65 assay data lineage "$TRASH/other"
has "no run that is known here read"

check "where a version came from" 0 assay data lineage sums@production
has "from its base sums@v1"
has "data/train.jsonl"
has "machine"
check "as JSON" 0 assay data lineage sums@v2 --json
is "down to the first" "$(jq -c '[.[] | .versions[0]]' "$OUT")" '["sums@v2","sums@v1"]'
is "with commit, seed and numerics" "$(jq -r '.[0] | (.commit | length > 39) and .seed == 1 and (.tool.numerics | length > 3)' "$OUT")" true
check "a version that there is not" 65 assay data lineage sums@v9

check "a bill of materials" 0 assay artifact bom sums@production
is "the model and its base" "$(jq -r '.metadata.component | "\(.name) \(.version) \(.pedigree.ancestors[0].name)"' "$OUT")" "sums v2 sums@v1"
is "the data with its licence and owner" "$(jq -r '.components[] | select(.type == "data") | "\(.licenses[0].license.name), \(.data[0].governance.owners[0].organization.name)"' "$OUT")" "CC0-1.0, team sums"
is "what is referred to is there" "$(jq '[.dependencies[0].dependsOn[]] - [.components[]."bom-ref"] | length' "$OUT")" 0
check "provenance" 0 assay artifact provenance sums@v2
cp "$OUT" "$TRASH/provenance"
is "of the commit and the data" "$(jq -r '[.predicate.buildDefinition.resolvedDependencies[] | .digest.gitCommit, .digest.gitBlob | strings] | join(" ")' "$OUT")" "$(git rev-parse HEAD HEAD:data/train.jsonl | tr '\n' ' ' | sed 's/ $//')"
check "the gate's result" 0 assay artifact result sums@v2
is "passed" "$(jq -r .predicate.result "$OUT")" PASSED
check "exported beside the model" 0 assay artifact export sums@v2 "$TRASH/attested" --attest
cmp -s "$TRASH/attested/assay/provenance.intoto.json" "$TRASH/provenance" && ok "the same bytes twice" || not_ok "the same bytes twice"
jq -r '.subject[] | .digest.sha256 + "  " + .name' "$TRASH/provenance" >"$TRASH/sums"
(cd "$TRASH/attested" && sha256sum -c --quiet "$TRASH/sums") >"$OUT" 2>"$ERR" && ok "its subjects are the files" || not_ok "its subjects are the files"
if command -v openssl >/dev/null; then
	openssl genpkey -algorithm ed25519 -out "$TRASH/key.pem" && openssl pkey -in "$TRASH/key.pem" -pubout -out "$TRASH/key.pub"
	openssl genpkey -algorithm ed25519 -out "$TRASH/other.pem" && openssl genrsa -out "$TRASH/rsa.pem" 2048 2>/dev/null
	check "and signed" 0 assay artifact export sums@v2 "$TRASH/signed" --sign "$TRASH/key.pem"
	# by another program: its signature over DSSE's encoding
	jq -rj .payload "$TRASH/signed/assay/provenance.dsse.json" | base64 -d >"$TRASH/payload"
	{ printf 'DSSEv1 28 application/vnd.in-toto+json %s ' "$(stat -c %s "$TRASH/payload")" && cat "$TRASH/payload"; } >"$TRASH/pae"
	jq -rj '.signatures[0].sig' "$TRASH/signed/assay/provenance.dsse.json" | base64 -d >"$TRASH/sig"
	check "openssl verifies the signature" 0 openssl pkeyutl -verify -pubin -inkey "$TRASH/key.pub" -rawin -in "$TRASH/pae" -sigfile "$TRASH/sig"
	cmp -s "$TRASH/payload" "$TRASH/provenance" && ok "of the same statement" || not_ok "of the same statement"
	check "the folder is what was signed" 0 assay artifact verify "$TRASH/signed" --key "$TRASH/key.pub"
	has "the gate's result: PASSED"
	check "another version, signed" 0 assay artifact export sums@v1 "$TRASH/first" --sign "$TRASH/key.pem"
	cp -r "$TRASH/first" "$TRASH/hidden" && rm "$TRASH"/hidden/assay/*.intoto.json
	cp "$TRASH/hidden/assay/provenance.dsse.json" "$TRASH/hidden/assay/test-result.dsse.json"
	check "another statement in the result's place" 65 assay artifact verify "$TRASH/hidden" --key "$TRASH/key.pub"
	cp "$TRASH"/signed/assay/bom.* "$TRASH/first/assay/"
	check "another version's bill of materials" 65 assay artifact verify "$TRASH/first" --key "$TRASH/key.pub"
	has "of another model"
	check "by no other key" 65 assay artifact verify "$TRASH/signed" --key "$TRASH/other.pem"
	has "not signed by the key"
	check "nor one of another kind" 65 assay artifact verify "$TRASH/signed" --key "$TRASH/rsa.pem"
	check "a key that is not there" 65 assay artifact export sums@v2 "$TRASH/unsigned" --sign "$TRASH/none.pem"
	[ ! -e "$TRASH/unsigned" ] && ok "and nothing is written" || not_ok "and nothing is written"
	check "promoted with its signature" 0 assay promote sums@v2 signed --require-signature "$TRASH/key.pub" --signed "$TRASH/signed"
	check "not with another's" 65 assay promote sums@v2 other --require-signature "$TRASH/other.pem" --signed "$TRASH/signed"
	check "not another version" 65 assay promote sums@v1 other --require-signature "$TRASH/key.pub" --signed "$TRASH/signed"
	has "of the version"
	check "not without the folder" 64 assay promote sums@v2 other --require-signature "$TRASH/key.pub"
	printf x >>"$TRASH/signed/config.json"
	check "not what was changed since" 65 assay promote sums@v2 other --require-signature "$TRASH/key.pub" --signed "$TRASH/signed"
	is "and nothing moved" "$(sql "select count(*) from aliases where alias = 'other'")" 0
	check "a changed file" 65 assay artifact verify "$TRASH/signed" --key "$TRASH/key.pub"
	has "config.json: its content is not the signed one"
	check "a folder without a key" 64 assay artifact verify "$TRASH/signed"
	check "a GGUF file cannot be" 64 assay artifact export sums@v2 "$TRASH/m.gguf" --sign "$TRASH/key.pem"
	check "an archive can" 0 assay artifact export sums@v2 "$TRASH/signed.tar.zst" --sign "$TRASH/key.pem"
	mkdir "$TRASH/unpacked" && tar -C "$TRASH/unpacked" --strip-components=1 --zstd -xf "$TRASH/signed.tar.zst" 2>/dev/null || tar -C "$TRASH/unpacked" --zstd -xf "$TRASH/signed.tar.zst"
	check "and is verified once it is unpacked" 0 assay artifact verify "$TRASH/unpacked" --key "$TRASH/key.pub"
	sed -i 's/learning_rate: 5e-3/learning_rate: 1.0/' assay.yaml && commit_all "tiny: a third model, spoilt"
	check "a third fails its gate" 1 assay run
	check "it is signed as what it is" 0 assay artifact export sums@v3 "$TRASH/failed" --sign "$TRASH/key.pem"
	check "and does not pass" 1 assay artifact verify "$TRASH/failed" --key "$TRASH/key.pub"
	has "the gate's result: FAILED"
else
	skip "signatures" "no openssl"
fi
check "in an OCI layout, too" 0 assay artifact export sums@v2 "$TRASH/oci" --attest --format oci
is "as layers" "$(jq -rs '[.[] | objects | .layers[]? | .annotations["org.cncf.model.filepath"] | select(startswith("assay/"))] | length' "$TRASH"/oci/blobs/sha256/"$(jq -r '.manifests[0].digest | .[7:]' "$TRASH/oci/index.json")")" 3
check "of a version that there is not" 65 assay artifact bom sums@v9
sed -i 's/license: CC0/licence: CC0/' assay.yaml && commit_all "data: a key that there is not"
check "a card's keys are known" 65 assay plan
has "license"
done_testing
