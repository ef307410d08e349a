#!/usr/bin/env bash
# Garbage: what would go and why, what goes, and that what went can be made again.
. "$(dirname "$0")/lib.sh"
tiny_repo repo
sed -i 's/max_steps: 250/max_steps: 60/; s/min: 0.5, //' assay.yaml && commit_all "tiny: quick"
assay run >/dev/null 2>&1
assay promote sums@v1 production --force --reason first >/dev/null
for seed in 2 3; do
	sed -i "s/seed: .*/seed: $seed/; s/, max_drop: 0.1/max_drop: 1/" assay.yaml && commit_all "tiny: seed $seed"
	assay run >/dev/null 2>&1
done
is "three versions" "$(sql 'select count(*) from versions')" 3
object() { sql "select object from versions where number = $1"; }
V2=$(object 2)
here() { [ -e ".git/assay/objects/${1:0:2}/${1:2}" ] && echo yes || echo no; }

check "by default everything is kept: 20 GB" 0 assay artifact gc --dry-run
has ", 0 (0.0 kB) would go"
check "what would go, and why" 0 assay artifact gc --dry-run --keep-runs 1 --keep-bytes 0
grep -q "^stays *$(object 1 | cut -c1-12) .*sums@v1, which production is" "$OUT" && ok "the promoted stays" || not_ok "the promoted stays"
grep -q "^stays *$(object 3 | cut -c1-12) .*weights of the last 1 models" "$OUT" && ok "the last stays" || not_ok "the last stays"
grep -q "^goes *${V2:0:12} .*weights that no alias held" "$OUT" && ok "the one between goes" || not_ok "the one between goes"
is "it is still here" "$(here "$V2")" yes
check "for scripts" 0 assay artifact gc --dry-run --keep-runs 1 --keep-bytes 0 --json
is "every object has a reason" "$(jq -s 'length > 5 and all(.reason | length > 5)' "$OUT")" true
mkdir "$TRASH/remote"
check "a remote has all" 0 assay push "file://$TRASH/remote"
check "it goes" 0 assay artifact gc --keep-runs 1 --keep-bytes 0
has "went"
check "a pull does not bring it back" 0 assay pull "file://$TRASH/remote"
has "and 0 objects (0 B)"
is "it is gone" "$(here "$V2")" no
check "which is no fault" 0 assay registry check
check "what is left is whole" 0 assay artifact verify
check "the others are there" 0 assay artifact export sums@v1 "$TRASH/v1"
check "its samples, too" 0 assay samples sums@v2
check "its weights are missed, with what to do" 65 assay artifact export sums@v2 "$TRASH/v2"
has "fix: ASSAY_REMOTE, or remote in assay.yaml, names where a copy is"
has "assay reproduce makes a run's weights again"
check "by who would promote it, too" 65 assay promote sums@v2 staging --force --reason try
has "fix: ASSAY_REMOTE, or remote in assay.yaml, names where a copy is"
check "but who needs it fetches it" 0 env ASSAY_REMOTE="file://$TRASH/remote" "$ASSAY_TEST_BIN" artifact export sums@v2 "$TRASH/v2"
rm -r "$TRASH/v2" && check "and it goes again" 0 assay artifact gc --keep-runs 1 --keep-bytes 0
check "to whoever loads them" 65 bash -c 'echo "{\"prompt\":\"1+1=\"}" | "$ASSAY_TEST_BIN" generate sums@v2 --max-tokens 4'
has "assay reproduce makes a run's weights again"
check "they are made again" 0 assay reproduce sums@v2
has "the same bits"
check "and are there" 0 assay artifact export sums@v2 "$TRASH/v2"
check "a size that is none" 64 assay artifact gc --keep-bytes lots

# A disk with nothing left: a collection must write before it can free.
is "there is a reserve for it" "$(stat -c %s .git/assay/reserve)" 1048576
mkdir "$TRASH/small"
if mount -t tmpfs -o size=100m tmpfs "$TRASH/small" 2>/dev/null; then
	trap 'umount "$TRASH/small"; chmod -R u+w "$TRASH"; rm -rf "$TRASH"' EXIT
	export ASSAY_HOME=$TRASH/small/home
	cp -a .git/assay "$ASSAY_HOME"
	for reserve in 1 0; do
		rm -f "$ASSAY_HOME/"registry.db-*
		[ $reserve = 1 ] || rm -f "$ASSAY_HOME/reserve"
		cat /dev/zero >"$TRASH/small/filler" 2>/dev/null
		is "the disk is full" "$(df --output=avail "$TRASH/small" | tail -n 1 | tr -d ' ')" 0
		if [ $reserve = 1 ]; then
			check "nothing can be opened" 74 assay runs
			has "the disk of"
			check "gc gives the reserve up" 0 assay artifact gc --keep-runs 1 --keep-bytes 0
			has "reserve of a megabyte is given up"
			has " went"
			is "and it has freed more" "$([ "$(df --output=avail "$TRASH/small" | tail -n 1)" -gt 1024 ] && echo more)" more
			is "it is not made again yet" "$([ -e "$ASSAY_HOME/reserve" ] && echo there)" ""
			check "all agrees" 0 assay registry check
			rm "$TRASH/small/filler"
			check "with room" 0 assay models
			is "it is made again" "$(stat -c %s "$ASSAY_HOME/reserve")" 1048576
		else
			check "without one" 74 assay artifact gc --keep-runs 1 --keep-bytes 0
			has "make room on it by something else first"
		fi
	done
	unset ASSAY_HOME
else
	skip "gc on a full disk" "needs a mount"
fi
done_testing
