#!/usr/bin/env bash
# eval on a server at a named location: who is asked, what a secret does not do, and what a server that is not there gets.
# (Answers and misbehaviour: tests/unit/test_remote.c.)
. "$(dirname "$0")/lib.sh"
mkdir -p home evals
export ASSAY_HOME=$PWD/home TEAM_KEY=s3cret-of-this-test
unset ASSAY_OFFLINE
printf '{"q":"1+1=","a":"2"}\n' >evals/d.jsonl
cat >evals/t.yaml <<'END'
task: t
dataset_path: json
dataset_kwargs: {data_files: {test: d.jsonl}}
test_split: test
doc_to_text: q
doc_to_target: a
END
check "a name that is neither model nor location" 65 assay eval nowhere evals/t.yaml
has "no folder, no MODEL@ALIAS, and no location in"
cat >home/config.yaml <<'END'
locations:
  team: {url: "http://127.0.0.1:9/v1", model: m, key: TEAM_KEY, attempts: 1}
  bad: {url: "http://127.0.0.1:9/v1", model: m, key: sk-abcdef}
END
check "a server that is not there" 69 assay eval team evals/t.yaml
has "location team: no answer in 1 attempts"
has "run it again to go on"
grep -q "$TEAM_KEY" "$OUT" "$ERR" && not_ok "the secret is not shown" || ok "the secret is not shown"
check "a secret in the file is refused" 65 assay eval bad evals/t.yaml
has "config.yaml:3:"
grep -q sk-abcdef "$OUT" "$ERR" && not_ok "nor is that" || ok "nor is that"
check "offline" 69 env ASSAY_OFFLINE=1 "$ASSAY_TEST_BIN" eval team evals/t.yaml
has "ASSAY_OFFLINE is set"
check "without the secret" 69 env -u TEAM_KEY "$ASSAY_TEST_BIN" eval team evals/t.yaml
has "the variable TEAM_KEY, which holds its secret, is not set"
done_testing
