#!/usr/bin/env bash
# Devices that are not there: every one has one error with the fix and the right exit code; auto goes on with the CPU. The
# plugin of the toolkit is tried where it was built, and where the machine has no card.
. "$(dirname "$0")/lib.sh"
tiny_repo repo
assay run >/dev/null 2>&1
echo '{"id":1,"context":"1+2=","continuation":"3"}' >reqs
score() { assay score sums@v1 --device "$1" <reqs; }
check "a device of that name is not known" 64 score gpu
has "cuda:1/tf32"
check "nor a class" 64 score cuda/fp8
check "auto finds one" 0 score auto
cp "$OUT" auto.out
plugin=$(dirname "$ASSAY_TEST_BIN")/libassay-cuda.so

# without the plugin
mkdir bare
cp "$ASSAY_TEST_BIN" bare/assay
bare() { "$TRASH/repo/bare/assay" score sums@v1 --device "$1" <reqs; }
check "without a plugin there is no CUDA" 69 bare cuda
has "bare/libassay-cuda.so is not there"
has "make CUDA=1"
check "auto is the CPU" 0 bare auto
check "doctor says what is missing" 0 "$TRASH/repo/bare/assay" doctor
has "libassay-cuda.so is not there"
echo nonsense >bare/libassay-cuda.so
check "a plugin that is no library" 69 bare cuda:0
has "the plugin cannot be loaded"
# in part: the loader maps what is not there, and the first touch would kill the process
printf 'char x[1 << 20] = { 1 };\n' >x.c
cc -shared -fPIC -o whole.so x.c
for bytes in 64 1000 5000 60000 1000000 $(($(wc -c <whole.so) - 1)); do
	head -c "$bytes" whole.so >bare/libassay-cuda.so
	check "a plugin of which $bytes bytes were copied" 69 bare cuda:0
	has "libassay-cuda.so is cut off"
	has "copy or install it again"
done
check "doctor says it" 0 "$TRASH/repo/bare/assay" doctor
has "libassay-cuda.so is cut off"
check "auto is the CPU" 0 bare auto
has "device auto: the CPU, since cuda: the plugin"
is "with the scores of the CPU" "$(cat "$OUT")" "$(cat auto.out)"
printf 'int x;\n' >x.c
cc -shared -fPIC -o bare/libassay-cuda.so x.c
check "a library that is no plugin" 69 bare cuda:0
has "not of this build"
# one that only says that it was opened: of this build, and of others by each thing they are compared by
src=$HERE/../..
cat >x.c <<'END'
#include "kernels/kernels.h"
#ifndef BUILD
#define BUILD KERNELS_BUILD
#endif
const int assay_cuda_abi = ABI;
#ifndef OLD
const struct kernels_build assay_cuda_build = BUILD;
#endif
int assay_cuda_open(struct backend **out, const struct kernels_want *want) { *out = NULL; return want->fail(-69, "it was opened", "none"); }
int assay_cuda_count(int *n, int (*fail)(int code, const char *text, const char *fix)) { *n = 0; return fail ? 0 : 1; }
void assay_cuda_probe(kernels_tell *tell, void *arg) { tell(arg, true, "it", "was asked", NULL); }
END
id=-DKERNELS_BUILD_ID=0x$(sha256sum "$src/kernels/kernels.h" | cut -c1-16)u
plugin_of() { rm bare/libassay-cuda.so && cc -std=c11 -D_GNU_SOURCE -shared -fPIC -I"$src" "$id" "$@" -o bare/libassay-cuda.so x.c; }
plugin_of -DABI=KERNELS_ABI
check "a plugin of this build" 69 bare cuda:0
has "it was opened"
other() { # WHAT FLAG…
	plugin_of "${@:2}"
	check "a plugin of another build: $1" 69 bare cuda:0
	has "libassay-cuda.so is not of this build"
	has "build or install the program and its plugin together"
	hasnt "it was opened"
}
other "its number" -DABI=KERNELS_ABI-1
other "the size of its table" -DABI=KERNELS_ABI '-DBUILD={sizeof(struct backend)+8,KERNELS_BUILD_ID}'
other "its header" -DABI=KERNELS_ABI '-DBUILD={sizeof(struct backend),KERNELS_BUILD_ID+1}'
other "nothing but a number" -DABI=KERNELS_ABI -DOLD
check "auto goes on" 0 bare auto
is "with the same scores" "$(cat "$OUT")" "$(cat auto.out)"

if [ ! -f "$plugin" ]; then
	skip "the plugin of the toolkit" "it was not built"
elif [ -e /dev/nvidiactl ]; then
	skip "a machine without a driver" "this one has it"
else
	check "without a driver there is no device" 69 score cuda
	has "no NVIDIA driver"
	has "fix: "
	check "nor one of a number and a class" 69 score cuda:7/f32
	check "a run ends before it begins" 69 assay run --device cuda
	has "no NVIDIA driver"
	check "doctor says so" 0 assay doctor
	has "no NVIDIA driver"
	is "the plugin exports its six symbols and no more" "$(nm -D --defined-only "$plugin" | awk '{print $3}' | sort | tr '\n' ' ')" \
		"assay_cuda_abi assay_cuda_build assay_cuda_count assay_cuda_open assay_cuda_probe assay_cuda_tune "
	is "and needs nothing of CUDA to be loaded" "$(objdump -p "$plugin" | awk '/NEEDED/ {print $2}' | grep -ci 'cuda\|cublas\|nccl')" 0
fi
done_testing
