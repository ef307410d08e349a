#!/usr/bin/env bash
# A bit flipped in every kind of file (tests/fault/flips, one region of each): detected, named, healed where there is a copy.
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || { echo "1..0 # SKIP no python3"; exit 0; }
check "flipped bits are found, named and healed" 0 python3 "$HERE/../fault/flips" "$ASSAY_TEST_BIN" 1 "$$"
has "bits, 0 wrong"
for kind in objects recipes deltas pieces records stat database log "remote's objects" "remote's records" "remote's claims"; do
	has "flips: $kind: "
done
done_testing
