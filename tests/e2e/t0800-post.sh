#!/usr/bin/env bash
# post: a report as a comment; what is asked for, what is missing, and what a forged report cannot do.
# (The forge's answers, races and refusals: tests/unit/test_forge.c.)
. "$(dirname "$0")/lib.sh"
tiny_repo repo
check "a run writes its report" 0 assay run --report-dir report
unset GITHUB_TOKEN ASSAY_GITHUB_TOKEN GITLAB_TOKEN ASSAY_GITLAB_TOKEN CI_MERGE_REQUEST_IID ASSAY_OFFLINE
sha=$(git rev-parse HEAD)
echo "{\"pull_request\":{\"number\":7,\"head\":{\"sha\":\"$sha\"}}}" >"$TRASH/event.json"
export GITHUB_API_URL=http://127.0.0.1:9 GITHUB_SERVER_URL=https://forge.example GITHUB_REPOSITORY=team/models GITHUB_SHA=$sha
export GITHUB_RUN_ID=12 GITHUB_RUN_ATTEMPT=1 GITHUB_EVENT_PATH=$TRASH/event.json

check "what would be posted" 0 assay post github --report-dir report --dry-run
has "<!-- assay:report v1 model=sums"
is "the marker is the last line" "$(tail -n 1 "$OUT")" "<!-- assay:comment v1 key=default head=${sha:0:12} run=12.1 -->"
check "another key" 0 assay post github --report-dir report --dry-run --key 'a b-->'
is "cannot end the marker" "$(tail -n 1 "$OUT")" "<!-- assay:comment v1 key=a%20b%2D%2D%3E head=${sha:0:12} run=12.1 -->"

keys=$(for key in a-b a_b a/b 模型 数据; do assay post github --report-dir report --dry-run --key "$key" | tail -n 1; done)
is "each key has a marker of its own" "$(sort -u <<<"$keys" | wc -l)" 5

check "without a token: told, and no failure" 0 assay post github --report-dir report
has "there is no token to post with"
has "GITHUB_TOKEN"
check "--strict makes it one" 69 assay post github --report-dir report --strict
export GITHUB_TOKEN=s3cret-of-this-test
check "a forge that is not there" 69 env ASSAY_OFFLINE=1 "$ASSAY_TEST_BIN" post github --report-dir report --strict
has "ASSAY_OFFLINE is set"
grep -q "$GITHUB_TOKEN" "$OUT" "$ERR" && not_ok "the token is not shown" || ok "the token is not shown"

check "no report" 65 assay post github --report-dir nowhere
has "there is no report"
mkdir forged
echo '{"format":"assay-report/1","verdict":"PASS"}' >forged/report.json
check "half a report" 65 assay post github --report-dir forged
echo 'PASS' >forged/report.json
check "what is no report" 65 assay post github --report-dir forged
jq '.sentence = "</sub>\n<!-- assay:comment v1 key=default head=0 run=99999.1 -->"' report/report.json >forged/report.json
check "a report that pretends to be a later comment" 0 assay post github --report-dir forged --dry-run
is "has one marker, ours" "$(grep -c '^<!-- assay:comment' "$OUT")" 1
echo "{\"workflow_run\":{\"id\":4,\"head_sha\":\"$sha\",\"head_branch\":\"b\",\"head_repository\":{\"owner\":{\"login\":\"m\"}}}}" >"$TRASH/event.json"
check "a fork's report" 0 assay post github --report-dir report --dry-run
has "nobody has checked it"

# a report of another commit, and what is no plain file
echo "{\"pull_request\":{\"number\":7,\"head\":{\"sha\":\"$sha\"}}}" >"$TRASH/event.json"
jq '.commit = "0123456789012345678901234567890123456789"' report/report.json >forged/report.json
check "a report that names another commit" 65 assay post github --report-dir forged
has "nothing is posted"
check "puts no status on ours" 65 assay post github --report-dir forged --status --strict
jq '.commits.head = "0123456789012345678901234567890123456789"' report/report.json >forged/report.json
check "a report of another head" 65 assay post github --report-dir forged --dry-run
rm forged/report.json
mkfifo forged/report.json
check "a pipe is not waited for" 65 timeout 20 "$ASSAY_TEST_BIN" post github --report-dir forged
has "not a plain file"
rm forged/report.json
ln -s "$PWD/report/report.json" forged/report.json
check "a link is not followed" 65 assay post github --report-dir forged --dry-run
has "is a link"
rm forged/report.json

# a push has no request, and its commit is marked
echo '{"ref":"refs/heads/main"}' >"$TRASH/event.json"
serve forge_says.py 201
export GITHUB_API_URL=http://127.0.0.1:$PORT
check "the status of a push" 0 assay post github --report-dir report --status --strict
has "${sha:0:12} is marked"
hasnt "nothing is posted"
check "without a status there is nothing to post" 0 assay post github --report-dir report
has "belongs to no open request"
echo "{\"pull_request\":{\"number\":7,\"head\":{\"sha\":\"$sha\"}}}" >"$TRASH/event.json"
check "the mark of a request alone" 0 assay post github --report-dir report --status --no-comment --strict
has "is marked"
check "neither comment nor mark" 64 assay post github --report-dir report --no-comment

# a run that ends early leaves no earlier run's report behind
check "another run" 0 assay run --report-dir report
is "writes all forms" "$(find report -type f | wc -l)" 9
echo mine >report/mine.txt
check "a run that ends early" 65 assay run --report-dir report no-such-revision
is "leaves what is not ours alone" "$(ls report)" mine.txt
echo '{"tests": 1}' >report/report.json
echo '<testsuites/>' >report/junit.xml
check "the same beside another program's report" 65 assay run --report-dir report no-such-revision
is "which stays" "$(ls report | tr '\n' ' ')" "junit.xml mine.txt report.json "
rm -r report
assay run --report-dir report >"$OUT" 2>&1

check "outside a job" 78 env -u GITHUB_API_URL "$ASSAY_TEST_BIN" post github --report-dir report
has "GITHUB_API_URL is not set"
check "a forge that nobody knows" 64 assay post sourcehut --report-dir report
check "GitLab without its variables" 78 assay post gitlab --report-dir report
has "CI_API_V4_URL"
done_testing
