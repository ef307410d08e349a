#!/usr/bin/env bash
# The store by its own commands: added twice, in parts, out again, damaged, repaired, by eight at once.
. "$(dirname "$0")/lib.sh"
export ASSAY_HOME=$TRASH/home
stored() { find "$ASSAY_HOME"/objects "$ASSAY_HOME"/recipes "$ASSAY_HOME"/deltas -type f -printf '%s\n' | awk '{ n += $1 } END { print n + 0 }'; }
is_below() { [ "$2" -lt "$3" ] && ok "$1" || not_ok "$1: $2, not below $3"; }
# the same bytes in every run: where chunks end depends on them
perl -e 'srand(1); print pack("L*", map { int rand 2 ** 32 } 1 .. 2250000)' >one
{ head -c 4000000 one && echo inserted && tail -c +4000001 one; } >two
ONE=$(sha256sum one | cut -d' ' -f1)
TWO=$(sha256sum two | cut -d' ' -f1)

check "a file is named by its digest" 0 assay artifact add one
has "$ONE  one"
is "the first is a file like it" "$(sha256sum <"$ASSAY_HOME/objects/${ONE:0:2}/${ONE:2}" | cut -d' ' -f1)" "$ONE"
check "so is the second" 0 assay artifact add two --json
is "its digest" "$(jq -r .object "$OUT")" "$TWO"
is_below "what they share is stored once" "$(stored)" 13000000
BEFORE=$(stored)
check "again" 0 assay artifact add two
is "takes no room" "$(stored)" "$BEFORE"
check "what there is" 0 assay artifact ls
grep -q "^${TWO:0:12} .* parts: [1-9][0-9]* inside others" "$OUT" && ok "and how it is kept" || not_ok "and how it is kept"
check "every part is as its name says" 0 assay artifact verify
check "out again, by its first digits" 0 assay artifact get "${TWO:0:10}" two.out
cmp -s two two.out && ok "the same bytes" || not_ok "the same bytes"
check "not over what is there" 65 assay artifact get "$TWO" two.out
check "an object that is not there" 65 assay artifact get 0123456789ab x
mkdir -p tree/sub && cp one tree/sub/one && echo hello >tree/readme
check "a folder" 0 assay artifact add tree
TREE=$(cut -d' ' -f1 "$OUT")
check "and out again" 0 assay artifact get "$TREE" tree.out
diff -r tree tree.out >"$OUT" 2>&1 && ok "the same files" || not_ok "the same files"

# a command that opens no archive and no connection pays for none: no ICU beside it, no certificates parsed
LD_DEBUG=bindings assay artifact ls >/dev/null 2>"$ERR"
if ! grep -q libgit2 "$ERR"; then skip "no certificates are read" "this loader does not tell"
elif grep 'libgit2' "$ERR" | grep 'x509_crt_parse_file' | grep -qvF "to $ASSAY_TEST_BIN "; then not_ok "no certificates are read"
else ok "no certificates are read"; fi
if [ "$(gcc -print-file-name=libarchive.a 2>/dev/null)" = libarchive.a ] || ! command -v gcc >/dev/null; then
	skip "no ICU is loaded" "no static libarchive to be linked"
elif ldd "$ASSAY_TEST_BIN" | grep -E 'libicu|libxml2' >"$OUT"; then not_ok "no ICU is loaded"; else ok "no ICU is loaded"; fi

# a change that leaves size and modification time as they were
sleep 0.1
check "what was read is noted" 0 assay artifact add one
cp -p one keep && printf x | dd of=one bs=1 seek=100 conv=notrunc 2>/dev/null && touch -r keep one
check "a change under the same time is seen" 0 assay artifact add one
is "by its new digest" "$(cut -d' ' -f1 "$OUT")" "$(sha256sum one | cut -d' ' -f1)"

# damage
cp -r "$ASSAY_HOME" "$TRASH/copy"
for f in "$ASSAY_HOME/objects/${ONE:0:2}/${ONE:2}" "$ASSAY_HOME/recipes/${TWO:0:2}/${TWO:2}"; do
	tr '\0-\377' '\1-\377\0' <"$f" | head -c 1 >byte && chmod u+w "$f" && dd if=byte of="$f" bs=1 conv=notrunc 2>/dev/null
done
check "damage is found" 74 assay artifact verify
has "$ONE"
has "assay artifact repair --from"
check "and stays found while no copy is in its place" 74 assay artifact verify
has "$ONE  it was found damaged before, and lies in bad/objects.$ONE"
has "assay artifact repair --from"
check "nothing damaged is served" 74 assay artifact get "$TWO" broken
has "it was found damaged, and lies in "
[ -e broken ] && not_ok "not even a part of it" || ok "not even a part of it"
check "without a copy it stays lost" 74 assay artifact repair
check "a copy heals it" 0 assay artifact repair --from "$TRASH/copy"
has "$ONE  repaired"
check "all is whole" 0 assay artifact verify
check "and served" 0 assay artifact get "$TWO" two.again
cmp -s two two.again && ok "as it was" || not_ok "as it was"
mkdir "$TRASH/nowhere"
check "a copy that is none" 65 assay artifact repair --from "$TRASH/nowhere"
has "is no home of assay"
check "a remote that nobody knows" 65 assay artifact repair --from nobody
has "no location is called nobody"

# eight at once, on the same content and on their own
for i in 1 2 3 4 5 6 7 8; do
	{ cat two && echo "$i"; } >"own$i"
	{ assay artifact add "own$i" && assay artifact add two && assay artifact get "$TWO" "out$i"; } >"said$i" 2>&1 &
done
wait
for i in 1 2 3 4 5 6 7 8; do cmp -s two "out$i" || echo "$i: $(cat "said$i")"; done >"$OUT"
[ -s "$OUT" ] && not_ok "eight at once" || ok "eight at once"
check "leave a whole store" 0 assay artifact verify

# nothing names them: they may go, and the parts with them
check "what nothing names goes" 0 assay artifact gc
is "all of it" "$(stored)" 0
done_testing
