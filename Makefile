# assay: one native binary that turns a git push into a gated model version.
#
#   make            build/assay (and build/libassay-cuda.so where a CUDA toolkit is found)
#   make demo       installs what is missing, builds, then pushes for real and shows what happens
#   make test       installs what is missing, builds, passes the tests
#   make help       everything else
#
# Variables: BUILD=build  SANITIZE=address,undefined  CUDA=0|1  PREFIX=/usr/local  DESTDIR=  V=1 (show commands)  JOBS=N (tests at a time)

BUILD    ?= build
PREFIX   ?= /usr/local
SANITIZE ?=
NVCC     ?= $(or $(shell command -v nvcc 2>/dev/null),$(wildcard /usr/local/cuda/bin/nvcc))
CUDA     ?= $(if $(NVCC),1,0)
V        ?= 0

CC        ?= cc
CXX       ?= c++
PKGCONFIG ?= pkg-config
Q         := $(if $(filter 1,$(V)),,@)
.DEFAULT_GOAL := all

# ---- what is asked of the machine: pkg-config module and the Debian package that brings it --------------------------
DEPS := libgit2:libgit2-dev sqlite3:libsqlite3-dev libarchive:libarchive-dev libfyaml:libfyaml-dev \
        jansson:libjansson-dev libpcre2-8:libpcre2-dev libcrypto:libssl-dev \
        zlib:zlib1g-dev libzstd:libzstd-dev liblz4:liblz4-dev snappy:libsnappy-dev
# wanted for its header alone: base/http.c opens the library when a server is asked
DEPS_HEADER := libcurl:libcurl4-openssl-dev
MODULES := $(foreach d,$(DEPS),$(firstword $(subst :, ,$(d))))
MULTIARCH := $(shell $(CC) -print-multiarch 2>/dev/null)
BLIS_INC ?= $(firstword $(wildcard /usr/include/$(MULTIARCH)/blis-openmp /usr/include/blis))
BLIS_LIB ?= $(firstword $(wildcard /usr/lib/$(MULTIARCH)/blis-openmp/libblis.a /usr/lib/libblis.a /usr/local/lib/libblis.a))

# ---- flags -------------------------------------------------------------------------------------------------------------
WARN := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wvla -Wstrict-prototypes -Wmissing-prototypes \
        -Wpointer-arith -Wwrite-strings -Werror
# The instruction level is part of the numerics class: fixed here, not "native". No contraction but where it is written.
ARCH := $(if $(filter x86_64,$(shell uname -m)),-march=x86-64-v3,)
SAN  := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer)
OPT  ?= $(if $(SANITIZE),-O1,-O3)
DEFINES := -D_GNU_SOURCE -DASSAY_TEMPLATES_DIR='"$(PREFIX)/share/assay"'
CFLAGS_ALL = -std=c11 -g $(OPT) $(ARCH) -ffp-contract=off -fopenmp -fno-math-errno -fPIC $(WARN) $(SAN) $(DEFINES) -I. \
             $(DEP_CFLAGS) $(if $(BLIS_INC),-isystem $(BLIS_INC)) $(CFLAGS)
DEP_CFLAGS = $(shell $(PKGCONFIG) --cflags $(MODULES) $(firstword $(subst :, ,$(DEPS_HEADER))) 2>/dev/null)
DEP_LIBS   = $(shell $(PKGCONFIG) --libs $(MODULES) 2>/dev/null)
LIBS = $(DEP_LIBS) $(BLIS_LIB) -lm -ldl -lpthread
LDFLAGS_ALL = -fopenmp $(SAN) $(LDFLAGS)

# ---- sources: a folder, a room --------------------------------------------------------------------------------------------
ROOMS := base kernels model evals artifacts ci runner
SRC   := $(foreach r,$(ROOMS),$(sort $(wildcard $(r)/*.c)))
EMBED := $(wildcard artifacts/schema.sql) $(sort $(wildcard ci/templates/* ci/html/*))
OBJ   := $(SRC:%.c=$(BUILD)/obj/%.o) $(BUILD)/obj/embed.o
LIB   := $(BUILD)/libassay.a
BIN   := $(BUILD)/assay
CU    := $(sort $(wildcard kernels/*.cu))
PLUGIN := $(if $(filter 1,$(CUDA)),$(if $(CU),$(BUILD)/libassay-cuda.so))

UNIT     := $(sort $(wildcard tests/unit/test_*.c))
UNIT_BIN := $(UNIT:tests/unit/%.c=$(BUILD)/tests/%)
E2E      := $(sort $(wildcard tests/e2e/t[0-9]*.sh))

# ---- build ---------------------------------------------------------------------------------------------------------------
.PHONY: all test test-unit test-e2e test-cuda check-cuda-faults cuda-report gpu-bundle demo bench lint format check-format check-style check-reference check-statistics install uninstall \
        dist deb clean help deps-check deps tests-build fuzz
all: deps-check $(BIN) $(PLUGIN)

deps-check:
	@sh ci/check-deps $(DEPS) $(DEPS_HEADER)
	@test -n "$(BLIS_LIB)" || { echo "missing library: blis (apt-get install libblis-openmp-dev, or: ci/install-deps)" >&2; exit 1; }

$(BIN): $(BUILD)/obj/runner/main.o $(LIB) ci/static-libs
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -Wl,--as-needed,--gc-sections -o $@ $(BUILD)/obj/runner/main.o $(LIB) $$(CC="$(CC)" sh ci/static-libs $(LIBS))

$(LIB): $(filter-out %/runner/main.o,$(OBJ))
	@echo "  AR    $@"
	$(Q)rm -f $@ && ar rcs $@ $^

# Flags that change make everything stale: a sanitizer build never mixes with a plain one.
FLAGS_TAG := $(BUILD)/obj/flags
$(FLAGS_TAG): FORCE
	@mkdir -p $(dir $@)
	@echo '$(CC) $(OPT) $(ARCH) $(SAN) $(DEFINES) $(CFLAGS)' | cmp -s - $@ || echo '$(CC) $(OPT) $(ARCH) $(SAN) $(DEFINES) $(CFLAGS)' > $@
.PHONY: FORCE
FORCE:

# Two files are for wider instructions than the rest; they give the same bits, and run only where the processor has them.
$(BUILD)/obj/kernels/cpu_level_v4.o $(BUILD)/obj/kernels/cpu_attn_v4.o: private ARCH := $(ARCH:v3=v4)

# What the program and its plugin are compared by: the digest of the header both are compiled with. Those that write it down include
# that header, so they are made anew when it changes.
KERNELS_ID := -DKERNELS_BUILD_ID=0x$(shell sha256sum kernels/kernels.h | cut -c1-16)u
$(BUILD)/obj/kernels/backend.o: private DEFINES += $(KERNELS_ID)
$(BUILD)/cuda/cuda.o: private CUDA_CXXFLAGS += $(KERNELS_ID)
$(BUILD)/cuda/nv/cuda.o: private NVCC_FLAGS += $(KERNELS_ID)

$(BUILD)/obj/%.o: %.c $(FLAGS_TAG)
	@mkdir -p $(dir $@)
	@echo "  CC    $<"
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# Files that travel inside the binary.
$(BUILD)/obj/embed.c: $(EMBED) ci/embed
	@mkdir -p $(dir $@)
	$(Q)sh ci/embed $(EMBED) > $@.tmp && mv $@.tmp $@
$(BUILD)/obj/embed.o: $(BUILD)/obj/embed.c
	$(Q)$(CC) $(CFLAGS_ALL) -c -o $@ $<

# The plugin, of CUDA 12 or 13: code for Ampere and Hopper, and PTX for what follows. It has the runtime in itself, looks for
# cuBLASLt when it is opened, and exports six symbols. The C++ runtime is in it, too: the machine with the card may have an
# older one, or none. No contraction: the bits are those that are written.
NVCC_FLAGS := -std=c++17 -O3 -fmad=false -lineinfo -Xcompiler -fPIC,-fvisibility=hidden,-Wall,-Wno-unknown-pragmas -I. \
              -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=sm_90 -gencode arch=compute_90,code=compute_90
NV_OBJ     := $(CU:kernels/%.cu=$(BUILD)/cuda/nv/%.o)
NV_TAG     := $(BUILD)/cuda/nv/flags
$(NV_TAG): FORCE
	@mkdir -p $(dir $@)
	@echo '$(NVCC) $(NVCC_FLAGS)' | cmp -s - $@ || echo '$(NVCC) $(NVCC_FLAGS)' > $@
$(BUILD)/cuda/nv/%.o: kernels/%.cu $(wildcard kernels/*.h) base/base.h $(NV_TAG)
	@echo "  NVCC  $<"
	$(Q)$(NVCC) $(NVCC_FLAGS) -c -o $@ $<
$(BUILD)/libassay-cuda.so: $(NV_OBJ)
	@echo "  LINK  $@"
	$(Q)$(NVCC) -shared -cudart static -Xcompiler -static-libstdc++,-static-libgcc \
	    -Xlinker --no-undefined,--as-needed,--exclude-libs,ALL,--gc-sections -o $@ $(NV_OBJ) -ldl
# Registers, stack frames and spills of every kernel
cuda-report: $(BUILD)/libassay-cuda.so
	$(Q)DEFINES="$(KERNELS_ID)" sh tests/cuda/report $(BUILD) $(NVCC) $(CU)

-include $(SRC:%.c=$(BUILD)/obj/%.d)

# ---- tests ---------------------------------------------------------------------------------------------------------------
$(BUILD)/tests/%: tests/unit/%.c $(LIB)
	@mkdir -p $(dir $@)
	@echo "  TEST  $@"
	$(Q)$(CC) $(CFLAGS_ALL) -Itests -MMD -MP $(LDFLAGS_ALL) -o $@ $< $(LIB) $(LIBS) $$($(PKGCONFIG) --libs cmocka)
-include $(UNIT_BIN:%=%.d)

# The CUDA files as C++ for the host: tests/cuda_emulation/ stands in for the toolkit. Its own scheduler is out of the thread
# sanitizer's sight. Every block of device memory is one of its own there, so that a byte beyond it is seen; test_slabs is test_cuda
# with the arena that cuts blocks from slabs. bin/ has a whole program whose plugin is the emulated one.
CUDA_EMU      := tests/cuda_emulation
CUDA_OBJ      := $(patsubst kernels/%.cu,$(BUILD)/cuda/%.o,$(CU))
CUDA_EMU_OBJ  := $(BUILD)/cuda/emulation.o $(BUILD)/cuda/cuda_runtime.o
CUDA_LT_OBJ   := $(BUILD)/cuda/cublaslt.o # stands in for cuBLASLt in the programs that are linked with it
CUDA_NCCL_OBJ := $(BUILD)/cuda/nccl.o     # and for NCCL
CUDA_TEST_BIN := $(patsubst $(CUDA_EMU)/%.cpp,$(BUILD)/cuda/%,$(sort $(wildcard $(CUDA_EMU)/test_*.cpp))) $(BUILD)/cuda/test_slabs
CUDA_EMU_BIN  := $(BUILD)/cuda/bin/assay $(BUILD)/cuda/bin/libassay-cuda.so
CUDA_CXXFLAGS  = -std=c++17 -g $(if $(SANITIZE),-O1,-O2) $(ARCH) -Wall -Wextra -Werror -Wno-unknown-pragmas -fno-strict-aliasing \
                 -ffp-contract=off -fPIC -D_GNU_SOURCE -DASSAY_CUDA_EMULATION -DCUDA_SLAB_BYTES=$(SLAB_BYTES) -I$(CUDA_EMU) -I. -MMD -MP
SLAB_BYTES     = 0
CUDA_EMU_SAN   = $(if $(filter thread,$(SANITIZE)),-DEMU_TSAN,$(SAN))
$(BUILD)/cuda/%.o: kernels/%.cu $(FLAGS_TAG)
	@mkdir -p $(dir $@)
	@echo "  EMU   $<"
	$(Q)$(CXX) $(CUDA_CXXFLAGS) $(SAN) -x c++ -c -o $@ $<
$(CUDA_EMU_OBJ): $(BUILD)/cuda/%.o: $(CUDA_EMU)/%.cpp $(FLAGS_TAG)
	@mkdir -p $(dir $@)
	$(Q)$(CXX) $(CUDA_CXXFLAGS) $(CUDA_EMU_SAN) -O2 -c -o $@ $<
$(CUDA_LT_OBJ) $(CUDA_NCCL_OBJ): $(BUILD)/cuda/%.o: $(CUDA_EMU)/%.cpp $(FLAGS_TAG)
	@mkdir -p $(dir $@)
	$(Q)$(CXX) $(CUDA_CXXFLAGS) $(SAN) -c -o $@ $<
$(BUILD)/cuda/test_%: $(CUDA_EMU)/test_%.cpp $(CUDA_OBJ) $(CUDA_EMU_OBJ) $(LIB)
	@echo "  TEST  $@"
	$(Q)$(CXX) $(CUDA_CXXFLAGS) $(SAN) -rdynamic -o $@ $< $(filter %.o,$^) $(LIB) -fopenmp $(LIBS)
$(BUILD)/cuda/test_lt: $(CUDA_LT_OBJ)
$(BUILD)/cuda/test_nccl: $(CUDA_NCCL_OBJ)
$(BUILD)/cuda/slabs.o: kernels/cuda_memory.cu $(FLAGS_TAG)
	@mkdir -p $(dir $@)
	$(Q)$(CXX) $(CUDA_CXXFLAGS) $(SAN) -x c++ -c -o $@ $<
$(BUILD)/cuda/slabs.o: private SLAB_BYTES = 67108864
$(BUILD)/cuda/test_slabs: $(CUDA_EMU)/test_cuda.cpp $(CUDA_OBJ) $(BUILD)/cuda/slabs.o $(CUDA_EMU_OBJ) $(LIB)
	@echo "  TEST  $@"
	$(Q)$(CXX) $(CUDA_CXXFLAGS) $(SAN) -o $@ $< $(filter-out %/cuda_memory.o,$(CUDA_OBJ)) $(BUILD)/cuda/slabs.o \
	    $(CUDA_EMU_OBJ) $(LIB) -fopenmp $(LIBS)
$(BUILD)/cuda/bin/libassay-cuda.so: $(CUDA_OBJ) $(CUDA_EMU_OBJ) $(CUDA_EMU)/machine.cpp $(CUDA_EMU)/nccl.cpp
	@mkdir -p $(dir $@)
	@echo "  LINK  $@"
	$(Q)$(CXX) $(CUDA_CXXFLAGS) $(SAN) -shared -Wl,--version-script=$(CUDA_EMU)/exports -o $@ $(CUDA_OBJ) \
	    $(CUDA_EMU_OBJ) $(CUDA_EMU)/nccl.cpp $(CUDA_EMU)/machine.cpp -ldl # last: it begins when the others have
$(BUILD)/cuda/bin/assay: $(BIN)
	@mkdir -p $(dir $@)
	$(Q)cp $< $@
-include $(BUILD)/cuda/slabs.d $(CUDA_LT_OBJ:%.o=%.d) $(CUDA_NCCL_OBJ:%.o=%.d) $(CUDA_OBJ:%.o=%.d) $(CUDA_EMU_OBJ:%.o=%.d) $(CUDA_TEST_BIN:%=%.d)

# Whole models on the emulated device: tests/unit/test_families.c again, which opens the plugin beside it
$(BUILD)/cuda/bin/test_cuda_families: tests/unit/test_families.c $(LIB) $(BUILD)/cuda/bin/libassay-cuda.so
	@echo "  TEST  $@"
	$(Q)$(CC) $(CFLAGS_ALL) -DON_CUDA -Itests $(LDFLAGS_ALL) -o $@ $< $(LIB) $(LIBS) $$($(PKGCONFIG) --libs cmocka)
# Whole models trained with their products by the library that is stood in for
$(BUILD)/cuda/test_lt_train: $(CUDA_EMU)/test_lt_train.c $(CUDA_LT_OBJ) $(CUDA_OBJ) $(CUDA_EMU_OBJ) $(LIB)
	@echo "  TEST  $@"
	$(Q)$(CC) $(CFLAGS_ALL) -Itests -I$(CUDA_EMU) -MMD -MP -c -o $@.o $<
	$(Q)$(CXX) $(SAN) -rdynamic -o $@ $@.o $(filter %.o,$^) $(LIB) -fopenmp $(LIBS) $$($(PKGCONFIG) --libs cmocka)
-include $(BUILD)/cuda/test_lt_train.d
CUDA_TEST_BIN += $(if $(filter thread,$(SANITIZE)),,$(BUILD)/cuda/bin/test_cuda_families $(BUILD)/cuda/test_lt_train)

tests-build: all $(UNIT_BIN) $(CUDA_TEST_BIN) $(CUDA_EMU_BIN) $(BUILD)/gpu-bundle-dry/run.sh

test: deps
	$(Q)$(MAKE) --no-print-directory -j$$(nproc) tests-build
	$(Q)sh tests/run $(BUILD) $(UNIT_BIN) $(CUDA_TEST_BIN) $(E2E)
# make test-cuda BUILD=build-san SANITIZE=address,undefined; and BUILD=build-tsan SANITIZE=thread
test-cuda: $(CUDA_TEST_BIN)
	$(Q)sh tests/run $(BUILD) $(CUDA_TEST_BIN)

# Faults planted into the CUDA files, which the tests must see
check-cuda-faults: $(CUDA_TEST_BIN)
	$(Q)LIBS="$(LIBS)" CXX="$(CXX)" bash $(CUDA_EMU)/check_faults $(BUILD) "$(SANITIZE)" $(FAULTS)

test-unit: tests-build
	$(Q)sh tests/run $(BUILD) $(UNIT_BIN)
test-e2e: all $(CUDA_EMU_BIN) $(BUILD)/gpu-bundle-dry/run.sh
	$(Q)sh tests/run $(BUILD) $(E2E)

deps:
	$(Q)sh ci/install-deps

demo: deps
	$(Q)$(MAKE) --no-print-directory -j$$(nproc) all
	$(Q)bash ci/demo/run $(BUILD)

# The tests of kernels for a card: the same sources, which open the plugin beside them
CARD_TESTS := $(addprefix $(BUILD)/bench/test_cuda_,norm pointwise loss head draw attn attn_back) $(BUILD)/bench/test_gemm
$(CARD_TESTS): $(BUILD)/bench/%: $(CUDA_EMU)/%.cpp $(wildcard $(CUDA_EMU)/*.h) $(LIB)
	@mkdir -p $(dir $@)
	$(Q)$(CXX) -std=c++17 -O2 -Wall -Wextra -Werror -D_GNU_SOURCE -DON_CARD -I. $(SAN) $(LDFLAGS_ALL) -static-libstdc++ -o $@ $< \
	    $(LIB) $(LIBS)

# One folder for a session on a machine with a card: docs/gpu.md
gpu-bundle: all $(CUDA_EMU_BIN)
	$(Q)NVCC="$(NVCC)" bash ci/gpu-bundle $(BUILD)

# The same folder with the emulated plugin, for tests/e2e/t0820-gpu-bundle.sh
$(BUILD)/gpu-bundle-dry/run.sh: tests/cuda/run.sh ci/gpu-bundle $(wildcard tests/cuda/*) $(CUDA_EMU_BIN) \
    $(addprefix $(BUILD)/bench/,bench_gpu bench_train bench_ask) $(CARD_TESTS) $(wildcard tests/bench/bench_torch_*.py)
	$(Q)bash ci/gpu-bundle $(BUILD) dry >/dev/null

$(BUILD)/bench/%: tests/bench/%.c $(LIB)
	@mkdir -p $(dir $@)
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $< $(LIB) $(LIBS)

bench: all
	$(Q)bash tests/bench/run $(BUILD)
	$(Q)bash tests/bench/run_store $(BUILD)
	$(Q)bash tests/bench/run_start $(BUILD)

# Each tests/fuzz/fuzz_NAME.c for FUZZ_SECONDS, from the seeds in tests/fuzz/corpus/NAME; what is found stays in the build.
FUZZ         := $(sort $(wildcard tests/fuzz/fuzz_*.c))
FUZZ_BIN     := $(FUZZ:tests/fuzz/%.c=$(BUILD)/fuzz/%)
FUZZ_OBJ     := $(patsubst %.c,$(BUILD)/fuzz/obj/%.o,$(filter base/%.c model/%.c evals/%.c \
                  artifacts/pieces.c artifacts/split.c artifacts/delta.c artifacts/store_sealed.c,$(SRC)))
FUZZ_CC      ?= clang
FUZZ_SECONDS ?= 20
FUZZ_CFLAGS   = -std=c11 -g -O1 $(ARCH) -ffp-contract=off -fno-omit-frame-pointer -fsanitize=address,undefined \
                -fno-sanitize-recover=all $(DEFINES) -I. $(DEP_CFLAGS) $(if $(BLIS_INC),-isystem $(BLIS_INC))
$(BUILD)/fuzz/obj/%.o: %.c
	@mkdir -p $(dir $@)
	$(Q)$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<
$(BUILD)/fuzz/libassay.a: $(FUZZ_OBJ)
	$(Q)rm -f $@ && ar rcs $@ $^
$(BUILD)/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $(BUILD)/fuzz/libassay.a $(LIB) # kernels, without OpenMP in clang: of the plain build
	@echo "  FUZZ  $@"
	$(Q)$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer -o $@ $(filter-out %.h,$^) $(LIBS) $(wildcard $(shell gcc -print-file-name=libgomp.so))
$(FUZZ_BIN): $(wildcard tests/fuzz/*.h)
-include $(FUZZ_OBJ:%.o=%.d)
fuzz: $(FUZZ_BIN)
	$(Q)for f in $(FUZZ_BIN); do \
		name=$${f##*/fuzz_}; mkdir -p $(BUILD)/fuzz/corpus/$$name; \
		echo "fuzz $$name: $(FUZZ_SECONDS) s"; \
		LSAN_OPTIONS=suppressions=tests/lsan.supp $$f -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=4096 \
			-verbosity=0 -print_final_stats=1 -artifact_prefix=$(BUILD)/fuzz/$$name- \
			$(BUILD)/fuzz/corpus/$$name tests/fuzz/corpus/$$name || exit 1; \
	done

# How often the gate is wrong, by enumeration and seeded simulation; RUNS=20000 takes some minutes.
$(BUILD)/statistics/simulate: tests/statistics/simulate.c $(LIB)
	@mkdir -p $(dir $@)
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $< $(LIB) $(LIBS)
check-statistics: $(BUILD)/statistics/simulate
	$(Q)$< $(STATISTICS)

$(BUILD)/reference/%: tests/reference/%.c $(LIB)
	@mkdir -p $(dir $@)
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $< $(LIB) $(LIBS)

check-reference: tests-build $(BUILD)/reference/score_metrics $(BUILD)/reference/render_tasks $(BUILD)/reference/read_yaml \
    $(BUILD)/reference/bets
	$(Q)bash tests/reference/run $(BUILD)

# ---- care ----------------------------------------------------------------------------------------------------------------
check-style:
	$(Q)sh tests/check-style
lint: check-style
	$(Q)bash tests/lint
format:
	$(Q)clang-format -i $$(git ls-files '*.c' '*.h' '*.cu' '*.cpp')

# ---- install ----------------------------------------------------------------------------------------------------------------
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/doc/assay \
	    $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	install -m755 $(BIN) $(DESTDIR)$(PREFIX)/bin/assay
	$(if $(PLUGIN),install -m755 $(PLUGIN) $(DESTDIR)$(PREFIX)/bin/)
	install -m644 docs/assay.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -m644 README.md LICENSE $(DESTDIR)$(PREFIX)/share/doc/assay/
	$(BIN) completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/assay
uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/assay $(DESTDIR)$(PREFIX)/bin/libassay-cuda.so \
	    $(DESTDIR)$(PREFIX)/share/man/man1/assay.1 $(DESTDIR)$(PREFIX)/share/bash-completion/completions/assay
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/assay
dist: all
	$(Q)bash ci/dist $(BUILD)
deb: dist
	$(Q)bash ci/deb $(BUILD)
clean:
	rm -rf $(BUILD)

help:
	@sed -n '2,/^$$/s/^# \{0,1\}//p' Makefile
	@echo "targets: all test test-unit test-e2e test-cuda check-cuda-faults cuda-report gpu-bundle demo bench fuzz lint format check-style check-reference check-statistics install uninstall dist deb clean"
