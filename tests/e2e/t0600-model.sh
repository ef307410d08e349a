#!/usr/bin/env bash
# score, generate, tokenize, train, eval: lines in, lines out, the same for every batch and thread count.
. "$(dirname "$0")/lib.sh"
tiny_repo repo
assay run >/dev/null 2>&1
M=sums@v1
printf '1+2=3' | assay tokenize $M >ids 2>"$OUT"
is "tokenize prints one array" "$(jq 'type' ids)" '"array"'
is "and back" "$(assay tokenize $M --decode <ids)" "1+2=3"
printf 'a\xffb' | assay tokenize $M >/dev/null 2>&1 && ok "invalid UTF-8 is read as U+FFFD" || not_ok "invalid UTF-8 is read as U+FFFD"
printf 'ab\xffb' >bad
check "--strict refuses it" 65 bash -c '"$ASSAY_TEST_BIN" tokenize sums@v1 --strict <bad'
has "byte 2"
is "an empty input is an empty array" "$(assay tokenize $M --no-special </dev/null)" "[]"
is "--lines: an empty line is an empty array" "$(printf '\n\n' | assay tokenize $M --no-special --lines | tr -d '\n')" "[][]"
is "--decode --lines: what is no array is named by its line" \
	"$(printf '[1]\n[x]\n' | assay tokenize $M --decode --lines 2>&1 >/dev/null | grep -o 'standard input:2:')" "standard input:2:"
is "--lines: one array a line" "$(printf 'a\nb\n' | assay tokenize $M --lines | wc -l)" 2

for i in $(seq 1 30); do echo "{\"id\":$i,\"context\":\"$((i % 5))+$((i % 3))=\",\"continuation\":\"$((i % 7))\"}"; done >reqs
echo '{"id":"r","text":"1+2=3 and more text that rolls"}' >>reqs
assay score $M --batch-tokens 8 <reqs >s1 2>"$OUT"
assay score $M --batch-tokens 4096 --threads 1 <reqs >s2 2>>"$OUT"
tac reqs | assay score $M --batch-tokens 64 2>>"$OUT" | tac >s3
is "31 answers" "$(wc -l <s1)" 31
cmp -s s1 s2 && cmp -s s1 s3 && ok "scores do not depend on batch, threads or order: same bytes" || not_ok "scores do not depend on batch, threads or order: same bytes"
is "a rolling request has no greedy" "$(tail -n 1 s1 | jq 'has("greedy")')" false
is "tokens are counted" "$(head -n 1 s1 | jq .tokens)" 1
for i in $(seq 1 20); do echo "{\"id\":$i,\"prompt\":\"$((i % 5))+$((i % 4))=\"}"; done >prompts
assay generate $M --max-tokens 6 --batch-tokens 8 <prompts >g1 2>"$OUT"
assay generate $M --max-tokens 6 --threads 1 <prompts >g2 2>>"$OUT"
cmp -s g1 g2 && [ "$(wc -l <g1)" = 20 ] && ok "generation does not depend on batch or threads" || not_ok "generation does not depend on batch or threads"
is "it ends by the end-of-text token" "$(jq -r .finish g1 | sort -u)" eos
head -c 400 /dev/zero | tr '\0' 1 | sed 's/.*/{"id":1,"context":"&","continuation":"2"}/' >long
check "a context that is too long is cut, as in the harness" 0 bash -c '"$ASSAY_TEST_BIN" score sums@v1 <long'
has '"cut":'
has "1 of 1 contexts are longer than the"
check "a line that is no request" 65 bash -c 'echo "{\"id\":1}" | "$ASSAY_TEST_BIN" score sums@v1'
has "standard input:1:"
check "a model that is not there" 65 assay score no/such/folder
check "a version that is not there" 65 assay score sums@v9
has "assay models"
check "an empty context and a continuation" 0 bash -c 'echo "{\"id\":1,\"context\":\"\",\"continuation\":\"1\"}" | "$ASSAY_TEST_BIN" score sums@v1'

check "eval prints the contract" 0 assay eval $M evals/sums.yaml --samples "$TRASH/samples"
is "suite" "$(jq -r .suite "$OUT")" sums
is "n" "$(jq -r '.tasks.sums.exact_match.n // .tasks.sums."exact_match,none".n' "$OUT")" 8
check "files of samples are judged, with their questions" 0 assay gate "$TRASH/samples" "$TRASH/samples" --max-drop 0.1 --json
is "as the task's own metric" "$(jq -r '.verdict + " " + .rules[0].rule' "$OUT")" "PASS sums.exact_match: max_drop 0.1"
# a task that names a data set, from a folder of such folders
mkdir -p "$TRASH/hub/org/sums/small"
cat >"$TRASH/named.yaml" <<'END'
task: named
dataset_path: org/sums
dataset_name: small
test_split: test
doc_to_text: "{{prompt}}"
doc_to_target: completion
generation_kwargs: {max_gen_toks: 4}
END
printf '{"prompt":"1+1=","completion":"2"}\n' >"$TRASH/hub/org/sums/small/test.jsonl"
check "a data set by name" 0 assay eval $M "$TRASH/named.yaml" --datasets "$TRASH/hub"
is "its samples" "$(jq -r '.tasks.named.exact_match.n' "$OUT")" 1
check "a data set that is not there" 65 assay eval $M "$TRASH/named.yaml"
has "the data set org/sums is not here"
check "a folder that is not there" 65 assay eval $M "$TRASH/named.yaml" --datasets "$TRASH/none"
has "there is no folder"
cp "$TRASH/named.yaml" evals/named.yaml
mkdir -p data/hub && cp -r "$TRASH/hub/org" data/hub/
printf 'datasets: data/hub\nsuites: [evals/sums.yaml, evals/named.yaml]\n' >"$TRASH/more"
cp assay.yaml "$TRASH/assay.old"
grep -v '^suites:' "$TRASH/assay.old" | cat - "$TRASH/more" >assay.yaml
git add -A && git commit -q -m "a data set by name"
check "a data set in the tree" 0 assay plan --json
is "its samples are planned" "$(jq -r '[.suites[] | select(.suite == "named") | .samples] | first' "$OUT")" 1
git reset -q --hard HEAD~1
check "train outside a run" 0 assay train $M --data data/train.jsonl --out "$TRASH/m2" --set max_steps=3 --set batch_tokens=64
[ -s "$TRASH/m2/model.safetensors" ] && ok "it writes a folder" || not_ok "it writes a folder"
check "the folder is a model" 0 assay eval "$TRASH/m2" evals/sums.yaml
c=$(echo '{"prompt":"1+1="}' | assay generate "$TRASH/m2" --max-tokens 1 2>"$OUT" | jq -r .text)
cp -r "$TRASH/m2" "$TRASH/m2-nul" # what it answers is the byte 0 in this tokenizer ("Ā" stands for it)
jq --arg c "$c" '.model.vocab as $v | .model.vocab[$c] = $v["Ā"] | .model.vocab["Ā"] = $v[$c]' "$TRASH/m2/tokenizer.json" >"$TRASH/m2-nul/tokenizer.json"
is "a NUL in what is generated is written" "$(echo '{"prompt":"1+1="}' | assay generate "$TRASH/m2-nul" --max-tokens 1 2>"$OUT" | jq -c .text)" '"\u0000"'
check "train again" 0 assay train $M --data data/train.jsonl --out "$TRASH/m3" --threads 1 --set max_steps=3 --set batch_tokens=64
cmp -s "$TRASH/m2/model.safetensors" "$TRASH/m3/model.safetensors" && ok "same bytes with another thread count" || not_ok "same bytes with another thread count"
check "an unknown --set" 65 assay train $M --data data/train.jsonl --out "$TRASH/m4" --set lerning_rate=1
has "learning_rate"
check "tokenizer train" 0 assay tokenizer train data/train.jsonl --vocab-size 270 --out "$TRASH/tok.json"
is "it tokenizes" "$(printf '1' | assay tokenize "$TRASH/tok.json" | jq length)" 1
done_testing
