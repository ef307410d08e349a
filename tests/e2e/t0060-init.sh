#!/usr/bin/env bash
# assay init: each thing that it finds, on a small repository that has it; and what it writes passes assay plan.
. "$(dirname "$0")/lib.sh"

# fresh NAME [REMOTE]: an empty repository with one commit
fresh() {
	rm -rf "${TRASH:?}/$1" && git init -q "$TRASH/$1" && cd "$TRASH/$1" || exit 1
	echo "# $1" >README.md && git add -A && git commit -q -m "one"
	[ -z "${2:-}" ] || git remote add "${3:-origin}" "$2"
}
plans() { # NAME: what was written is committed, and plan has no complaint
	git add -A && git commit -q -m "assay: first configuration"
	check "$1: assay plan" 0 assay plan
}
config() { grep -qE -- "$1" assay.yaml && ok "assay.yaml: $1" || { cp assay.yaml "$OUT"; not_ok "assay.yaml: $1"; }; }
pairs() { for i in $(seq "$1" "$2"); do echo "{\"id\":\"s$i\",\"prompt\":\"$((i % 7)) and $((i % 5)) is\",\"completion\":\" $((i % 7 + i % 5))\"}"; done; }

# ---- a model to be found: a run's, as a folder; and in a cache of the hub's ----
tiny_repo "$TRASH/maker"
check "a model for the others" 0 assay run
check "as a folder" 0 assay artifact export sums@v1 "$TRASH/model"
export HF_HOME=$TRASH/hf
oid=0123456789abcdef0123456789abcdef01234567 m=$HF_HOME/hub/models--team--sums
mkdir -p "$m/blobs" "$m/refs" "$m/snapshots/$oid"
printf %s "$oid" >"$m/refs/main"
for file in "$TRASH"/model/*; do
	case $file in
	*.safetensors) name=$(sha256sum <"$file" | cut -c1-64) ;;
	*) name=$(git hash-object "$file") ;;
	esac
	cp "$file" "$m/blobs/$name" && ln -s "../../blobs/$name" "$m/snapshots/$oid/${file##*/}"
done

# ---- nothing: the clock, and the forge by the remote ----
fresh nothing https://github.com/team/nothing.git upstream
check "nothing is there" 0 assay init
has "forge     github, by the remote's URL"
[ -f .github/workflows/assay.yml ] && ok "GitHub's file" || not_ok "GitHub's file"
config "clock.exact_match: .min: 0.90, max_drop"
plans "nothing"
sed -i 's/model: nothing/model: mine/' assay.yaml
check "again" 0 assay init
has "kept     assay.yaml"
config "model: mine"
has "kept     .github/workflows/assay.yml"

fresh trunk git@gitlab.example.com:team/x.git
git branch -q -M trunk
check "GitLab, a branch of another name" 0 assay init
grep -q "assay run" .gitlab-ci.yml && ok "GitLab's file" || not_ok "GitLab's file"
config "^promote: .trunk: production"
plans "trunk"
fresh lab https://git.example.com/team/lab.git
printf 'build:\n  script: [make]\n' >.gitlab-ci.yml
check "a server without a name that says it: by its CI file" 0 assay init
has "forge     gitlab, .gitlab-ci.yml"
has "local: .gitlab/assay.gitlab-ci.yml"
is "which is kept" "$(cat .gitlab-ci.yml)" "$(printf 'build:\n  script: [make]\n')"
grep -q "assay run" .gitlab/assay.gitlab-ci.yml && ok "the job stands beside it" || not_ok "the job stands beside it"
fresh berg https://codeberg.org/team/berg.git && git branch -q -M devel
check "Forgejo" 0 assay init
grep -q "branches: \[devel\]" .forgejo/workflows/assay.yml && ok "Forgejo's file, of this branch" || not_ok "Forgejo's file, of this branch"
check "or as one says" 0 assay init --forge gitea
[ -f .gitea/workflows/assay.yml ] && ok "Gitea's file" || not_ok "Gitea's file"
check "one that nobody knows" 64 assay init --forge sourceforge

# ---- data: by names and by rows ----
fresh pairs
mkdir -p data
pairs 1 60 >data/train.jsonl && pairs 61 80 >data/valid.jsonl && pairs 81 110 >data/test.jsonl
echo '{"question":"Who?","answer":"Nobody."}' >data/faq.jsonl
printf 'a,b\n1,2\n' >data/table.csv
echo '{"prompt":1' >data/broken.jsonl
check "rows of prompt and completion" 0 assay init
config "data: \[data/train.jsonl\] .*prompt and completion"
config "validation: \[data/valid.jsonl\]"
config "heldout.exact_match: .min: 0, max_drop: "
grep -q 'test: data/test.jsonl' evals/heldout.yaml && ok "the test's rows are asked" || not_ok "the test's rows are asked"
has "jq -c '{prompt: .question, completion: .answer}'"
has "data/table.csv: rows of a, b"
has "data/broken.jsonl:"
has "no forge is known"
plans "pairs"
fresh texts
mkdir corpus && for i in $(seq 300); do echo "{\"text\":\"The $i. of many lines.\"}"; done >corpus/all.jsonl
check "texts, and nothing held out" 0 assay init
config "heldout.bits_per_byte: .max: 16, max_increase: 3%"
is "a hundred are copied" "$(wc -l <evals/heldout.jsonl)" 100
plans "texts"
has "of 100 documents stand in the training data" "and plan says that they were trained on"

# ---- a base, tasks of the harness, an adapter ----
fresh tasks
mkdir -p models data lm_eval/tasks adapters/a adapters/old
cp -r "$TRASH/model" models/smol
pairs 1 60 >data/train.jsonl && pairs 81 110 >lm_eval/docs.jsonl
cat >lm_eval/tasks/_base.yaml <<'Y'
dataset_path: json
dataset_kwargs: {data_files: {test: lm_eval/docs.jsonl}}
test_split: test
doc_to_text: "{{prompt}}"
doc_to_target: "{{completion}}"
Y
printf 'include: _base.yaml\ntask: written\noutput_type: generate_until\nmetric_list: [{metric: exact_match}]\n' >lm_eval/tasks/written.yaml
printf 'include: _base.yaml\ntask: likely\noutput_type: loglikelihood\nmetric_list: [{metric: perplexity}]\n' >lm_eval/tasks/likely.yaml
printf 'include: _base.yaml\ntask: python\nprocess_docs: !function utils.f\noutput_type: generate_until\n' >lm_eval/tasks/python.yaml
printf 'task: [install]\nhosts: all\n' >playbook.yml
echo '{"peft_type":"LORA","base_model_name_or_path":"models/smol","r":8}' >adapters/a/adapter_config.json
echo '{"peft_type":"IA3"}' >adapters/old/adapter_config.json
echo '{"name":"webapp","version":1}' >config.json
check "tasks, a base, an adapter" 0 assay init
config "^base: models/smol"
config "suites: \[lm_eval/tasks/likely.yaml, lm_eval/tasks/written.yaml\]"
config "written.exact_match: .min: 0, max_drop"
config "likely.perplexity: .max: 1e6, max_increase: 3%"
config "adapter: adapters/a"
has "lm_eval/tasks/python.yaml:"
has "an adapter of type IA3"
hasnt "playbook.yml"
[ ! -e evals ] && ok "no suite is made beside them" || not_ok "no suite is made beside them"
plans "tasks"
rm -rf data adapters lm_eval assay.yaml && git add -A && git commit -q -m "the base alone"
check "a base and nothing to ask" 0 assay init
config "# finetune: "
plans "a base alone"

# ---- DVC ----
fresh dvc git@github.com:team/dvc.git
mkdir -p data .dvc/cache/files/md5
pairs 1 60 >rows && md5=$(md5sum <rows | cut -c1-32) && mkdir -p ".dvc/cache/files/md5/${md5:0:2}"
mv rows ".dvc/cache/files/md5/${md5:0:2}/${md5:2}"
printf 'outs:\n- md5: %s\n  size: 1\n  hash: md5\n  path: train.jsonl\n' "$md5" >data/train.jsonl.dvc
printf 'outs:\n- md5: %s\n  size: 1\n  hash: md5\n  path: gone.jsonl\n' "${md5:1}0" >data/gone.jsonl.dvc
printf '/train.jsonl\n/gone.jsonl\n' >data/.gitignore && printf '/cache\n' >.dvc/.gitignore
check "data by DVC" 0 assay init
has "dvc       data/train.jsonl, by data/train.jsonl.dvc"
has "dvc fetch data/gone.jsonl.dvc"
config "data: \[data/train.jsonl\]"
grep -q "dvc pull" .github/workflows/assay.yml && ok "CI fetches them" || not_ok "CI fetches them"
plans "dvc"

# ---- a trainer in Python ----
fresh trainer
mkdir -p data src && pairs 1 60 >data/train.jsonl && pairs 81 110 >data/test.jsonl
cat >src/train.py <<'P'
import torch, shared
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments
model = AutoModelForCausalLM.from_pretrained("team/sums")
Trainer(model, TrainingArguments(output_dir="runs/latest")).train()
model.save_pretrained("runs/latest")
P
echo 'x = 1' >src/shared.py && echo torch >requirements.txt && cp src/train.py src/test_train.py
check "a trainer" 0 assay init
has "trainer   src/train.py, which writes runs/latest"
config "base: .hf:team/sums@$oid"
config "command: \[python3, src/train.py\]"
config "inputs: \[src/train.py, requirements.txt, src/shared.py, src/test_train.py, data/train.jsonl\]"
config "output: runs/latest"
config "^sandbox: auto"
plans "trainer"
rm assay.yaml && sed -i 's|team/sums|team/other|' src/train.py && git add -A && git commit -q -m "another base"
check "a trainer on what the cache has not" 0 assay init
has "hf download team/other"
config "^finetune:"
plans "without the trainer"

# ---- names and files of strangers ----
fresh strange
mkdir -p data evals 'dir "q"'
pairs 1 40 >"dir \"q\"/train: [x].jsonl"
pairs 41 60 >"data/$(printf 'test\nsuites: [evil.yaml]\033[31m').jsonl"
echo '{"text":1}' >"data/$(printf 'odd\nmodel: evil\033[31m').jsonl"
printf 'suite: x\ntasks: [%s]\n' "$(head -c 200000 /dev/zero | tr '\0' '[')" >evals/deep.yaml
printf 'task: up\ndataset_path: json\ndataset_kwargs: {data_files: {test: ../../etc/passwd}}\n' >evals/up.yaml
ln -s /etc/passwd data/link.jsonl
echo '{"model_type":"llama","hidden_size":-5}' >evals/config.json
check "hostile names and files" 0 assay init
grep -q "$(printf '\033')" "$OUT" assay.yaml && not_ok "no control byte is printed or written" || ok "no control byte is printed or written"
config "^model: strange"
is "and no line of theirs" "$(grep -cE '^(model|suites):' assay.yaml)" 2
plans "strange"
git init -q --bare "$TRASH/bare" && cd "$TRASH/bare" || exit 1
check "a bare repository" 65 assay init
done_testing
