#!/usr/bin/env bash
# A few rounds of tests/crash: commands killed at random moments leave a sound home.
. "$(dirname "$0")/lib.sh"
check "commands that are killed leave nothing broken" 0 bash "$HERE/../crash" "$ASSAY_TEST_BIN" 12 "$$"
has ", 0 wrong"
done_testing
