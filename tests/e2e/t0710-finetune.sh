#!/usr/bin/env bash
# The ways to fine-tune: LoRA, preferences, held-out data, weighted files; adapters in and out; every key is part of the key.
. "$(dirname "$0")/lib.sh"
tiny_repo repo
check "a base" 0 assay run
check "exported" 0 assay artifact export sums@v1 models/sums
chmod -R u+w models
head -n 6 data/train.jsonl >data/val.jsonl
sed 's/{"prompt":"\(.*\)","completion":"\(.*\)"}/{"prompt":"\1","chosen":"\2","rejected":"x"}/' data/train.jsonl >data/pairs.jsonl
# config MORE…: an assay.yaml whose finetune section has these lines
config() {
	{
		printf 'model: tuned\nbase: models/sums\nsuites: [evals/sums.yaml]\ngate: {require: {sums.exact_match: {min: 0}}}\n'
		printf 'finetune:\n  batch_tokens: 128\n'
		printf '  %s\n' "$@"
	} >assay.yaml
	commit_all "config: $*"
}
# run NAME: a run that passes; its record is in record.json
run() {
	check "$1" 0 assay run
	assay show --json >record.json
}

config "data: data/train.jsonl" "max_steps: 2"
git add -A && commit_all base
keys=0
assay plan --json | jq -r .train_key >seen
while read -r line; do
	keys=$((keys + 1))
	config "data: data/train.jsonl" "max_steps: 2" "$line"
	assay plan --json | jq -r .train_key >>seen
done <<-K
	method: lora
	rank: 4
	alpha: 3
	lora_dropout: 0.1
	target_modules: all-linear
	objective: dpo
	count: hf
	validation: data/val.jsonl
	validation_split: 0.2
	gradient_checkpointing: true
	max_length: 20
	learning_rate: 1e-3
	schedule: linear
	warmup_steps: 1
	seed: 5
K
config "data: [{path: data/train.jsonl, weight: 2}]" "max_steps: 2"
assay plan --json | jq -r .train_key >>seen
config "data: [data/train.jsonl, data/val.jsonl]" "max_steps: 2"
assay plan --json | jq -r .train_key >>seen
is "each of $keys keys, a weight and a second file makes another training" "$(sort -u seen | grep -c .)" $((keys + 3))

config "data: data/train.jsonl" "max_steps: 30" "method: lora" "rank: 4" "target_modules: all-linear" "learning_rate: 1e-2"
run "LoRA"
is "the record says so" "$(jq -r '.training.method' record.json)" lora
check "the model is merged, and the factors are beside it" 0 assay artifact export tuned@v1 out
[ -s out/adapter/adapter_config.json ] && [ -s out/adapter/adapter_model.safetensors ] && ok "as PEFT reads them" || not_ok "as PEFT reads them"
is "with their rank" "$(jq .r out/adapter/adapter_config.json)" 4
config "data: data/train.jsonl" "max_steps: 5" "method: lora" "export: {adapter: false}"
check "without the factors" 0 assay run
assay artifact export tuned@v2 bare >/dev/null && [ ! -e bare/adapter ] && ok "there is no adapter then" || not_ok "there is no adapter then"

config "data: data/train.jsonl" "max_steps: 40" "validation_split: 0.2" "eval_every: 10" "learning_rate: 1e-3"
run "held-out examples"
is "four losses" "$(jq '.training.validation | length' record.json)" 4
is "the best is known" "$(jq '.training | .best_validation == ([.validation[][1]] | min)' record.json)" true
is "and rows of the registry" "$(sql "select count(*) from curves where kind = 'validation' and run = (select n from runs order by seq desc limit 1)")" 4
check "show tells" 0 assay show
has "validation"
config "data: data/train.jsonl" "max_steps: 400" "validation: data/val.jsonl" "eval_every: 5" "early_stop: 2" "learning_rate: 0.1" "schedule: constant"
run "a training that gets worse"
is "ends early" "$(jq '.training.stopped_early and .training.steps < 400' record.json)" true
is "held-out files are data sets of the run" "$(sql "select count(*) from datasets where role = 'validation' and run = (select n from runs order by seq desc limit 1)")" 1

config "data: data/pairs.jsonl" "objective: dpo" "beta: 0.5" "max_steps: 10" "learning_rate: 1e-4"
run "preferences"
is "the first loss is ln 2" "$(jq '.training.first_loss - 0.693147 | fabs < 1e-4' record.json)" true
is "and falls" "$(jq '.training.last_loss < .training.first_loss' record.json)" true
head -n 4 data/pairs.jsonl >data/held.jsonl
config "data: data/pairs.jsonl" "objective: dpo" "max_steps: 10" "learning_rate: 1e-4" "validation: data/held.jsonl" "eval_every: 5"
run "preferences with held-out ones"
is "two losses, of preferences" "$(jq -c '.training.validation | [length, (map(.[1] > 0 and .[1] < 0.7) | all)]' record.json)" '[2,true]'
config "data: data/pairs.jsonl" "objective: dpo" "max_steps: 2" "validation: data/val.jsonl"
check "held-out texts are no preferences" 65 assay run
config "data: data/train.jsonl" "objective: dpo" "max_steps: 2"
check "texts are no preferences" 65 assay run
has "are no preferences"
config "data: data/pairs.jsonl" "max_steps: 2"
check "preferences are no texts" 65 assay run
has "objective: dpo learns from preferences"
config "data: data/train.jsonl" "max_steps: 2" "max_length: 100"
check "longer than the context" 65 assay run
has "finetune.max_length is 100, and the model's context 64"

config "data: [{path: data/train.jsonl, weight: 0.5}, {path: data/val.jsonl, weight: 3}]" "epochs: 2" "gradient_checkpointing: true" "count: hf"
run "weighted files"
check "outside a run, too" 0 assay train models/sums --data data/train.jsonl --out "$TRASH/m" --set max_steps=2 --set method=lora --set rank=2 --set 'target_modules=[q_proj]'
is "LoRA on one module" "$(jq -c .target_modules "$TRASH/m/adapter/adapter_config.json")" '["q_proj"]'
mkdir bad && echo '{"peft_type":"IA3"}' >bad/adapter_config.json
check "an adapter of another kind" 65 assay train models/sums --data data/train.jsonl --out "$TRASH/none" --set adapter=bad
has "bad/adapter_config.json: peft_type"
hasnt ".assay-train"
[ ! -e "$TRASH/none" ] && ok "and no folder is left" || not_ok "and no folder is left"

echo '{"prompt":"1+1="}' | assay generate models/sums >"$OUT" && ok "generate fits a small model" || not_ok "generate fits a small model"
done_testing
