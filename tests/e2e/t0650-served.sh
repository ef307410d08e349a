#!/usr/bin/env bash
# A model behind a server is judged like a local one: base: LOCATION in a run, its baseline, its owners, its limits.
. "$(dirname "$0")/lib.sh"
if ! command -v python3 >/dev/null; then
	skip "a served model" "no python3 to serve one"
	done_testing
fi
# A server whose tokens are bytes. It adds one-digit numbers; the file "mode" makes it worse, or keeps log-probabilities back.
cat >server.py <<'P'
import http.server, json, os, sys
class S(http.server.BaseHTTPRequestHandler):
    def log_message(self, *a): pass
    def do_POST(self):
        q = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        mode = open("mode").read().strip()
        open("asked", "a").write(json.dumps([self.headers.get("Authorization"), q]) + "\n")
        p = q["prompt"]
        c = {"index": 0, "text": ""}
        if q.get("echo"):
            if mode != "silent":
                own = [None] + [-0.5 if ch in "0123456789" else -1.0 for ch in p[1:]]
                c["logprobs"] = {"tokens": list(p) + ["!"], "token_logprobs": own + [-9.0],
                                 "top_logprobs": [None] + [{"x": -0.1} for _ in p]}
                if mode == "pieces": c["logprobs"]["tokens"][-2] = "\N{REPLACEMENT CHARACTER}"
        else:
            a = p.split("|")[-1].rstrip("=").split("+")
            c["text"] = str(int(a[0]) + int(a[1]) + (1 if mode == "worse" else 0))
        out = json.dumps({"choices": [c], "usage": {"completion_tokens": 1}}).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(out))); self.end_headers()
        self.wfile.write(out)
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), S)
open("port.new", "w").write(str(s.server_address[1])); os.rename("port.new", "port")
s.serve_forever()
P
echo good >mode
python3 server.py 2>/dev/null &
server=$!
trap 'kill $server 2>/dev/null; chmod -R u+w "$TRASH" 2>/dev/null; rm -rf "$TRASH"' EXIT
for _ in $(seq 1 100); do [ -e port ] && break; sleep 0.1; done
URL=http://127.0.0.1:$(cat port)/v1
ROOT=$PWD
tiny_repo repo
unset ASSAY_OFFLINE
export TEAM_KEY=s3cret-of-this-test
cat >evals/scored.yaml <<-Y
	task: scored
	dataset_path: json
	dataset_kwargs: {data_files: {test: sums.jsonl}}
	test_split: test
	output_type: loglikelihood
	doc_to_text: "{{prompt}}"
	doc_to_target: "{{completion}}"
Y
printf 'Add.|' >prompt.txt
cat >assay.yaml <<-Y
	model: sums
	base: team
	prompt: prompt.txt
	suites: [evals/sums.yaml]
	gate:
	  baseline: production
	  require:
	    sums.exact_match: {min: 0.5, max_drop: 0.1}
	promote: {main: production}
Y
commit_all "served"
check "a name that is nowhere" 65 assay run
has "the commit has no folder team, and there is no location of that name in"
cat >>assay.yaml <<-Y
	locations:
	  team: {url: "$URL", model: org/adder, key: TEAM_KEY}
Y
commit_all "with a location of the commit's own"
check "a commit does not choose where a secret goes" 65 assay run
has "locations of a commit count once they are on the target branch"
[ ! -e "$ROOT/asked" ] && ok "nobody was asked" || not_ok "nobody was asked"
mkdir -p .git/assay
printf 'locations:\n  team: {url: "%s", model: org/adder, key: TEAM_KEY}\n' "$URL" >.git/assay/config.yaml
check "a run of what is served" 0 assay run --json
is "it passes by its floors" "$(jq -r .verdict "$OUT")" PASS
is "nothing is trained" "$(jq -r '.steps[]|select(.name=="train").status' "$OUT")" skipped
is "its version" "$(jq -r '.version.number // .version' "$OUT")" 1
is "the numerics class says so" "$(assay show --json | jq -r .tool.numerics)" served:org/adder
is "with the product's prompt and the secret" "$(head -n 1 "$ROOT/asked" | jq -r '.[0] + " " + (.[1].prompt|split("|")[0])')" "Bearer $TEAM_KEY Add."
assay promote sums@v1 production >/dev/null 2>&1
check "again: it is asked again, for nobody knows what is behind it" 0 assay run --json
is "judged by samples" "$(jq -r '.verdict + " " + (.steps[]|select(.name=="eval").status)' "$OUT")" "PASS done"
echo worse >"$ROOT/mode"
check "the server got worse" 1 assay run --json
is "it fails" "$(jq -r .verdict "$OUT")" FAIL
is "by the baseline's samples" "$(jq -r '.metrics[0].value' "$OUT") $(assay show --json | jq -r '.gate.rules[]|select(.rule|test("max_drop"))|"\(.baseline) \(.lost)"')" "0 1 8"
echo good >"$ROOT/mode"

# log-likelihoods
sed -i 's/sums.yaml\]/sums.yaml, evals\/scored.yaml]/' assay.yaml
git checkout -q -b more && commit_all "more questions"
check "log-likelihoods where the server has them; a baseline that was served cannot answer new questions" 2 assay run --json
is "so it cannot be compared" "$(jq -r .verdict "$OUT")" INCOMPARABLE
hasnt "s3cret-of-this-test"
is "counted and timed" "$(assay samples --jsonl --task scored | sed -n 2p | jq -r '"\(.tokens) \(.seconds>0)"')" "1 true"
echo silent >"$ROOT/mode"
check "and a clear refusal where not" 69 assay run
has "location team gives no log-probabilities of a prompt"
echo pieces >"$ROOT/mode"
check "nor is it guessed which tokens count" 69 assay run
has "the texts of its tokens do not spell what is to be scored"
has "write tokenizer: FOLDER"
echo good >"$ROOT/mode"

# a local baseline, a served candidate, and back
git checkout -q main && git checkout -q -b local
cp assay.yaml served.yaml
sed -i '/^base:/d' assay.yaml
cat >>assay.yaml <<-Y
	base: {init: {hidden_size: 32, layers: 2, heads: 2, context: 64, tokenizer: {train: [data/train.jsonl], vocab_size: 260}}}
	finetune: {data: data/train.jsonl, max_steps: 250, batch_tokens: 256, learning_rate: 5e-3, seed: 1}
Y
sed -i '/^prompt:/d' assay.yaml
commit_all "trained here"
check "a model that is here, against the served one" 0 assay run --json
check "becomes production" 0 assay promote "sums@v$(jq -r '.version.number' "$OUT")" production
cp served.yaml assay.yaml
rm served.yaml
commit_all "served again"
check "the served one against it" 0 assay run --json
is "by the samples that are stored" "$(jq -r .verdict "$OUT") $(assay show --json | jq -r '.gate.rules[]|select(.rule|test("max_drop"))|.n')" "PASS 8"

# what cannot be
printf 'finetune:\n  data: data/train.jsonl\n' >>assay.yaml
commit_all "trained"
check "it cannot be trained" 65 assay run
has "finetune: the base stands behind a server (location team)"
git reset -q --hard HEAD~1
check "offline" 69 env ASSAY_OFFLINE=1 "$ASSAY_TEST_BIN" run
has "ASSAY_OFFLINE is set"
check "a mistake in a location of assay.yaml" 65 bash -c 'sed -i "s/key: TEAM_KEY/key: sk-123/" assay.yaml && git commit -qam wrong && "$ASSAY_TEST_BIN" run'
has "key is the name of the variable that holds the secret"
check "a folder of this machine in a location of assay.yaml" 65 bash -c 'sed -i "s/key: sk-123/tokenizer: models/" assay.yaml && git commit -qam wrong && "$ASSAY_TEST_BIN" run'
has "tokenizer names a folder of this machine, which a commit cannot know"
done_testing
