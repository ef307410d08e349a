#!/usr/bin/env bash
# A team's own trainer: a private checkout, a sandbox, inputs as the key, and what happens when it fails.
. "$(dirname "$0")/lib.sh"
tiny_repo repo
assay run >/dev/null 2>&1
obj=$(sql "select object from versions")
mkdir -p made
jq -r '.files[] | "\(.path) \(.object)"' ".git/assay/objects/${obj:0:2}/${obj:2}" | while read -r path o; do
	cp ".git/assay/objects/${o:0:2}/${o:2}" "made/$path"
done
chmod -R u+w made
cat >train.sh <<'T'
#!/bin/sh
echo "training on $(wc -l < data/train.jsonl) lines at $ASSAY_COMMIT"
[ -z "$SECRET_TOKEN" ] || exit 9
mkdir -p out && cp made/* out/
T
awk '/^base:/{print "base: made"; skip=1; next} /^finetune:/{skip=1; next} /^[a-z]/{skip=0} !skip' assay.yaml >a && mv a assay.yaml
cat >>assay.yaml <<-Y
	finetune:
	  command: [sh, train.sh]
	  inputs: [data/train.jsonl, train.sh, made]
	  output: out/
Y
commit_all "our own trainer"
export SECRET_TOKEN=s3cret
check "a policy without a sandbox refuses commands" 78 assay run
has "sandbox: auto"
echo "sandbox: external" >>assay.yaml && commit_all "policy: external sandbox"
check "an external sandbox runs it" 0 assay run --json
is "it trained" "$(jq -r '.steps[] | select(.name=="train") | .status' "$OUT")" "done"
is "its inputs were compared with the questions" "$(sql "select value from metrics where metric = 'overlap' order by (select seq from runs where n = run) desc limit 1")" 1.0
is "all of them: weights are no data" "$(assay show --json | jq -c .overlap.missing)" '[]'
printf 'packed\0data' >made/shard.bin && sed -i 's/^gate:$/gate:\n  max_overlap: 100%/' assay.yaml && commit_all "a packed shard"
check "what cannot be compared does not pass a rule" 2 assay run
has "not compared: made/shard.bin"
git reset -q --hard HEAD~1
sed -i "1a touch '$TRASH/slipped' 2>/dev/null" train.sh && commit_all "it writes elsewhere"
env GITLAB_CI=true CI_PIPELINE_SOURCE=web CI_COMMIT_BRANCH=main "$ASSAY_TEST_BIN" run >/dev/null 2>"$OUT"
[ -e "$TRASH/slipped" ] && not_ok "on a CI's machine no commit says of itself that it is in a sandbox" || ok "on a CI's machine no commit says of itself that it is in a sandbox"
git clone -q --bare . "$TRASH/origin.git" && git -C "$TRASH/origin.git" branch -q topic
slips() { # NAME VARIABLE…: in a clone as NAME, no commit of a branch that anybody may push leaves the sandbox
	name=$1 && shift
	rm -f "$TRASH/slipped"
	env "$@" "$ASSAY_TEST_BIN" run >"$OUT" 2>"$ERR"
	[ -e "$TRASH/slipped" ] && not_ok "$name: not without a sandbox" || ok "$name: not without a sandbox"
}
git clone -q --single-branch -b topic "$TRASH/origin.git" "$TRASH/single" && cd "$TRASH/single" || exit 1
for ci in CI=true TF_BUILD=True TEAMCITY_VERSION=2024 CODEBUILD_BUILD_ID=x:1 JENKINS_URL=http://x; do
	rm -rf .git/assay
	slips "what a branch follows (${ci%=*})" "$ci"
done
rm -rf .git/assay
slips "a stranger's branch on a person's machine" HOME="$HOME"
git init -q "$TRASH/detached" && cd "$TRASH/detached" && git fetch -q "$TRASH/origin.git" topic && git checkout -q FETCH_HEAD
slips "a commit alone" TF_BUILD=True
git checkout -q -b here && rm -rf .git/assay
slips "and on a branch" TF_BUILD=True
rm -rf .git/assay
sed -i 's/^  output: out./&\n  env: [SECRET_TOKEN]/' assay.yaml && commit_all "and a secret"
slips "with a secret" TF_BUILD=True
has "SECRET_TOKEN is not handed to the command" "it gets none"
cd "$TRASH/repo" || exit 1
sed -i "1a true" train.sh && commit_all "once more"
check "on its author's own it does" 0 assay run
[ -e "$TRASH/slipped" ] && ok "and writes there" || not_ok "and writes there"
git reset -q --hard HEAD~2
echo hello >unrelated && commit_all "unrelated"
check "an unrelated change runs nothing" 0 assay run --json
is "it was reused" "$(jq -r '.steps[] | select(.name=="train") | .status' "$OUT")" reused
[ -e out ] && not_ok "the work tree is untouched" || ok "the work tree is untouched"

# what a sandbox must hold: each line of the probe that succeeds names itself by its exit code
cat >probe.sh <<-T
	#!/bin/bash
	sh train.sh || exit 1
	touch "$TRASH/escaped" 2>/dev/null
	cat "$HOME/.gitconfig" 2>/dev/null && exit 8
	head -c 1 "$TRASH/repo/.git/assay/registry.db" 2>/dev/null && exit 6
	(exec 3<>/dev/tcp/127.0.0.1/9) 2>/dev/null && exit 5
	cat /proc/\$PPID/environ 2>/dev/null | grep -q SECRET_TOKEN && exit 9
	kill -0 $$ 2>/dev/null && exit 10
	echo x >"\${TMPDIR:-/tmp}/mine" || exit 11
	exit 0
T
sandboxes="landlock auto"
if bwrap --unshare-all --ro-bind / / true 2>/dev/null; then sandboxes="bubblewrap $sandboxes"; else skip "bubblewrap runs it" "bubblewrap does not work on this machine"; fi
sed -i 's/inputs: \[/inputs: [probe.sh, /; s/train.sh\]$/probe.sh]/' assay.yaml
for sandbox in $sandboxes; do
	sed -i "s/^sandbox: .*/sandbox: $sandbox/" assay.yaml
	echo "# in $sandbox" >>probe.sh && commit_all "in $sandbox"
	if assay doctor 2>/dev/null | grep -qE 'ok +sandbox'; then
		check "$sandbox runs it" 0 assay run
		[ -e "$TRASH/escaped" ] && not_ok "it cannot write outside ($sandbox)" || ok "it cannot write outside ($sandbox)"
	else
		skip "$sandbox runs it" "neither bubblewrap nor Landlock works on this machine"
	fi
done
sed -i 's/^sandbox: .*/sandbox: bubblewrap/' assay.yaml && echo "# not there" >>probe.sh && commit_all "not there"
mkdir "$TRASH/nobwrap" && for t in git sh env; do ln -s "$(command -v $t)" "$TRASH/nobwrap/$t"; done
check "bubblewrap that is not there" 78 env PATH="$TRASH/nobwrap" "$ASSAY_TEST_BIN" run
has "sandbox: auto, which takes Landlock then"
sed -i 's/sandbox: bubblewrap/sandbox: external/; s/probe.sh\]/train.sh]/; s/\[probe.sh, /[/' assay.yaml
printf '#!/bin/sh\necho "CUDA out of memory" >&2\nexit 3\n' >train.sh
commit_all "a trainer that fails"
check "a trainer that fails" 65 assay run
has "exit code 3"
has "CUDA out of memory"
printf '#!/bin/sh\nexit 0\n' >train.sh
commit_all "a trainer that writes nothing"
check "a trainer that writes nothing" 65 assay run
has "wrote no folder"
printf '#!/bin/sh\nmkdir -p out; echo "{}" > out/config.json\n' >train.sh
commit_all "half an output"
check "half an output" 65 assay run
has "tokenizer.json"
printf '#!/bin/sh\nmkdir -p out; ln -s /etc out/config.json; cp made/tokenizer.json out/\n' >train.sh
commit_all "links out"
check "an output that links out of the tree" 65 assay run
has "leaves the tree"
mkdir "$TRASH/theirs" && cp made/* "$TRASH/theirs/"
printf '#!/bin/sh\nln -s "%s" out\n' "$TRASH/theirs" >train.sh
commit_all "the output is a link"
check "an output that is a link to other files" 65 assay run
has "out is a link that leaves the tree"
printf '#!/bin/sh\nmkdir out; cp made/* out/; mkfifo out/pipe\n' >train.sh
commit_all "a pipe"
check "a pipe in the output is not waited for" 65 timeout 60 "$ASSAY_TEST_BIN" run
has "pipe is not a regular file"
printf '#!/bin/sh\n[ -z "$SECRET_TOKEN" ] || exit 9\nmkdir out; cp made/* out/\n' >train.sh
commit_all "no secrets" && target=$(git rev-parse HEAD)
sed -i 's/^  output: out./&\n  env: [SECRET_TOKEN]/' assay.yaml
commit_all "asks for a secret"
check "a commit that asks for a secret does not get it" 0 assay run --target "$target"
has "SECRET_TOKEN is not handed to the command"
echo "# again" >>train.sh && commit_all "another key"
check "the policy may give it" 65 assay run
has "exit code 9"
sed -i '/SECRET_TOKEN/d' assay.yaml
sed -i 's/\[sh, train.sh\]/[no-such-program]/' assay.yaml
commit_all "no such program"
check "a program that is not there" 69 assay run
has "no-such-program"
check "the registry is sound" 0 assay registry check
done_testing
