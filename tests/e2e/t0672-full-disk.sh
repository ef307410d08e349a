#!/usr/bin/env bash
# A disk that is full: each command says which, and what to do; leaves nothing half-written; and does its work once there is room.
. "$(dirname "$0")/lib.sh"
check "standard output that is full" 74 bash -c '"$ASSAY_TEST_BIN" help >/dev/full'
has "cannot write to standard output"
mkdir "$TRASH/small"
if ! mount -t tmpfs -o size=24m tmpfs "$TRASH/small" 2>/dev/null; then
	skip "commands on a full disk" "needs a mount"
	done_testing
fi
trap 'umount "$TRASH/small"; chmod -R u+w "$TRASH"; rm -rf "$TRASH"' EXIT
tiny_repo repo
sed -i 's/max_steps: 250/max_steps: 20/; s/min: 0.5, //' assay.yaml && commit_all "tiny: quick"
assay run >/dev/null 2>&1
assay promote sums@v1 production --force --reason first >/dev/null
assay push "file://$TRASH/remote" >/dev/null
SMALL=$TRASH/small H=$TRASH/small/home
head -c 3000000 /dev/urandom >"$TRASH/blob"

# leave KILOBYTES: the rest of the disk is taken
leave() {
	rm -f "$SMALL/filler"
	head -c $((($(df --output=avail "$SMALL" | tail -n 1) - $1) * 1024)) /dev/zero >"$SMALL/filler"
}
# home: a copy of this repository's, without the reserve, which small disks do not get
home() {
	rm -rf "$SMALL/filler" "$H"
	cp -a .git/assay "$H" && rm -f "$H"/registry.db-* "$H/reserve"
}
names() { (cd "$SMALL" && find . ! -path './home/registry.db*' ! -name filler ! -path './home/locks*' | sort | sha256sum); }
# full NAME KILOBYTES WHERE COMMAND…: fails as the disk is full at WHERE, leaves no file, and works when there is room
full() {
	_name=$1 _where=$3
	leave "$2"
	_before=$(names)
	shift 3
	check "$_name: the disk is full" 74 "$@"
	has "the disk of $_where" "$_name: it says where"
	has "is full" "$_name: and what"
	has "make room on it by something else first" "$_name: and what to do"
	is "$_name: nothing is half-written" "$(names)" "$_before"
	rm "$SMALL/filler"
	check "$_name: with room" 0 "$@"
}

export ASSAY_HOME=$H
home
full "opening the registry" 0 "$H" assay runs
full "add" 200 "$H/tmp" assay artifact add "$TRASH/blob"
has "$(sha256sum "$TRASH/blob" | cut -d ' ' -f 1)"
home
full "promote" 12 "$H" assay promote sums@v1 second --force --reason why
check "all agrees" 0 assay registry check
rm -rf "$H" && mkdir "$H" && leave 0
check "a new home: the disk is full" 74 assay pull "file://$TRASH/remote"
has "the disk of $H is full"
rm "$SMALL/filler"
check "a new home: with room" 0 assay pull "file://$TRASH/remote"
for left in 60 100 300; do # wherever it ends: in the objects, the records or the rows
	rm -rf "$H" && mkdir "$H" && assay runs >/dev/null
	leave $left
	check "a pull with $left kB: the disk is full" 74 assay pull "file://$TRASH/remote"
	has "make room on it by something else first"
	rm "$SMALL/filler"
	check "a pull after $left kB: with room" 0 assay pull "file://$TRASH/remote"
	is "all came" "$(find "$H/records" "$H/objects" -type f | wc -l)" "$(find "$TRASH/remote/records" "$TRASH/remote/objects" -type f | wc -l)"
	check "all agrees" 0 assay registry check
done
home
sed -i "s/seed: .*/seed: 7/" assay.yaml && commit_all "tiny: seed 7"
leave 60
check "a run: the disk is full" 74 assay run
has "fix: "
rm "$SMALL/filler"
check "a run: with room" 0 assay run
check "all agrees" 0 assay registry check
rm -rf "$H"
unset ASSAY_HOME

mkdir "$SMALL/there"
leave 40
check "a push: the disk is full" 74 assay push "file://$SMALL/there"
has "the disk of $SMALL/there/tmp is full"
has "make room on it by something else first"
is "a push: nothing is half-written" "$(find "$SMALL/there" -name '.assay-tmp*')" ""
rm "$SMALL/filler"
check "a push: with room, it is gone on with" 0 assay push "file://$SMALL/there"
check "a push: all is there" 0 env ASSAY_HOME="$H" "$ASSAY_TEST_BIN" pull "file://$SMALL/there"
rm -rf "$SMALL/there" "$H"
full "export to a folder" 40 "$SMALL/" assay artifact export sums@v1 "$SMALL/dir"
full "export to an archive" 40 "$SMALL/" assay artifact export sums@v1 "$SMALL/out.tar.zst"
full "export to GGUF" 40 "$SMALL" assay artifact export sums@v1 "$SMALL/out.gguf"
full "export to an OCI layout" 40 "$SMALL/" assay artifact export sums@v1 "$SMALL/oci" --format oci
full "export for Triton" 40 "$SMALL/" assay artifact export sums@v1 "$SMALL/triton" --format triton
full "get" 4 "$SMALL" assay artifact get "$(sql "select object from versions where number = 1")" "$SMALL/got"
done_testing
