#!/usr/bin/env bash
# A version taken out in every form; the OCI layout goes through a real registry and comes back as the same files.
. "$(dirname "$0")/lib.sh"
tiny_repo repo
assay run >/dev/null 2>&1
assay promote sums@v1 production --reason first >/dev/null
X=$TRASH/x
mkdir "$X"

check "a folder" 0 assay artifact export sums@production "$X/dir"
has "a Hugging Face folder"
check "the folder is a model" 0 assay eval "$X/dir" evals/sums.yaml
check "its files may be changed" 0 bash -c "echo >>'$X/dir/config.json'"
check "the store has not changed" 0 assay artifact verify
check "nothing is written over" 65 assay artifact export sums@production "$X/dir"
check "by links" 0 assay artifact export sums@v1 "$X/links" --link
is "they are the store's own" "$(find "$X/links" -type f -links 1 | wc -l)" 0

# exit code 1 is the verdict FAIL: a library that ends the program must not say that
echo 'extern void exit(int); int rename(const char *a, const char *b) { exit(1); }' >"$TRASH/ends.c"
# shellcheck disable=SC2086 # CC may be two words
${CC:-cc} -shared -fPIC -w -o "$TRASH/ends.so" "$TRASH/ends.c"
if nm "$ASSAY_TEST_BIN" 2>/dev/null | grep -q __asan_init; then
	skip "a library that gives up is an error" "the sanitizer wants to be the first library"
else
	check "a library that gives up is an error" 69 env LD_PRELOAD="$TRASH/ends.so" "$ASSAY_TEST_BIN" artifact export sums@production "$X/a.tar.zst"
	has "a library ended assay"
	is "and leaves no archive" "$(find "$X" -name 'a.tar.zst')" ""
fi

check "an archive" 0 assay artifact export sums@production "$X/a.tar.zst"
check "again, as format" 0 assay artifact export sums@v1 "$X/b" --format tar.zst
cmp -s "$X/a.tar.zst" "$X/b" && ok "the same bytes" || not_ok "the same bytes"
if command -v zstd >/dev/null 2>&1; then
	mkdir "$X/un" && zstd -dcq "$X/a.tar.zst" | tar -x -C "$X/un"
	diff -r "$X/un/sums-v1" "$X/links" >"$OUT" 2>"$ERR" && ok "tar reads the same files" || not_ok "tar reads the same files"
else
	skip "tar reads the same files" "zstd is not installed"
fi

check "Triton" 0 assay artifact export sums@v1 "$X/models" --format triton --mount /models
is "what vLLM is told" "$(jq -r .model "$X/models/sums/1/model.json")" /models/sums/1/weights
diff -r "$X/models/sums/1/weights" "$X/links" >"$OUT" 2>"$ERR" && ok "the weights are the folder" || not_ok "the weights are the folder"
check "a form that there is not" 64 assay artifact export sums@v1 "$X/y" --format zip
check "a name that promises another archive" 64 assay artifact export sums@v1 "$X/y.tar.gz"
has "written as .tar.zst"
check "a place that cannot be written" 74 assay artifact export sums@v1 /proc/x
grep -q "are not here" "$ERR" && not_ok "it is not the weights" || ok "it is not the weights"
assay promote sums@v1 staging --reason "$(printf 'one\nforged row')" >/dev/null
check "a reason of two lines" 0 assay history
is "is one row" "$(grep -c '^forged' "$OUT")" 0
check "a version that there is not" 65 assay artifact export sums@v9 "$X/y" --format oci
[ -e "$X/y" ] && not_ok "nothing was made" || ok "nothing was made"

check "an OCI layout" 0 assay artifact export sums@v1 "$X/oci" --format oci
for b in "$X"/oci/blobs/sha256/*; do [ "$(sha256sum <"$b")" = "${b##*/}  -" ] || echo "$b"; done >"$TRASH/wrong"
is "every blob is named by its digest" "$(wc -l <"$TRASH/wrong")" 0

# Debian's registry of containers, and the usual client: unpacked, not installed, since an installed registry would be started as a
# service. program NAME PACKAGE…: where it is, or nothing
program() {
	command -v "$1" && return
	mkdir -p "$TRASH/deb/$1" && chmod 777 "$TRASH/deb/$1"
	(cd "$TRASH/deb/$1" && timeout 60 apt-get download -q "$@" && for deb in *.deb; do dpkg -x "$deb" "$TRASH/deb" || exit; done) >/dev/null 2>&1
	[ -x "$TRASH/deb/usr/bin/$1" ] && echo "$TRASH/deb/usr/bin/$1"
}
R=$(program docker-registry)
if [ -z "$R" ] || ! command -v curl >/dev/null 2>&1; then
	skip "a real registry takes it" "Debian's docker-registry and curl are not to be had here"
	done_testing
fi
PORT=$((20000 + $$ % 20000))
cat >"$TRASH/registry.yml" <<Y
version: 0.1
storage: {filesystem: {rootdirectory: $TRASH/registry}}
http: {addr: "127.0.0.1:$PORT"}
Y
"$R" serve "$TRASH/registry.yml" >"$TRASH/registry.log" 2>&1 &
SERVER=$!
trap 'kill $SERVER 2>/dev/null; chmod -R u+w "$TRASH" 2>/dev/null; rm -rf "$TRASH"' EXIT
U=http://127.0.0.1:$PORT/v2
for _ in $(seq 100); do curl -fs "$U/" >/dev/null && break; sleep 0.1; done
# push NAME LAYOUT, pull NAME TAG DIR: the distribution protocol, as any client speaks it
push() {
	for blob in "$2"/blobs/sha256/*; do
		hex=${blob##*/}
		to=$(curl -fsS -X POST -D - -o /dev/null "$U/$1/blobs/uploads/" | tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
		case $to in *\?*) to="$to&" ;; *) to="$to?" ;; esac
		curl -fsS -X PUT -H 'Content-Type: application/octet-stream' --data-binary "@$blob" "${to}digest=sha256:$hex" || return 1
	done
	hex=$(jq -r '.manifests[0].digest' "$2/index.json")
	tag=$(jq -r '.manifests[0].annotations["org.opencontainers.image.ref.name"]' "$2/index.json")
	curl -fsS -X PUT -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' \
		--data-binary "@$2/blobs/sha256/${hex#sha256:}" "$U/$1/manifests/$tag"
}
pull() {
	curl -fsS -H 'Accept: application/vnd.oci.image.manifest.v1+json' "$U/$1/manifests/$2" >"$TRASH/manifest" || return 1
	jq -r '.layers[] | .digest + " " + .annotations["org.cncf.model.filepath"]' "$TRASH/manifest" | while read -r digest path; do
		mkdir -p "$3/$(dirname "$path")"
		curl -fsS "$U/$1/blobs/$digest" >"$3/$path" || return 1
	done
}
check "a real registry takes it" 0 push models/sums "$X/oci"
check "and gives it back" 0 pull models/sums v1 "$X/back"
diff -r "$X/back" "$X/links" >"$OUT" 2>"$ERR" && ok "the same files" || not_ok "the same files"
is "under its digest" "sha256:$(sha256sum <"$TRASH/manifest" | cut -d' ' -f1)" "$(jq -r '.manifests[0].digest' "$X/oci/index.json")"
check "what came back is a model" 0 assay eval "$X/back" evals/sums.yaml
# the client that the documentation names, with the libraries that came along
S=$(program skopeo libgpgme11 libassuan0)
skopeo() { LD_LIBRARY_PATH=$(dirname "$(find "$TRASH/deb" -name 'libgpgme.so.11' 2>/dev/null | head -n 1)" 2>/dev/null) "$S" --policy "$TRASH/policy.json" "$@"; }
if [ -z "$S" ] || ! skopeo --version >"$OUT" 2>&1; then
	skip "skopeo copies it there and back" "Debian's skopeo is not to be had here, or does not run"
else
	echo '{"default":[{"type":"insecureAcceptAnything"}]}' >"$TRASH/policy.json"
	check "skopeo copies it there" 0 skopeo copy --dest-tls-verify=false "oci:$X/oci:v1" "docker://127.0.0.1:$PORT/models/copied:v1"
	check "and back" 0 skopeo copy --src-tls-verify=false "docker://127.0.0.1:$PORT/models/copied:v1" "oci:$X/copied:v1"
	diff -r "$X/oci/blobs" "$X/copied/blobs" >"$OUT" 2>"$ERR" && ok "every blob is the same" || not_ok "every blob is the same"
	is "and the manifest" "$(jq -r '.manifests[0].digest' "$X/copied/index.json")" "$(jq -r '.manifests[0].digest' "$X/oci/index.json")"
fi
kill $SERVER 2>/dev/null
done_testing
