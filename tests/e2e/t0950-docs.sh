#!/usr/bin/env bash
# docs/ against the binary and the source: every command, option and key is described, and nothing else is.
#
# The reference is read by its form: "### assay NAME" begins a command, "    usage: …" is its usage line, and the first
# column of a table holds an option as --help writes it, or a key with its whole path.
. "$(dirname "$0")/lib.sh"
ROOT=$(cd "$HERE/../.." && pwd)
REF=$ROOT/docs/reference.md
MAN=$ROOT/docs/assay.1

# same NAME A B: two files are equal (wanted: what the code has, got: what the page has)
same() {
	if diff -u --label "the code" --label "the page" "$2" "$3" >"$OUT" 2>"$ERR"; then ok "$1"; else not_ok "$1"; fi
}
# empty NAME FILE
empty() {
	cp "$2" "$OUT"
	: >"$ERR"
	if [ -s "$2" ]; then not_ok "$1"; else ok "$1"; fi
}
# The lines of the reference between the heading $1 and the next heading of any depth.
section() { awk -v want="$1" '/^#+ /{on = ($0 == want); next} on' "$REF"; }
# The first column of tables on standard input, without backquotes.
first_column() { sed -n 's/^| `\([^`]*\)` |.*/\1/p'; }

# ---- commands ---------------------------------------------------------------------------------------------------------------

assay help >help.txt 2>&1
awk '/^usage:/{on = 1; next} /^assay COMMAND/{exit} on && /^  [a-z]/{print $1}' help.txt | sort >commands
sed -n 's/^### assay //p' "$REF" | sort >described
is "help lists commands" "$([ "$(wc -l <commands)" -ge 20 ] && echo yes)" yes
same "the reference has exactly the commands of assay help" commands described
while read -r c; do grep -q "^\.B $c\$\|^\.BI* \"*$c " "$MAN" || echo "$c"; done <commands >missing
empty "the man page names every command" missing

# ---- options ----------------------------------------------------------------------------------------------------------------

while read -r c; do
	[ "$c" = help ] && continue # its own --help is the list
	assay "$c" --help >page.txt 2>&1
	section "### assay $c" >ours.txt
	head -n 1 page.txt >want
	sed -n 's/^    usage: /usage: /p' ours.txt >got
	same "$c: usage" want got
	# "  -n, --limit N             at most …": two spaces or the line's end close the option; --help is everyone's
	sed -n '/^options:/,/^$/s/^ *\(\(-., \)\{0,1\}--[^ ]*\( [^ ]\{1,\}\)\{0,1\}\)\(  .*\)\{0,1\}$/\1/p' page.txt |
		grep -vx -- --help | sort >want
	first_column <ours.txt | sort >got
	same "$c: options" want got
	# those without an environment twin
	sed -n 's/^Not so --\(.*\): it must be typed\.$/\1/p' page.txt | sort >want
	sed -n 's/^| `\(-., \)\{0,1\}--\([a-z-]*\)[^|]*|.*\*No twin\.\*.*/\2/p' ours.txt | sort >got
	same "$c: options without a twin" want got
done <commands

# ---- keys -------------------------------------------------------------------------------------------------------------------

# known_keys FILE: "WHERE<TAB>KEY" for each array of keys that is handed to yaml_check_keys(…, "WHERE", ARRAY, …).
known_keys() {
	awk '
	function gather(line) {
		while (match(line, /"[^"]*"/)) {
			list[name] = list[name] substr(line, RSTART + 1, RLENGTH - 2) " "
			line = substr(line, RSTART + RLENGTH)
		}
	}
	/static const char \*const [a-z_]+\[\] = \{/ {
		match($0, /const [a-z_]+\[\]/)
		name = substr($0, RSTART + 6, RLENGTH - 8)
		list[name] = ""
		inside = 1
		sub(/^[^{]*/, "")
	}
	inside { gather($0); if (/\};/) inside = 0 }
	/yaml_check_keys\(/ {
		if (!match($0, /yaml_check_keys\([^"]*"[^"]*", [a-z_]+[,+ ]/)) {
			print "a call that this test cannot read\t" FILENAME ":" FNR
			next
		}
		split(substr($0, RSTART, RLENGTH), part, "\"")
		array = part[3]
		gsub(/[^a-z_]/, "", array)
		n = split(list[array], key, " ")
		for (i = 1; i <= n; i++)
			print part[2] "\t" key[i]
	}' "$1"
}
{
	known_keys "$ROOT/runner/config.c"
	known_keys "$ROOT/runner/config_finetune.c"
	known_keys "$ROOT/evals/gate_policy.c"
	known_keys "$ROOT/evals/gate_limits.c"
} | while IFS=$(printf '\t') read -r where key; do
	case $where in
	assay.yaml) echo "$key" ;;
	base | base.init | base.init.tokenizer | finetune | gate) echo "$where.$key" ;;
	"finetune with a command") echo "finetune.$key" ;;
	finetune.data | finetune.export) echo "$where.$key" ;;
	"a data card") echo "data.PATH.$key" ;;
	"a profile") echo "profiles.NAME.$key" ;;
	"a gate rule") echo "gate.require.RULE.$key" ;;
	inconclusive | incomparable | limits) echo "gate.$where.$key" ;;
	--set) ;; # the keys of finetune again
	*) echo "$where: $key" ;;
	esac
done | sort -u >keys
# promote.BRANCH: the last part is the user's own word
awk '/^## /{on = ($0 == "## assay.yaml")} on' "$REF" | first_column | grep -v '\.[A-Z]*$' | sort >described
is "the sources have keys" "$([ "$(wc -l <keys)" -ge 50 ] && echo yes)" yes
same "the reference has exactly the keys that are read" keys described

# Defaults of the training, as model/train.c sets them.
sed -n '/^void train_options_init/,/^}/s/^\t\t\.\([a-z0-9_]*\) = "\{0,1\}\([^",]*\)"\{0,1\},$/\1 \2/p' "$ROOT/model/train.c" |
	grep -v '^eps \|^max_steps \|^warmup_steps \|^dpo_beta ' >defaults # the last: finetune.beta
is "the sources have defaults" "$([ "$(wc -l <defaults)" -ge 10 ] && echo yes)" yes
while read -r key value; do
	awk -F ' \\| ' -v k="| \`finetune.$key\`" '$1 == k {gsub(/`/, "", $3); print $3}' "$REF" | grep -q "^$value\( \|\$\)" ||
		echo "finetune.$key: $value"
done <defaults >missing
empty "the defaults of the training are the code's" missing

# ---- words and numbers --------------------------------------------------------------------------------------------------------

{
	printf '0\n1\n2\n'
	sed -n 's/^\tERR_[A-Z]* = -\(6[4-9]\|7[0-9]\),.*/\1/p' "$ROOT/base/err.h"
} | sort >want
awk '/^## /{on = ($0 == "## Exit codes")} on' "$REF" | sed -n 's/^| \([0-9]*\) |.*/\1/p' | sort >got
same "exit codes" want got
grep 'verdicts\[\] = {' "$ROOT/evals/gate.c" | grep -o '"[A-Z_]*"' | tr -d '"' | sort >want
section "## Verdicts" | first_column | sort >got
same "verdicts" want got
grep -rhoE 'getenv\("(ASSAY|GITHUB|CI|GITLAB)_[A-Z_]+"\)' "$ROOT"/{base,runner,artifacts,ci,kernels,model,evals} --include=*.c |
	grep -oE 'ASSAY_[A-Z_]+' | sort -u | while read -r v; do
	section "## Environment" | first_column | grep -qx "$v" || echo "$v"
done >missing
empty "variables that the source reads" missing

# ---- what the pages point at -----------------------------------------------------------------------------------------------------

(cd "$ROOT/docs" && for f in *.md; do
	grep -oE '\]\([^)#: ]+[^):]*\)' "$f" | sed 's/^](//; s/)$//; s/#.*//' | while read -r to; do
		[ -e "$to" ] || echo "docs/$f: $to"
	done
done) >missing
empty "links between the pages lead somewhere" missing
(cd "$ROOT" && for f in docs/tour.md docs/design.md docs/reference.md; do
	grep -oE '`(runner|evals|model|kernels|artifacts|ci|base|tests)/([A-Za-z0-9_./-]+\.(c|h|sh|sql)|[a-z0-9/]*)`' "$f" | tr -d '`' | while read -r to; do
		[ -e "$to" ] || echo "$f: $to"
	done
done) >missing
empty "files that the pages name are there" missing
# by its name, or by a pattern such as `runner/cmd_*.c`
grep -oE '`[a-z]+/[a-z0-9_*]+\.c`' "$ROOT/docs/tour.md" | tr -d '`' >patterns
(cd "$ROOT" && for f in {runner,evals,model,kernels,artifacts,ci,base}/*.c; do
	while read -r p; do
		# shellcheck disable=SC2254 # a pattern is wanted
		case $f in $p) continue 2 ;; esac
	done <"$TRASH/patterns"
	echo "$f"
done) >missing
empty "the tour passes every source file (a new one needs its words in docs/tour.md)" missing
(cd "$ROOT/docs" && for f in *.*; do
	[ "$f" = README.md ] || grep -qF "($f)" README.md || echo "$f"
done) >missing
empty "docs/README.md lists every page" missing

# ---- the man page ------------------------------------------------------------------------------------------------------------------

if command -v mandoc >/dev/null 2>&1; then
	mandoc -T lint -W warning "$MAN" >lint 2>&1
	empty "mandoc finds nothing in the man page" lint
elif command -v groff >/dev/null 2>&1; then
	groff -man -Tutf8 -ww -z "$MAN" >lint 2>&1
	empty "groff finds nothing in the man page" lint
else
	skip "the man page is well-formed" "neither mandoc nor groff is here"
fi
done_testing
