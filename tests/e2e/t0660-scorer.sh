#!/usr/bin/env bash
# A team's own scorer: the target's program, in a sandbox, gives a metric that gates; and what happens when it fails.
. "$(dirname "$0")/lib.sh"
export TMPDIR=$TRASH/tmp && mkdir "$TMPDIR" # where nobody else leaves anything
tiny_repo repo
cat >evals/score.sh <<'T'
#!/bin/sh
# one point for an answer that is the target
[ -z "$SECRET_TOKEN" ] || exit 9
[ -e assay.yaml ] && exit 8
sed 's/.*"id":"\([^"]*\)","response":"\([^"]*\)","target":"\([^"]*\)".*/\1 \2 \3/' | while read -r id got want; do
	[ "$got" = "$want" ] && s=1 || s=0
	echo "{\"id\": \"$id\", \"score\": $s}"
done
T
sed -i 's/    metric_list: .*/&\n    score: {command: [sh, score.sh], inputs: [score.sh], metric: equal, timeout: 2}/' evals/sums.yaml
cat >>assay.yaml <<-Y
	sandbox: external
Y
sed -i '/^gate:/,/^[a-z]*:/{/exact_match/s/exact_match/equal/}' assay.yaml
commit_all "a scorer"
export SECRET_TOKEN=s3cret
check "a scorer scores" 0 assay run --json
is "as the built-in metric does" "$(sql "select count(distinct value) from metrics where metric in ('equal', 'exact_match')")" 1
is "of all samples" "$(sql "select count(*) from metrics where metric = 'equal'")" 1
target=$(git rev-parse HEAD)
check "its key holds" 0 assay run --json
is "nothing is scored twice" "$(jq -r '.steps[] | select(.name=="eval") | .status' "$OUT")" reused

# The candidate's scorer is not the one that scores.
printf '#!/bin/sh\necho cheat >&2; exit 7\n' >evals/score.sh && commit_all "another scorer"
# (Four samples are too few for a verdict, and not scored before.)
check "the target's scorer scores, not the candidate's" 2 assay run --target "$target" --limit 4 --json
is "it gave its score" "$(jq -c '[.. | objects | select(.metric? == "equal" and has("n") and has("value")) | [.n, .value == 1]] | unique' "$OUT")" "[[4,true]]"
is "and did run" "$(jq -r '.steps[] | select(.name=="eval") | .status' "$OUT")" "done"
git reset -q --hard "$target"
cp evals/sums.yaml evals/more.yaml && sed -i 's/suite: sums/suite: more/; s/task: sums/task: more/' evals/more.yaml
sed -i 's/^suites: .*/suites: [evals\/sums.yaml, evals\/more.yaml]/' assay.yaml && commit_all "a suite that is proposed"
check "a proposed suite with a scorer waits" 0 assay run --target "$target"
has "proposed questions with a command that scores are asked once they are merged"
git reset -q --hard "$target"
sed -i '/^sandbox/d' assay.yaml && echo "# other questions" >>evals/score.sh && commit_all "no commands"
check "a policy without a sandbox refuses it" 78 assay run --target HEAD
has "put sandbox: auto"
git reset -q --hard "$target"

# Outside a run.
obj=$(sql "select object from versions limit 1")
mkdir -p "$TRASH/made"
jq -r '.files[] | "\(.path) \(.object)"' ".git/assay/objects/${obj:0:2}/${obj:2}" | while read -r path o; do
	cp ".git/assay/objects/${o:0:2}/${o:2}" "$TRASH/made/$path"
done
check "assay eval runs none unless it is told to" 78 assay eval "$TRASH/made" evals/sums.yaml
has "--sandbox auto"
check "no other sandbox" 64 assay eval "$TRASH/made" evals/sums.yaml --sandbox docker
check "assay eval with one" 0 assay eval "$TRASH/made" evals/sums.yaml --sandbox external
is "has the metric" "$(jq '.tasks.sums.equal == .tasks.sums.exact_match' "$OUT")" true
cp -r evals "$TRASH/alone" && here=$PWD && cd "$TRASH" || exit 1
check "outside a repository too" 0 assay eval made alone/sums.yaml --sandbox external
is "the same" "$(jq '.tasks.sums.equal == .tasks.sums.exact_match' "$OUT")" true
check "a judge's location needs a home" 65 assay eval made alone/sums.yaml --judge
has "run inside a clone, or set ASSAY_HOME"
mkfifo pipe
check "samples are not written over a pipe, and nobody waits" 65 timeout 60 "$ASSAY_TEST_BIN" eval made alone/sums.yaml --sandbox external --samples pipe
has "is a pipe, a socket or a device"
check "a suite that is a pipe" 65 timeout 60 "$ASSAY_TEST_BIN" eval made pipe
sed 's/sums.jsonl/pipe/' alone/sums.yaml >piped.yaml && cp alone/score.sh .
check "data that are a pipe" 65 timeout 60 "$ASSAY_TEST_BIN" eval made piped.yaml --sandbox external
has "pipe is not a regular file"
check "scores that are a pipe" 65 timeout 60 "$ASSAY_TEST_BIN" gate pipe pipe --max-drop 0
check "kept samples that are a pipe" 65 timeout 60 "$ASSAY_TEST_BIN" eval made alone/sums.yaml --sandbox external --keep pipe
[ -p pipe ] && ok "it is a pipe still" || not_ok "it is a pipe still"
cd "$here" || exit 1
if bwrap --unshare-all --ro-bind / / true 2>/dev/null; then
	cp evals/score.sh good.sh
	{ echo "#!/bin/sh"; echo "cat '$HOME/.gitconfig' >/dev/null 2>&1 && exit 3"
	  echo "touch '$TRASH/escaped' 2>/dev/null; ls '$PWD/.git/assay/registry.db' >/dev/null 2>&1 && exit 6"
	  sed 1d good.sh; } >evals/score.sh
	check "in bubblewrap" 0 assay eval "$TRASH/made" evals/sums.yaml --sandbox bubblewrap
	[ -e "$TRASH/escaped" ] && not_ok "it cannot write outside" || ok "it cannot write outside"
	mv good.sh evals/score.sh
else
	skip "in bubblewrap" "bubblewrap does not work on this machine"
fi

cp evals/score.sh evals/score.good
bad() { # NAME CODE TEXT: with evals/score.sh from standard input
	cat >evals/score.sh
	check "$1" "$2" assay eval "$TRASH/made" evals/sums.yaml --sandbox external
	has "$3"
	hasnt $'\e[31m' "no escape sequence comes through"
}
bad "a scorer that fails" 65 "ended with exit code 3" <<'T'
printf '\033[31mTraceback: no module named x\n' >&2; exit 3
T
has "no module named x"
bad "a scorer that leaves samples out" 65 'it scored 1 of 8 samples; without a score: 1+2' <<<"echo '{\"id\":\"0+1\",\"score\":1}'"
bad "a scorer that prints NaN" 65 "its output:1" <<<"echo '{\"id\":\"0+1\",\"score\":NaN}'"
bad "a scorer that prints something else" 65 "prints lines" <<<"printf 'hello \033[31m\n'"
bad "a scorer that prints without end" 65 "more than 16 MiB" <<<"head -c 17000000 /dev/zero"
bad "a scorer that takes too long" 69 "score.command sh" <<<"sleep 600"
has "sh took longer than 2.0 s"
has "score.timeout"
bad "a scorer that prints without end and never ends" 65 "more than 16 MiB" <<<"exec cat /dev/zero"
kinds="external landlock"
! bwrap --unshare-all --ro-bind / / true 2>/dev/null || kinds="external landlock bubblewrap"
assay doctor 2>&1 | grep -q 'sandbox.*none' && kinds=external
here() { # KIND: a process that a scorer began and left behind
	grep -laz "[3]$$.$1" /proc/[0-9]*/cmdline 2>/dev/null | wc -l
}
sed 1d evals/score.good >evals/rest
for kind in $kinds; do
	left() { # NAME CODE WHAT: a scorer that does that, then scores if it comes to it; all that it began is gone
		{ echo "$3"; cat evals/rest; } >evals/score.sh
		check "$1 ($kind)" "$2" assay eval "$TRASH/made" evals/sums.yaml --sandbox "$kind"
		is "all that it began has ended" "$(here "$kind")" 0
	}
	away="setsid sh -c 'sleep 3$$.$kind & sleep 3$$.$kind' sh 3$$.$kind >/dev/null 2>&1 & sleep 0.2"
	away=${away//sleep 3$$.$kind/sleep 600}
	left "a scorer that leaves a session behind" 0 "$away"
	left "one that fails" 65 "$away; exit 3"
	left "one that takes too long" 69 "$away; sleep 600"
	has "sh took longer than 2.0 s"
	left "one that talks" 0 "awk 'BEGIN { for (i = 0; i < 200000; i++) print \"line\", i }' >&2"
	[ "$(wc -c <"$ERR")" -lt 40000 ] && ok "little of it is in the log" || not_ok "little of it is in the log"
	has "  | line 0"
	has "lines of"
	has "  | line 199999"
	left "one that talks without an end of line" 0 "head -c 3000000 /dev/zero | tr '\\\\0' x >&2"
	[ "$(wc -c <"$ERR")" -lt 40000 ] && ok "little of that, too" || not_ok "little of that, too"
	sed 's/command: \[sh,/command: [no-such-program,/' evals/sums.yaml >evals/none.yaml
	check "a scorer that is not there ($kind)" 69 assay eval "$TRASH/made" evals/none.yaml --sandbox "$kind"
	has "the sandbox has no program no-such-program"
done
is "no folder is left" "$(ls -d "$TMPDIR"/assay-score-* 2>/dev/null | wc -l)" 0
done_testing
