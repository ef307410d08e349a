#!/usr/bin/env bash
# A few places of tests/fault/sweep: what fails in the C library is an error, and leaves a sound home. And a network file system.
. "$(dirname "$0")/lib.sh"
if nm "$ASSAY_TEST_BIN" 2>/dev/null | grep -q __asan_init; then
	skip "faults" "the sanitizer has its own malloc in the way"
	done_testing
fi
check "calls that fail leave nothing broken" 0 bash "$HERE/../fault/sweep" "$ASSAY_TEST_BIN" 40 13
has " 0 wrong"

# shellcheck disable=SC2086 # CC may be two words, such as "ccache gcc"
${CC:-cc} -shared -fPIC -O1 -w -o shim.so "$HERE/../fault/shim.c" -ldl
mkdir repo && cd repo && git init -q
check "a registry on a local disk" 0 assay models
is "has a write-ahead log" "$(sqlite3 .git/assay/registry.db 'pragma journal_mode')" wal
for magic in 0x6969 0xff534d42 0x65735546; do # nfs, cifs, fuse
	rm -rf .git/assay
	check "one on a file system of kind $magic" 0 env LD_PRELOAD="$TRASH/shim.so" ASSAY_FAULT=statfs:$magic "$ASSAY_TEST_BIN" models
	is "has none" "$(sqlite3 .git/assay/registry.db 'pragma journal_mode')" delete
done
check "one that was moved to a local disk has one again" 0 assay models
is "a log" "$(sqlite3 .git/assay/registry.db 'pragma journal_mode')" wal
done_testing
