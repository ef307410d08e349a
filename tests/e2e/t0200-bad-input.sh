#!/usr/bin/env bash
# Every mistake gets one clear error with the fix and the right exit code; the registry is intact and the next run fine.
. "$(dirname "$0")/lib.sh"
tiny_repo repo
assay run >/dev/null 2>&1
sound=$(git rev-parse HEAD)

# bad NAME CODE TEXT…: commits what is there, runs, expects the code and the texts; then all is as before
bad() {
	_what=$1 _code=$2
	shift 2
	git add -A && git commit -q --allow-empty -m "bad"
	check "$_what: exit $_code" "$_code" assay run --target "$sound~0" "HEAD"
	for _t in "$@"; do has "$_t" "$_what: says $_t"; done
	assay registry check >/dev/null 2>&1 && ok "$_what: the registry is sound" || not_ok "$_what: the registry is sound"
	git reset -q --hard "$sound"
}
# the candidate's own questions: as bad, without a target
bad_own() {
	_what=$1 _code=$2
	shift 2
	git add -A && git commit -q --allow-empty -m "bad"
	check "$_what: exit $_code" "$_code" assay run
	for _t in "$@"; do has "$_t" "$_what: says $_t"; done
	git reset -q --hard "$sound"
}

sed -i 's/max_steps/max_stps/' assay.yaml
bad "an unknown key" 65 "assay.yaml:11:" "max_stps" "max_steps"
sed -i 's/max_steps: 250/max_steps: many/' assay.yaml
bad "a wrong type" 65 "assay.yaml:11:" "max_steps"
sed -i 's/layers: 2/layers: 1.5/' assay.yaml
bad "a real where an integer is wanted" 65 "layers"
printf 'model: [unclosed\n' >assay.yaml
bad "broken YAML" 65 "assay.yaml:"
rm data/train.jsonl
bad "a missing data file" 65 "data/train.jsonl"
sed -i '3s/.*/{"prompt": "1+1=", "completion"/' data/train.jsonl
bad "a broken line of data" 65 "data/train.jsonl:3:"
sed -i '3s/.*/{"promt": "1+1=", "completion": "2"}/' data/train.jsonl
bad "a line without what is needed" 65 "data/train.jsonl:3:"
: >data/train.jsonl
bad "empty data" 65 "data/train.jsonl"
: >evals/sums.jsonl
bad_own "an empty suite" 65 "sums"
sed -i '2s/.*/{"id": "x", "prompt": 1/' evals/sums.jsonl
bad_own "a broken line of a suite" 65 "evals/sums.jsonl:2:"
rm evals/sums.yaml
bad_own "a missing suite" 65 "evals/sums.yaml"
sed -i 's/target_delimiter/target_delimitr/' evals/sums.yaml
bad_own "an unknown key of a task" 65 "evals/sums.yaml:" "target_delimiter"
sed -i 's/sums.exact_match/sums.exact_mach/' assay.yaml
bad_own "a rule for a metric nobody measures" 65 "exact_mach"
sed -i 's/  baseline: production/  baseline: production\n  target: populace/' assay.yaml
bad_own "a target that is not known" 65 "populace"

check "a commit that does not exist" 65 assay run 0123456789abcdef0123456789abcdef01234567
has "0123456789"
check "an unknown option" 64 assay run --jsn
has "--json"
check "an unknown command" 64 assay rnu
has "run"

sed -i 's|data: data/train.jsonl|data: ../outside.jsonl|' assay.yaml
bad "a path that leaves the tree" 65 "outside"
sed -i 's|data: data/train.jsonl|data: /etc/passwd|' assay.yaml
bad "an absolute path" 65 "/etc/passwd"
ln -sf /etc/passwd data/train.jsonl
bad "a link that leaves the tree" 65 "data/train.jsonl" "leaves the tree"
ln -sf ../../../../etc/passwd data/train.jsonl
bad "a relative link that leaves the tree" 65 "leaves the tree"
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 12\n' 0 >data/train.jsonl
bad "an LFS pointer without its object" 65 "git lfs fetch"

# models in the commit
assay promote sums@v1 production >/dev/null 2>&1
obj=$(sql "select object from versions")
mkdir -p models/m
jq -r '.files[] | "\(.path) \(.object)"' ".git/assay/objects/${obj:0:2}/${obj:2}" | while read -r path o; do
	cp ".git/assay/objects/${o:0:2}/${o:2}" "models/m/$path"
done
chmod -R u+w models
folder_base() {
	awk '/^base:/{print "base: models/m"; skip=1; next} /^[a-z]/{skip=0} !skip' assay.yaml >a && mv a assay.yaml
}
folder_base
commit_all "base from a folder"
sound=$(git rev-parse HEAD)
check "a base from a folder of the commit trains" 0 assay run
size=$(stat -c %s models/m/model.safetensors)
printf '\0\0\300\177' | dd of=models/m/model.safetensors bs=1 seek=$((size - 4)) conv=notrunc 2>/dev/null
bad "a loss that is not a number" 65 "not a finite number"
truncate -s -100 models/m/model.safetensors
bad "a truncated safetensors" 65 "model.safetensors"
printf '\xff\xff\xff\xff\xff\xff\xff\x7f' | dd of=models/m/model.safetensors conv=notrunc 2>/dev/null
bad "a safetensors whose header lies" 65 "model.safetensors"
jq '.intermediate_size += 1' models/m/config.json >c && mv c models/m/config.json
bad "a configuration that does not fit the weights" 65 "mlp." "config.json makes it"
jq '.vocab_size = 200' models/m/config.json >c && mv c models/m/config.json
bad "a vocabulary that does not fit the tokenizer" 65 "the model's vocabulary 200" "resize_token_embeddings"
jq '.model_type = "mamba"' models/m/config.json >c && mv c models/m/config.json
bad "an unknown architecture" 65 "mamba"
jq '.added_tokens += [{"id":5000,"content":"<x>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}]' \
	models/m/tokenizer.json >c && mv c models/m/tokenizer.json
bad "a tokenizer that does not fit the model" 65 "token"
rm models/m/model.safetensors && touch models/m/pytorch_model.bin
bad "a pickle" 65 "safetensors"
git reset -q --hard "$sound"

# a full disk: no file may grow beyond a few blocks
sed -i 's/seed: 1/seed: 77/' assay.yaml && commit_all "another seed"
runs=$(sql 'select count(*) from runs where verdict = "PASS"')
check "a full disk" 74 bash -c 'ulimit -f 40; "$ASSAY_TEST_BIN" run'
is "a full disk: nothing half-written passes" "$(sql 'select count(*) from runs where verdict = "PASS"')" "$runs"
check "a full disk: the registry is sound" 0 assay registry check
check "the next run is fine" 0 assay run
left=$(find .git/assay/tmp -type f | wc -l)
is "nothing is left in tmp" "$left" 0
done_testing
