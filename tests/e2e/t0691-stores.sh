#!/usr/bin/env bash
# Remotes behind HTTP: a bucket and GitLab's packages, on stand-ins that check what they are asked (stores.py).
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || { echo "1..0 # SKIP no python3 for the stand-ins"; exit 0; }
db() { sqlite3 "$ASSAY_HOME/registry.db" "$1"; }
seen() { python3 -c 'import json,sys,urllib.request; print(sum(sys.argv[2] in r for r in json.load(urllib.request.urlopen("http://127.0.0.1:%s/_seen" % sys.argv[1]))))' "$PORT" "$1"; }

tiny_repo "$TRASH/work"
export ASSAY_HOME=$TRASH/home1
assay run >/dev/null 2>&1
assay promote sums@v1 production >/dev/null
export AWS_ACCESS_KEY_ID=AK AWS_SECRET_ACCESS_KEY=SK

# damaged HOME: the largest object and the oldest record there, each with one byte changed; their names in $bad
damaged() {
	bad=$(cd "$1" && find objects -type f -printf '%s %p\n' | sort -n | tail -n 1 | cut -d' ' -f2)
	bad="$bad $(cd "$1" && find records -type f | sort | head -n 1)"
	for f in $bad; do
		chmod u+w "$1/$f" && printf '\377' | dd of="$1/$f" bs=1 seek=$(($(stat -c %s "$1/$f") / 2)) conv=notrunc 2>/dev/null
	done
}
# heals NAME URL: damage in home2 comes back from there
heals() {
	damaged "$TRASH/home2"
	check "$1: damage is found" 74 env ASSAY_HOME="$TRASH/home2" "$ASSAY_TEST_BIN" artifact verify
	for f in $bad; do has "$f"; done
	check "$1: and comes back from there" 0 env ASSAY_HOME="$TRASH/home2" "$ASSAY_TEST_BIN" artifact repair --from "$2"
	has "2 were bad, 2 are repaired"
	check "$1: whole" 0 env ASSAY_HOME="$TRASH/home2" ASSAY_OFFLINE=1 "$ASSAY_TEST_BIN" artifact verify
	check "$1: and agreeing" 0 env ASSAY_HOME="$TRASH/home2" ASSAY_OFFLINE=1 "$ASSAY_TEST_BIN" registry check
}

# round_trip NAME URL: what one home pushes, another pulls; again is nothing
round_trip() {
	check "$1: a push" 0 assay push "$2"
	has "pushed 2 records and 8 objects"
	check "$1: again" 0 assay push "$2"
	has "pushed 0 records and 0 objects"
	rm -rf "$TRASH/home2"
	check "$1: a pull" 0 env ASSAY_HOME="$TRASH/home2" "$ASSAY_TEST_BIN" pull "$2"
	has "pulled 2 records and 8 objects"
	check "$1: all is there" 0 env ASSAY_HOME="$TRASH/home2" "$ASSAY_TEST_BIN" registry check
	is "$1: the same" "$(sqlite3 "$TRASH/home2/registry.db" 'SELECT id FROM records ORDER BY id')" "$(db 'SELECT id FROM records ORDER BY id')"
	heals "$1" "$2"
}

# ---- S3 ----
serve stores.py plain
export AWS_ENDPOINT_URL=http://127.0.0.1:$PORT
round_trip "S3" s3://bucket/team/models
check "a wrong secret" 69 env AWS_SECRET_ACCESS_KEY=wrong "$ASSAY_TEST_BIN" push s3://bucket/team/models
has "SignatureDoesNotMatch"
hasnt "wrong" "the secret is not told"
check "no such bucket" 65 assay pull s3://tekcub/x
has "NoSuchBucket"
check "no key" 78 env -u AWS_ACCESS_KEY_ID "$ASSAY_TEST_BIN" pull s3://bucket/x
has "there is no access key"
check "no name for a bucket" 65 assay pull "s3://bu ket/x"
check "a prefix that leads elsewhere" 65 assay pull "s3://bucket/../x"
check "offline" 69 env ASSAY_OFFLINE=1 "$ASSAY_TEST_BIN" pull s3://bucket/team/models
check "nobody is there" 69 env AWS_ENDPOINT_URL=http://127.0.0.1:1 "$ASSAY_TEST_BIN" pull s3://bucket/x
has "does not answer"

# in parts, and a location of the machine's
cat >"$ASSAY_HOME/config.yaml" <<-Y
	remote: store
	locations:
	  store: {url: "s3://bucket/parts", endpoint: "http://127.0.0.1:$PORT", region: eu-central-1, access_key: MY_KEY, secret_key: MY_SECRET, part_mib: 5}
	  wrong: {url: "s3://bucket/parts", secret_key: "hunter2+"}
Y
unset AWS_ENDPOINT_URL AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
export MY_KEY=AK MY_SECRET=SK
check "secrets are named, not written" 65 assay push wrong
has "is the name of the variable that holds the secret"
check "the machine's remote" 0 assay push
has "s3://bucket/parts"
sed -i 's/hidden_size: 32/hidden_size: 256/; s/layers: 2/layers: 4/; s/max_steps: 250/max_steps: 1/' assay.yaml
commit_all "a larger model"
assay run >/dev/null 2>&1
check "a larger model goes in parts" 0 assay push
is "of 5 MiB" "$([ "$(seen "partNumber=")" -ge 2 ] && echo yes)" yes
rm -rf "$TRASH/home2" && mkdir "$TRASH/home2" && cp "$ASSAY_HOME/config.yaml" "$TRASH/home2"
check "and comes whole" 0 env ASSAY_HOME="$TRASH/home2" "$ASSAY_TEST_BIN" pull
check "verified" 0 env ASSAY_HOME="$TRASH/home2" ASSAY_OFFLINE=1 "$ASSAY_TEST_BIN" registry check
git reset -q --hard HEAD~1
rm -rf "$TRASH/home1" && export ASSAY_HOME=$TRASH/home1
assay run >/dev/null 2>&1
assay promote sums@v1 production >/dev/null

# ---- an ill server: every third request 503, long answers cut ----
serve stores.py ill
export AWS_ENDPOINT_URL=http://127.0.0.1:$PORT AWS_ACCESS_KEY_ID=AK AWS_SECRET_ACCESS_KEY=SK
round_trip "an ill S3" s3://bucket/ill

# ---- one that answers with something else ----
serve stores.py hollow
export AWS_ENDPOINT_URL=http://127.0.0.1:$PORT
for answer in html empty json error half; do
	check "S3: 200 with $answer is no empty memory" 65 env ASSAY_HOME="$TRASH/home4" "$ASSAY_TEST_BIN" pull "s3://bucket/$answer"
	has "is no listing, or not the whole of one"
done
check "S3: an empty memory is one" 0 env ASSAY_HOME="$TRASH/home4" "$ASSAY_TEST_BIN" pull s3://bucket/new
assay push s3://bucket/long >/dev/null 2>&1
check "S3: more to come, and no way to it" 65 env ASSAY_HOME="$TRASH/home4" "$ASSAY_TEST_BIN" pull s3://bucket/long
has "its listing is cut"

# ---- one without conditional writes ----
serve stores.py noconditions
export AWS_ENDPOINT_URL=http://127.0.0.1:$PORT
check "a bucket without conditional writes" 78 assay push s3://bucket/x
has "ignores If-None-Match: two promotions could both win there"

# ---- GitLab ----
serve stores.py plain
export CI_API_V4_URL=http://127.0.0.1:$PORT/api/v4 CI_PROJECT_ID=7 CI_JOB_TOKEN=tok
round_trip "GitLab" gitlab://job
check "a job's token goes to its own server alone" 78 assay pull "gitlab+http://127.0.0.1:1/api/v4/projects/7"
has "there is no token"
check "a token that is none" 69 env CI_JOB_TOKEN=bad "$ASSAY_TEST_BIN" pull gitlab://job
has "401 Unauthorized"
check "no such project" 65 env CI_PROJECT_ID=8 "$ASSAY_TEST_BIN" push gitlab://job
check "no job" 78 env -u CI_API_V4_URL "$ASSAY_TEST_BIN" pull gitlab://job

# two promotions, one alias
export ASSAY_REMOTE=gitlab://job
for who in ann bob; do
	rm -rf "$TRASH/home-$who"
	export ASSAY_HOME=$TRASH/home-$who
	assay pull >/dev/null 2>&1
	ASSAY_ACTOR=$who assay rollback sums@production --to 1 >/dev/null 2>&1
	ASSAY_ACTOR=$who assay promote sums@v1 staging --reason "$who" >/dev/null
done
export ASSAY_HOME=$TRASH/home-ann
check "the first to push has the alias" 0 assay push
export ASSAY_HOME=$TRASH/home-bob
check "the second is told" 75 assay push
has "sums@staging was moved to v1 meanwhile, by ann"

serve stores.py ill
export CI_API_V4_URL=http://127.0.0.1:$PORT/api/v4 ASSAY_HOME=$TRASH/home1
round_trip "an ill GitLab" gitlab://job
done_testing
