#!/usr/bin/env bash
# Chat templates: messages as prompts, as training data, and suites that ask through the template.
. "$(dirname "$0")/lib.sh"
tiny_repo repo
check "a model" 0 assay run
check "exported" 0 assay artifact export sums@v1 models/sums
chmod -R u+w models

check "messages without a template are refused" 65 sh -c 'echo "{\"id\":1,\"messages\":[{\"role\":\"user\",\"content\":\"1+2=\"}]}" | "$ASSAY_TEST_BIN" generate models/sums'
has "standard input:1: the model has no chat template for messages"
# shellcheck disable=SC2016 # Jinja, not shell
echo '{% for m in messages %}{% if m.role == "system" %}{{ raise_exception("no system here") }}{% endif %}{{ m.content | trim }}{% if m.role == "assistant" %}{{ eos_token }}{% endif %}{% endfor %}' >models/sums/chat_template.jinja
check "messages go through the template" 0 sh -c 'echo "{\"id\":1,\"messages\":[{\"role\":\"user\",\"content\":\"  1+2= \"}]}" | "$ASSAY_TEST_BIN" generate models/sums --max-tokens 4'
is "as the prompt would" "$(jq -r .text "$OUT")" "$(echo '{"prompt":"1+2="}' | assay generate models/sums --max-tokens 4 | jq -r .text)"
check "a prompt and messages are one too many" 65 sh -c 'echo "{\"prompt\":\"x\",\"messages\":[]}" | "$ASSAY_TEST_BIN" generate models/sums'
check "no messages are too few" 65 sh -c 'echo "{\"messages\":[]}" | "$ASSAY_TEST_BIN" generate models/sums'
has "at least one message"
check "what the template refuses is an error" 65 sh -c 'echo "{\"messages\":[{\"role\":\"system\",\"content\":\"x\"}]}" | "$ASSAY_TEST_BIN" generate models/sums'
has "no system here"

sed 's/^suite: sums/suite: chat\napply_chat_template: true/; s/doc_to_text: .*/doc_to_text: "  {{prompt}}  "/' evals/sums.yaml >evals/chat.yaml
sed 's/^apply_chat_template/system_instruction: Add.\napply_chat_template/' evals/chat.yaml >evals/system.yaml
plain=$(assay eval models/sums evals/sums.yaml | jq .tasks.sums.exact_match.value)
check "a suite asks through the template" 0 assay eval models/sums evals/chat.yaml --samples "$TRASH/samples"
is "and gets the same answers to the same texts" "$(jq .tasks.sums.exact_match.value "$OUT")" "$plain"
is "samples show what the model read" "$(jq -r 'select(.id == "1+2") | .prompt' "$TRASH/samples")" "1+2="
check "a template without a system's message is asked without one" 0 assay eval models/sums evals/system.yaml
has "takes no system message"
is "the scores are there" "$(jq .tasks.sums.exact_match.value "$OUT")" "$plain"

# a run: messages as data, a chat suite as the question
sed 's/{"prompt":"\(.*\)","completion":"\(.*\)"}/{"messages":[{"role":"user","content":"\1"},{"role":"assistant","content":"\2"}]}/' data/train.jsonl >data/chat.jsonl
cat >assay.yaml <<-Y
	model: chat
	base: models/sums
	finetune: {data: data/chat.jsonl, max_steps: 20, batch_tokens: 256, learning_rate: 1e-3}
	suites: [evals/chat.yaml]
	gate: {require: {sums.exact_match: {min: 0.5}}}
Y
commit_all "chat: messages"
check "a run on conversations" 0 assay run --json
is "passes" "$(jq -r .verdict "$OUT")" PASS
is "the template travels with the model" "$(assay artifact export chat@v1 out >/dev/null && cmp out/chat_template.jinja models/sums/chat_template.jinja && echo same)" same
is "questions in conversations are found" "$(sql "select value from metrics where metric = 'overlap' and run = (select n from runs order by seq desc limit 1)")" "1.0"
echo "Be brief." >prompt.txt && sed -i 's/^base/prompt: prompt.txt\nbase/' assay.yaml && commit_all "a prompt"
check "a product's prompt is not dropped in silence" 65 assay run
has "the product's prompt is the system's message"
rm models/sums/chat_template.jinja && sed -i 's/^prompt.*//; s#data/chat.jsonl#data/train.jsonl#' assay.yaml && commit_all "no template"
check "a chat suite needs a template" 65 assay run
has "the model has none"
done_testing
