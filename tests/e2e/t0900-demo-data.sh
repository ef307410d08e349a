#!/usr/bin/env bash
# The demo's data: what is asked was never trained on, and the files are what the README says they are.
. "$(dirname "$0")/lib.sh"
DATA=$HERE/../../ci/demo/data

# iso FILE…: every ISO date that is an answer, sorted; the last line of a whole text, the right one of the choices.
iso() { cat "$@" | jq -r 'if .choices then .choices[.answer] else (.completion // (.text | split("\n")[-1])) end' | sort -u; }
# written FILE…: every date as written, without case
written() { cat "$@" | jq -r '.prompt // .text | split("\n")[0] | ascii_downcase' | sort -u; }
# both FUNCTION DIR: what stands in DIR/train and in DIR/test
both() { comm -12 <("$1" "$2"/train/*.jsonl) <("$1" "$2"/test/*.jsonl); }

check "every line is JSON" 0 jq -e . "$DATA"/train/*.jsonl "$DATA"/test/*.jsonl
is "twenty languages" "$(ls "$DATA"/train | wc -l)" 20
iso "$DATA"/*/*.jsonl >dates
check "every answer is a date that exists" 0 bash -c 'date -u -f dates +%F | cmp - dates'
is "every line begins with its file's language" "$(for f in "$DATA"/train/*.jsonl; do
	jq -r '.prompt // .text' "$f" | grep ': ' | grep -v "^$(basename "$f" .jsonl): "
done | head -n 3)" ""
is "a choice has its answer once" "$(jq -r 'select((.choices | length) != 4 or (.choices | unique | length) != 4) | .id' \
	"$DATA/test/choice.jsonl")" ""
is "no id comes twice in a file" "$(for f in "$DATA"/test/*.jsonl; do jq -r .id "$f" | sort | uniq -d; done)" ""

[ "$(iso "$DATA"/train/*.jsonl | wc -l)" -gt 1000 ] && ok "there are dates to compare" || not_ok "there are dates to compare"
is "no date of a question is in the training data, in whatever language" "$(both iso "$DATA" | head -n 3)" ""
is "no written date of a question is in the training data" "$(both written "$DATA" | head -n 3)" ""
is "no written date has two meanings" "$(cat "$DATA"/train/*.jsonl "$DATA"/test/??*.jsonl |
	jq -r 'select(.choices | not) | if .text then .text | split("\n") else [(.prompt | rtrimstr("\n")), .completion] end | @tsv' |
	sort -u | cut -f1 | uniq -d | head -n 3)" ""

# and the comparison would notice
mkdir -p leak/train leak/test
cp "$DATA"/train/fr.jsonl leak/train/
cp "$DATA"/test/romance.jsonl leak/test/
is "a copy of both is disjoint, too" "$(both iso leak)" ""
question=$(jq -c 'select(.id == "es-03")' leak/test/romance.jsonl)
printf '%s\n' "$question" | jq -c 'del(.id)' >>leak/train/fr.jsonl
is "a question that got into the training data is found" "$(both iso leak)" "$(jq -r .completion <<<"$question")"
is "by its text as well" "$(both written leak | wc -l)" 1

# what the demo's files name is there
for f in $(cat "$HERE"/../../ci/demo/repo/assay.yaml "$HERE"/../../ci/demo/more-languages/assay.yaml \
	"$HERE"/../../ci/demo/repo/evals/*.yaml | grep -o 'data/[a-z]*/[a-z]*\.jsonl' | sort -u); do
	[ -s "$DATA/${f#data/}" ] || echo "$f"
done >missing
is "every file that the demo names is there" "$(cat missing)" ""
done_testing
