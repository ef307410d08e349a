#!/usr/bin/env bash
# Data in other formats than JSONL: the same rows give the same training, the same questions and the same scores.
. "$(dirname "$0")/lib.sh"
ROWS=$(cd "$HERE/../golden/rows" && pwd)
tiny_repo repo
assay run >/dev/null 2>&1
M=sums@v1
{
	echo "prompt,completion"
	jq -r '[.prompt, .completion] | join(",")' data/train.jsonl
} >"$TRASH/train.csv"
gzip -c data/train.jsonl >"$TRASH/train.jsonl.gz"
mkdir "$TRASH/in" && cp data/train.jsonl "$TRASH/in/"
tar -czf "$TRASH/train.tar.gz" -C "$TRASH/in" train.jsonl
train() { assay train $M --data "$1" --out "$TRASH/$2" --set max_steps=2 --set batch_tokens=64; }
check "training on JSONL" 0 train data/train.jsonl m0
for f in train.jsonl.gz train.tar.gz; do
	check "training on $f" 0 train "$TRASH/$f" "m-$f"
	cmp -s "$TRASH/m0/model.safetensors" "$TRASH/m-$f/model.safetensors" && ok "$f: the same model" || not_ok "$f: the same model"
done
# the same rows as a file of an archive; the archive and the file's name are what the model is keyed by
cp data/train.jsonl "$TRASH/in/other.jsonl" && echo '{"prompt":"9+9=","completion":"18"}' >>"$TRASH/in/other.jsonl"
python3 -c 'import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w", zipfile.ZIP_DEFLATED) as z:
    for n in ("train.jsonl", "other.jsonl"): z.write(sys.argv[2] + "/" + n, "in/" + n)' data/all.zip "$TRASH/in" 2>/dev/null ||
	(cd "$TRASH" && tar -czf repo/data/all.tgz in/train.jsonl in/other.jsonl)
A=$(ls data/all.*)
check "training on a file of an archive" 0 train "$A/in/train.jsonl" m-member
cmp -s "$TRASH/m0/model.safetensors" "$TRASH/m-member/model.safetensors" && ok "a member: the same model" || not_ok "a member: the same model"
check "one that is not in it" 65 train "$A/in/none.jsonl" m-none
has "there is no file \"in/none.jsonl\" in it (there is: in/train.jsonl, in/other.jsonl)"
check "an archive of two, unnamed" 65 train "$A" m-none
has "an archive of 2 files"
check "a tokenizer of one of them" 0 assay tokenizer train "$A/in/train.jsonl" --vocab-size 260 --out "$TRASH/t.json"
cp assay.yaml "$TRASH/assay.yaml"
sed -i "s|data/train.jsonl|$A/in/train.jsonl|" assay.yaml && commit_all "the data is in an archive"
check "a run on it" 0 assay run --json
is "trains" "$(jq -r '.steps[]|select(.name=="train").status' "$OUT")" "done"
is "names archive and file" "$(sql "select path, rows from datasets order by rowid desc limit 1")" "$A/in/train.jsonl|25"
sed -i "s|in/train.jsonl\]|in/other.jsonl]|; s|data: .*in/train.jsonl|data: $A/in/other.jsonl|" assay.yaml && commit_all "another file of the same archive"
check "a run on another file of it" 0 assay run --json
is "is another training" "$(jq -r '.steps[]|select(.name=="train").status' "$OUT") $(sql "select rows from datasets order by rowid desc limit 1")" "done 26"
mkdir "$TRASH/evil" && ln -s /etc/passwd "$TRASH/evil/p.jsonl" && cp data/train.jsonl "$TRASH/evil/a.jsonl"
tar -cf evil.tar -C "$TRASH/evil" p.jsonl a.jsonl && tar -rf evil.tar -C "$TRASH/evil" a.jsonl
check "a link in an archive" 65 train evil.tar/p.jsonl m-none
has "evil.tar/p.jsonl: \"p.jsonl\" in it is a link, and links are not followed"
check "a file that is there twice" 65 train evil.tar/a.jsonl m-none
has "is there twice"
tar -Pcf evil.tar --transform 's|.*|../../a.jsonl|' "$TRASH/evil/a.jsonl"
check "a file that climbs out" 65 train evil.tar m-none
has "leads out of the archive"
rm -f evil.tar && cp "$TRASH/assay.yaml" assay.yaml && commit_all "as before"
# completions are whole numbers here, and the trainer wants texts
check "a column of numbers is no text" 65 train "$TRASH/train.csv" m1
has "train.csv:2: \"prompt\" and \"completion\" must be strings"
sed -i 's/,\([0-9]\)$/,=\1/' "$TRASH/train.csv"
check "training on CSV" 0 train "$TRASH/train.csv" m2
check "Parquet without the right columns" 65 train "$ROWS/gzip.parquet" m3
has "gzip.parquet:"

jq -c '{id, prompt, completion: (.completion | tonumber)}' evals/sums.jsonl >evals/n.jsonl
{
	echo "id,prompt,completion"
	jq -r '[.id, .prompt, .completion] | @csv' evals/sums.jsonl
} >evals/sums.csv
(cd evals && cp n.jsonl a.jsonl && cp sums.csv b.csv && tar -cf two.tar a.jsonl b.csv && gzip -k sums.csv)
assay eval $M evals/sums.yaml --samples "$TRASH/s0" >/dev/null 2>"$OUT"
for f in n.jsonl sums.csv sums.csv.gz two.tar/a.jsonl two.tar/b.csv; do
	sed "s|test: sums.jsonl|test: $f|" evals/sums.yaml >evals/other.yaml
	check "questions in $f" 0 assay eval $M evals/other.yaml --samples "$TRASH/s1"
	is "$f: the same samples" "$(jq -c '[.id, .prompt, .target, .response]' "$TRASH/s1")" "$(jq -c '[.id, .prompt, .target, .response]' "$TRASH/s0")"
done
jq -s '{version: 1, data: .}' evals/sums.jsonl >evals/field.json
sed "s|{test: sums.jsonl}|{test: field.json}, field: data|" evals/sums.yaml >evals/other.yaml
check "questions in a member of a JSON file" 0 assay eval $M evals/other.yaml --samples "$TRASH/s1"
is "field: the same samples" "$(jq -c '[.id, .prompt, .target, .response]' "$TRASH/s1")" "$(jq -c '[.id, .prompt, .target, .response]' "$TRASH/s0")"
mkdir evals/parts && split -l 3 -d evals/sums.jsonl evals/parts/p && for f in evals/parts/p*; do mv "$f" "$f.jsonl"; done
sed "s|test: sums.jsonl|test: 'parts/p*.jsonl'|" evals/sums.yaml >evals/other.yaml
check "questions in the files of a pattern" 0 assay eval $M evals/other.yaml --samples "$TRASH/s1"
is "pattern: the same samples" "$(jq -c '[.id, .prompt, .target, .response]' "$TRASH/s1")" "$(jq -c '[.id, .prompt, .target, .response]' "$TRASH/s0")"
tr ',' ';' <evals/sums.csv >evals/sums.txt
sed "s|path: json|path: csv|; s|{test: sums.jsonl}|{test: sums.txt}, sep: ';'|" evals/sums.yaml >evals/other.yaml
check "questions in a CSV file of another name and separator" 0 assay eval $M evals/other.yaml --samples "$TRASH/s1"
is "sep: the same samples" "$(jq -c '[.id, .prompt, .target, .response]' "$TRASH/s1")" "$(jq -c '[.id, .prompt, .target, .response]' "$TRASH/s0")"
sed "s|{test: sums.jsonl}|{test: sums.txt}, sep: ';;'|" evals/sums.yaml >evals/other.yaml
check "a separator of two characters" 65 assay eval $M evals/other.yaml
has "sep must be one of"
sed "s|test: sums.jsonl|test: two.tar|" evals/sums.yaml >evals/other.yaml
check "an archive of two files" 65 assay eval $M evals/other.yaml
has "evals/two.tar: an archive of 2 files: a.jsonl, b.csv"
has "ARCHIVE/MEMBER"
for f in hf.parquet hf.arrow; do
	cp "$ROWS/$f" evals/
	sed "s|test: sums.jsonl|test: $f|; s|{{prompt}}|{{label}}.{{choices.text[1]}}|; s|{{completion}}|{{choices.label[0]}}|" evals/sums.yaml >evals/other.yaml
	check "questions in $f" 0 assay eval $M evals/other.yaml --samples "$TRASH/s1"
	is "$f: columns, lists and structs reach the template" "$(jq -r '.prompt // empty' "$TRASH/s1" | tr '\n' ' ')" "0.b 1.b 2.b 1.b 0.b "
done
head -c 500 evals/hf.parquet >evals/cut.parquet
sed "s|test: sums.jsonl|test: cut.parquet|" evals/sums.yaml >evals/other.yaml
check "half a Parquet file" 65 assay eval $M evals/other.yaml
has "evals/cut.parquet: a damaged Parquet file: it is cut off"
done_testing
