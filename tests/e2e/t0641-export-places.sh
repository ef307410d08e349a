#!/usr/bin/env bash
# Where an export goes: a link that leads to nothing is refused in every form; and what lies in bad/ is in no export.
. "$(dirname "$0")/lib.sh"
tiny_repo repo
sed -i 's/max_steps: 250/max_steps: 20/; s/min: 0.5, //' assay.yaml && commit_all "tiny: quick"
assay run >/dev/null 2>&1
WEIGHTS=$(sql "select object from versions where number = 1")
X=$TRASH/x
mkdir "$X" "$X/else"
forms=(dir tar.zst oci gguf triton)

# refused NAME LINK COMMAND…: the link stays one, nothing comes to be behind it, and nothing is left beside it
refused() {
	_name=$1 _link=$2
	shift 2
	check "$_name" 65 "$@"
	has "$_link is a link that leads to nothing"
	has "remove the link, or name what is to be made"
	hasnt "are not here"
	is "$_name: it is a link still" "$(readlink "$_link")" "$X/else/there"
	is "$_name: nothing else is there" "$(find "$X" -mindepth 1 | wc -l)" 2
	rm "$_link"
}
for form in "${forms[@]}"; do
	ln -s "$X/else/there" "$X/out"
	refused "$form: a link to nothing" "$X/out" assay artifact export sums@v1 "$X/out" --format "$form"
done
ln -s "$X/else/there" "$X/out"
refused "get: a link to nothing" "$X/out" assay artifact get "$WEIGHTS" "$X/out"
ln -s "$X/else/there" "$X/out.gguf"
assay artifact export sums@v1 "$TRASH/folder" >/dev/null
refused "a folder's GGUF: a link to nothing" "$X/out.gguf" assay artifact export "$TRASH/folder" "$X/out.gguf"
touch "$X/else/there" && ln -s "$X/else/there" "$X/out"
check "a link to a file is taken" 65 assay artifact export sums@v1 "$X/out" --format gguf
has "exists already"
is "and nothing is written there" "$(stat -c %s "$X/else/there")" 0
rm "$X/out" "$X/else/there"
ln -s "$X/else" "$X/folder"
check "beneath a link to a folder it is made" 0 assay artifact export sums@v1 "$X/folder/out"
[ -f "$X/else/out/config.json" ] && ok "where the link leads" || not_ok "where the link leads"
rm -r "$X/else/out" "$X/folder"

# A file of the folder that was found damaged: in bad/, so missing, in each form. The store is at fault, not the name: 74.
FILE=$(sha256sum "$TRASH/folder/model.safetensors" | cut -d ' ' -f 1)
O=.git/assay/objects/${FILE:0:2}/${FILE:2}
chmod u+w "$O" && printf X | dd of="$O" bs=1 seek=1000 conv=notrunc status=none
check "a damaged object is moved away" 74 assay artifact verify
[ -e ".git/assay/bad/objects.$FILE" ] && ok "it is in bad/" || not_ok "it is in bad/"
for form in "${forms[@]}"; do
	check "$form: what lies in bad/ is not exported" 74 assay artifact export sums@v1 "$X/out" --format "$form"
	has "the weights ${WEIGHTS:0:12} are not here: $FILE is not in the store: it was found damaged, and lies in "
	has "fix: assay artifact repair --from brings it back"
	is "$form: nothing is left" "$(ls -A "$X")" else
done
check "get: neither" 74 assay artifact get "$FILE" "$X/out"
has "$FILE is not in the store: it was found damaged, and lies in "
has "fix: assay artifact repair --from brings it back"
check "get: nor the folder" 74 assay artifact get "$WEIGHTS" "$X/out"
has "the weights ${WEIGHTS:0:12} are not here: $FILE is not in the store: it was found damaged, and lies in "
is "get: nothing is left" "$(ls -A "$X")" else
check "what heals it" 0 assay artifact add "$TRASH/folder/model.safetensors"
check "lets it be exported" 0 assay artifact export sums@v1 "$X/out"
check "byte for byte" 0 cmp "$X/out/model.safetensors" "$TRASH/folder/model.safetensors"
done_testing
