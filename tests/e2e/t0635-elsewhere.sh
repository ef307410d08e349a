#!/usr/bin/env bash
# t0635-elsewhere.sh  Inputs that a commit names and does not have: rows tracked by DVC, a base of the Hugging Face cache.
# Nothing is fetched; `dvc` and the hub's client are not needed.
. "$(dirname "$0")/lib.sh"
tiny_repo "$TRASH/repo"
check "a first model" 0 assay run
check "as a folder" 0 assay artifact export sums@v1 "$TRASH/folder"
plain=$(sql "select object from versions where number = 1")

# ---- the same rows by DVC: another name, and the same model ----
md5=$(md5sum <data/train.jsonl | cut -c1-32)
mkdir -p .dvc "$TRASH/cache/files/md5/${md5:0:2}"
printf '[cache]\n    dir = %s\n' "$TRASH/cache" >.dvc/config.local
mv data/train.jsonl "$TRASH/cache/files/md5/${md5:0:2}/${md5:2}"
git rm -q --cached data/train.jsonl
printf 'outs:\n- md5: %s\n  size: 1\n  hash: md5\n  path: train.jsonl\n' "$md5" >data/train.jsonl.dvc
printf 'config.local\n' >.dvc/.gitignore
commit_all "rows by DVC"
check "rows in DVC's cache" 0 assay run --json
is "train the same model" "$(jq -r '.version.object' "$OUT")" "$plain"
check "plan" 0 assay plan
mv "$TRASH/cache" "$TRASH/away"
sed -i 's/seed: 1/seed: 2/' assay.yaml && commit_all "to be trained again"
check "an object that is not here" 65 assay run
has "data/train.jsonl is tracked by DVC"
has "dvc fetch data/train.jsonl.dvc"
mv "$TRASH/away" "$TRASH/cache"
chmod u+w "$TRASH/cache/files/md5/${md5:0:2}/${md5:2}" && echo '{"prompt":"x","completion":"y"}' >>"$TRASH/cache/files/md5/${md5:0:2}/${md5:2}"
check "an object that is another" 65 assay run
has "is damaged"
sed -i '$d' "$TRASH/cache/files/md5/${md5:0:2}/${md5:2}"

# ---- a base of the hub ----
oid=0123456789abcdef0123456789abcdef01234567
export HF_HOME=$TRASH/hf
m=$HF_HOME/hub/models--team--sums
mkdir -p "$m/blobs" "$m/refs" "$m/snapshots/$oid"
printf %s "$oid" >"$m/refs/main"
for file in "$TRASH"/folder/*; do
	case $file in
	*.safetensors) name=$(sha256sum <"$file" | cut -c1-64) ;;
	*) name=$(git hash-object "$file") ;;
	esac
	cp "$file" "$m/blobs/$name"
	ln -s "../../blobs/$name" "$m/snapshots/$oid/${file##*/}"
done
git checkout -q -b hub
python3 - <<-P
	import re
	text = open("assay.yaml").read()
	text = re.sub(r"base:\n(  .*\n)+?finetune:", "base: hf:team/sums@main\nfinetune:", text)
	open("assay.yaml", "w").write(text.replace("max_steps: 250", "max_steps: 5"))
P
commit_all "from the hub's cache"
check "fine-tuned from the cache" 0 assay run
has "hf:team/sums@main is commit $oid"
check "again" 0 assay run --json
is "nothing is trained again" "$(jq -r '.steps[] | select(.name == "train") | .status' "$OUT")" reused
sed -i '/^finetune:/,/^suites:/{/^suites:/!d}; s/@main/@'$oid'/' assay.yaml
commit_all "as it is"
check "judged as it is" 0 assay run --json
is "it is the model of the first version" "$(jq -r '.steps[] | select(.name == "train") | .status' "$OUT")" "done"

# ---- a trainer of one's own on each kind of base: ASSAY_BASE is its folder ----
printf '#!/bin/sh\necho "base: $ASSAY_BASE"\nmkdir out && cp "$ASSAY_BASE"/* out/ && : >>out/README\n' >train.sh
echo 'finetune: {command: [sh, train.sh], inputs: [train.sh], output: out/}' >>assay.yaml
sandboxes="external landlock"
! bwrap --unshare-all --ro-bind / / true 2>/dev/null || sandboxes="external landlock bubblewrap"
git checkout -q -b command
for sandbox in $sandboxes; do
	for base in "hf:team/sums@$oid" sums@v1 models/base; do
		[ "$base" != models/base ] || { mkdir -p models && cp -r "$TRASH/folder" models/base && sed -i 's/inputs: \[/inputs: [models, /' assay.yaml; }
		sed -i "/^sandbox:/d; s|^base: .*|base: $base|" assay.yaml
		echo "sandbox: $sandbox" >>assay.yaml
		echo "# $sandbox $base" >>train.sh && commit_all "a trainer on $base, $sandbox"
		check "a command on $base ($sandbox)" 0 assay run
	done
	rm -rf models && sed -i 's/inputs: \[models, /inputs: [/' assay.yaml
done
[ "$sandboxes" != "external landlock" ] || skip "a command on a base (bubblewrap)" "bubblewrap does not work on this machine"
printf '#!/bin/sh\necho x >>"$ASSAY_BASE/config.json" && exit 4\nexit 7\n' >train.sh
sed -i "s|^base: .*|base: hf:team/sums@$oid|" assay.yaml && commit_all "writes to its base"
check "the base is to be read" 65 assay run
[ "$sandbox" = bubblewrap ] && has "exit code 7"
git checkout -q hub && git reset -q --hard
sed -i "s/@$oid/@v2/" assay.yaml && commit_all "a revision that was never fetched"
check "a revision that is not here" 65 assay run
has "hf download team/sums --revision v2"
sed -i "s/@v2/@$oid/" assay.yaml
rm "$m/snapshots/$oid/config.json" && ln -s /etc/passwd "$m/snapshots/$oid/config.json"
commit_all "a cache that somebody else wrote to"
check "a link that leaves the cache" 65 assay run
has "leaves the model's own cache"
done_testing
