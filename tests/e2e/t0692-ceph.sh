#!/usr/bin/env bash
# A bucket of a real service: Ceph's S3 gateway. Conditional writes, parts, ranges, and a server that is killed midway.
. "$(dirname "$0")/lib.sh"
for c in ceph-mon ceph-osd radosgw radosgw-admin ceph; do
	command -v "$c" >/dev/null && continue
	echo "1..0 # SKIP no $c (apt-get install --no-install-recommends ceph-mon ceph-osd radosgw ceph-common)"
	exit 0
done
ceph=$TRASH/ceph
trap 'kill $(cat "$ceph"/run/*.pid) 2>/dev/null; sleep 0.2; kill -9 $(cat "$ceph"/run/*.pid) 2>/dev/null; chmod -R u+w "$TRASH"; rm -rf "$TRASH"' EXIT
port=$((20000 + $$ % 10000 * 2))
if ! timeout 120 bash "$HERE/ceph-up" "$ceph" "$port" >"$TRASH/ceph.log" 2>&1; then
	echo "1..0 # SKIP Ceph does not start here: $(tail -n 1 "$TRASH/ceph.log")"
	exit 0
fi
gateway() { radosgw -c "$ceph/ceph.conf" -n client.rgw --keyring="$ceph/keyring" 2>/dev/null; }
db() { sqlite3 "$ASSAY_HOME/registry.db" "$1"; }
export AWS_ACCESS_KEY_ID=AKCI AWS_SECRET_ACCESS_KEY=SKCI AWS_ENDPOINT_URL=http://127.0.0.1:$port ASSAY_REMOTE=s3://bucket/a/team
check "no bucket yet" 65 env ASSAY_HOME="$TRASH/none" "$ASSAY_TEST_BIN" pull
has "NoSuchBucket"
curl -s -o "$OUT" -X PUT --user AKCI:SKCI --aws-sigv4 aws:amz:us-east-1:s3 \
	-H "x-amz-content-sha256: $(printf '' | sha256sum | cut -c-64)" "$AWS_ENDPOINT_URL/bucket"

tiny_repo "$TRASH/work"
export ASSAY_HOME=$TRASH/home1
assay run >/dev/null 2>&1
assay promote sums@v1 production >/dev/null
check "a push" 0 assay push
has "pushed 2 records and 8 objects"
check "again" 0 assay push
has "pushed 0 records and 0 objects"
export ASSAY_HOME=$TRASH/home2
check "records alone" 0 assay pull --records
check "and samples on demand" 0 assay samples latest
check "all of it" 0 assay pull
check "which is sound" 0 env ASSAY_OFFLINE=1 "$ASSAY_TEST_BIN" registry check
check "a wrong secret" 69 env AWS_SECRET_ACCESS_KEY=no "$ASSAY_TEST_BIN" pull
has "SignatureDoesNotMatch"

# Parts, and the gateway killed in the middle of them; a new one takes its place, and the push goes on.
printf 'locations:\n  parts: {url: "s3://bucket/parts", part_mib: 5}\n' >"$ASSAY_HOME/config.yaml"
export ASSAY_REMOTE=parts
sed -i 's/hidden_size: 32/hidden_size: 512/; s/layers: 2/layers: 8/; s/max_steps: 250/max_steps: 1/' assay.yaml
commit_all "a larger model"
assay run >/dev/null 2>&1
(
	sleep 0.3
	kill -9 "$(cat "$ceph"/run/*client.rgw*.pid)"
	sleep 1
	gateway
) &
check "a server killed midway" 0 assay push
wait $!
rm -rf "$TRASH/home3" && mkdir "$TRASH/home3" && cp "$ASSAY_HOME/config.yaml" "$TRASH/home3"
(
	sleep 0.2
	kill -9 "$(cat "$ceph"/run/*client.rgw*.pid)"
	sleep 1
	gateway
) &
check "and while it is pulled" 0 env ASSAY_HOME="$TRASH/home3" "$ASSAY_TEST_BIN" pull
wait $!
check "whole" 0 env ASSAY_HOME="$TRASH/home3" ASSAY_OFFLINE=1 "$ASSAY_TEST_BIN" registry check
check "every byte" 0 env ASSAY_HOME="$TRASH/home3" "$ASSAY_TEST_BIN" artifact verify

# A pusher that is killed: the next goes on where it was.
sed -i 's/seed: 1/seed: 2/' assay.yaml && commit_all "another" && assay run >/dev/null 2>&1
for _ in 1 2 3 4 5; do
	timeout -s KILL 0.3 "$ASSAY_TEST_BIN" push >/dev/null 2>&1
done
check "a push that was killed five times" 0 assay push
check "is whole" 0 env ASSAY_HOME="$TRASH/home3" "$ASSAY_TEST_BIN" pull
check "on the other side too" 0 env ASSAY_HOME="$TRASH/home3" ASSAY_OFFLINE=1 "$ASSAY_TEST_BIN" registry check

# Six at a time want the alias.
export ASSAY_REMOTE=s3://bucket/a/team
pids=()
for i in 1 2 3 4 5 6; do
	export ASSAY_HOME=$TRASH/racer$i
	assay pull --records >/dev/null 2>&1
	ASSAY_ACTOR=racer$i assay promote sums@v1 staging --reason "$i" >/dev/null
done
for i in 1 2 3 4 5 6; do
	ASSAY_HOME=$TRASH/racer$i assay push >"$TRASH/race$i" 2>&1 &
	pids+=("$!")
done
codes=
for p in "${pids[@]}"; do
	wait "$p"
	codes="$codes $?"
done
is "one wins, and the others are told" "$(echo "$codes" | tr ' ' '\n' | sort -n | xargs)" "0 75 75 75 75 75"
export ASSAY_HOME=$TRASH/home2
check "and all agree" 0 assay pull
is "on one move" "$(db "SELECT count(*) FROM promotions WHERE alias = 'staging'")" 1
done_testing
