#!/usr/bin/env bash
# Versions and aliases told to a server that speaks MLflow's language: a stand-in (mlflow.py), and MLflow itself where it is installed.
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || { echo "1..0 # SKIP no python3 for the stand-in"; exit 0; }
# shellcheck disable=SC2154 # servers is of lib.sh
trap 'kill "${servers[@]}" 2>/dev/null; [ ! -e "$TRASH/mlflow.pid" ] || kill -- -"$(cat "$TRASH/mlflow.pid")" 2>/dev/null; chmod -R u+w "$TRASH" 2>/dev/null; rm -rf "$TRASH"' EXIT
state() { curl -fsS "http://127.0.0.1:$PORT/_state" | jq -c "$1"; }
tiny_repo "$TRASH/work"
sed -i 's/max_steps: 250/max_steps: 20/; s/min: 0.5, max_drop: 0.1/min: 0, max_drop: 1/' assay.yaml && commit_all "quick"
for seed in 1 2 3; do
	sed -i "s/seed: .*/seed: $seed/" assay.yaml && git commit -qam "seed $seed" 2>/dev/null
	assay run >/dev/null 2>&1
done
assay promote sums@v1 production --force --reason first >/dev/null
assay promote sums@v3 staging --force --reason next >/dev/null

serve mlflow.py plain
home=.git/assay
printf 'mirror: eyes\nlocations:\n  eyes: {url: "mlflow+http://127.0.0.1:%s", key: EYES_TOKEN}\n' "$PORT" >$home/config.yaml
check "no token" 69 assay mirror
has "401 who are you?"
export EYES_TOKEN=tok
check "told" 0 assay mirror
has "mirrored 3 new versions and 2 moved aliases"
is "the oldest first, by their digests" "$(state '[.sums.versions[] | .source]')" '["assay://sums/v1","assay://sums/v2","assay://sums/v3"]'
is "what is said of one" "$(state '[.sums.versions[1].tags[] | select(.key == "assay.object") | .value][0]')" "\"$(sql 'select object from versions where number = 2')\""
is "and where aliases point" "$(state .sums.aliases)" '{"production":"1","staging":"3"}'
check "again" 0 assay mirror --json
is "nothing is told twice" "$(jq -c '[.models, .versions, .aliases]' "$OUT")" "[0,0,0]"
assay promote sums@v2 production --force --reason second >/dev/null
check "behind a push" 0 assay push "file://$TRASH/remote"
has "mirrored 0 versions and 1 alias"
is "the alias has moved" "$(state .sums.aliases.production)" '"2"'
check "a dry push tells nothing" 0 assay push --dry-run "file://$TRASH/remote"
hasnt mirrored
assay promote sums@v1 v12x --force --reason odd >/dev/null
assay promote sums@v1 latest --force --reason odd >/dev/null
check "a name that is taken there" 69 assay mirror
has "Version alias name 'latest' is reserved."
is "stops no other" "$(state .sums.aliases.v12x)" '"1"'
check "changes nothing of a push" 0 assay push "file://$TRASH/remote"
has "warning: the mirror was not told"
check "nor of a verdict" 0 assay run
check "nobody is there" 69 assay mirror mlflow+http://127.0.0.1:1
check "a token goes to its own server alone" 69 env MLFLOW_TRACKING_TOKEN=tok MLFLOW_TRACKING_URI=http://elsewhere "$ASSAY_TEST_BIN" mirror "mlflow+http://127.0.0.1:$PORT"
has "401"
check "offline" 69 env ASSAY_OFFLINE=1 "$ASSAY_TEST_BIN" mirror
check "no mirror's URL" 65 assay mirror http://127.0.0.1
rm $home/config.yaml
check "none is configured" 64 assay mirror

serve mlflow.py ill
check "an ill server is asked again" 69 env MLFLOW_TRACKING_TOKEN=tok MLFLOW_TRACKING_URI="http://127.0.0.1:$PORT" "$ASSAY_TEST_BIN" mirror "mlflow+http://127.0.0.1:$PORT"
is "and is told all it takes" "$(state '[(.sums.versions | length), .sums.aliases.production]')" '[3,"2"]'

# MLflow itself: $ASSAY_MLFLOW or mlflow of the PATH
M=${ASSAY_MLFLOW:-$(command -v mlflow)}
if [ -z "$M" ]; then
	skip "MLflow itself is told" "no mlflow (pip install mlflow; ASSAY_MLFLOW names it)"
	done_testing
fi
PORT=$((20000 + $$ % 20000))
# in a group of its own, since it starts others
(cd "$TRASH" && exec setsid "$M" server --host 127.0.0.1 --port $PORT --backend-store-uri "sqlite:///$TRASH/mlflow.db" --workers 1 >"$TRASH/mlflow.log" 2>&1) &
echo "$!" >"$TRASH/mlflow.pid"
for _ in $(seq 90); do curl -fs -m 2 "http://127.0.0.1:$PORT/health" >/dev/null && break; sleep 1; done
if ! curl -fs -m 2 "http://127.0.0.1:$PORT/health" >/dev/null; then
	skip "MLflow itself is told" "mlflow server does not answer after a minute and a half"
	done_testing
fi
check "MLflow takes versions and aliases, but for a name it keeps for itself" 69 assay mirror "mlflow+http://127.0.0.1:$PORT"
has "reserved"
get() { curl -fsS "http://127.0.0.1:$PORT/api/2.0/mlflow/$1"; }
is "versions" "$(get "model-versions/search?filter=name%3D%27sums%27" | jq -c '[.model_versions[] | {v: .version, o: (.tags[] | select(.key == "assay.object") | .value)}] | sort_by(.v) | [.[].o]')" \
	"$(sql 'select json_group_array(object) from (select object from versions order by number)')"
is "an alias" "$(get "registered-models/alias?name=sums&alias=production" | jq -r .model_version.version)" 2
done_testing
