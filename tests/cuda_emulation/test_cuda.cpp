/* test_cuda.cpp: the host side of the CUDA back end: which device is opened, what is said of one that cannot be, memory in and
 * out, and what happens after an error. The machine is the emulation's: a driver, a card, a fault are a line each. */
#include "cuda_help.h"

static const struct emu_machine usual = emu_machine;

static bool says(const std::string &text, const char *words)
{
	return text.find(words) != std::string::npos;
}
#define CHECK_SAYS(text, words)                                                                                        \
	do {                                                                                                           \
		if (!says(text, words))                                                                                \
			FAIL("\"%s\" is not in \"%s\"", words, (text).c_str());                                        \
	} while (0)

static void refused(int device, int code, const char *words, const char *fix)
{
	struct backend *be = NULL;
	int rc = open_cuda(&be, KERNELS_CLASS_BF16, device);
	if (rc != code || be)
		FAIL("gave %d (%s), not %d", rc, said.c_str(), code);
	CHECK_SAYS(said, words);
	CHECK_SAYS(said_fix, fix);
	CHECK(emu_left() == 0);
	emu_machine = usual;
	emu_inject(NULL, 0, cudaSuccess, false);
}

/* ---- opening --------------------------------------------------------------------------------------------------------------- */

TEST(a_machine_without_a_driver_is_told_so)
{
	emu_machine.driver = 0;
	emu_machine.devices = 0;
	refused(-1, ERR_UNAVAILABLE, "no NVIDIA driver", "install the driver");
}

TEST(a_driver_that_is_too_old_is_a_matter_of_the_environment)
{
	emu_machine.driver = 12020;
	emu_inject("cudaGetDeviceCount", 0, cudaErrorInsufficientDriver, false);
	refused(0, ERR_ENV, "is for CUDA 12.2, the plugin needs 13.0", "update the driver");
}

TEST(a_driver_without_a_device_names_the_variable_that_may_hide_it)
{
	setenv("CUDA_VISIBLE_DEVICES", "none-of-them", 1);
	emu_machine.devices = 0;
	refused(-1, ERR_UNAVAILABLE, "CUDA_VISIBLE_DEVICES is none-of-them", "nvidia-smi");
	unsetenv("CUDA_VISIBLE_DEVICES");
}

TEST(a_device_beyond_the_last_is_told_how_many_there_are)
{
	emu_machine.devices = 2;
	refused(7, ERR_UNAVAILABLE, "cuda:7: there is no such device: 2 devices are visible, cuda:0 to cuda:1",
		"nvidia-smi");
	refused(1, ERR_UNAVAILABLE, "1 device is visible, cuda:0 (", "--device cuda");
}

TEST(a_card_that_is_too_old_is_a_matter_of_the_environment)
{
	emu_machine.major = 7;
	emu_machine.minor = 5;
	refused(0, ERR_ENV, "compute capability 7.5, and 8.0 is needed", "Ampere");
}

TEST(a_card_of_another_process_is_unavailable)
{
	emu_inject("cudaStreamCreateWithFlags", 0, cudaErrorDevicesUnavailable, true);
	refused(0, ERR_UNAVAILABLE, "busy or unavailable", "another process");
}

TEST(a_plugin_without_code_for_the_card_says_so)
{
	emu_inject("launch", 0, cudaErrorNoKernelImageForDevice, false);
	refused(0, ERR_UNAVAILABLE, "no kernel image", "build it anew");
}

TEST(no_memory_for_the_opening_is_an_error)
{
	emu_machine.memory_bytes = 128;
	refused(0, ERR_UNAVAILABLE, "no memory for", "smaller");
	emu_inject("cudaHostAlloc", 3, cudaErrorMemoryAllocation, false);
	refused(0, ERR_UNAVAILABLE, "cudaHostAlloc", "");
}

TEST(the_first_device_that_works_is_taken_and_the_class_is_named)
{
	static const char *const names[] = { "/f32/sm_90/", "/tf32/sm_90/", "/bf16/sm_90/" };
	struct backend *be = NULL;
	emu_machine.devices = 2;
	for (int cls = 0; cls < 3; cls++) {
		CHECK(open_cuda(&be, cls, -1) == 0);
		CHECK(strcmp(be->name, "cuda:0") == 0);
		CHECK_SAYS(std::string(be->numerics), names[cls]);
		CHECK(strncmp(be->numerics, "cuda-2/", 7) == 0 && strlen(be->numerics) < 120);
		be->close(be);
	}
	emu_inject("cudaHostAlloc", 0, cudaErrorMemoryAllocation, false); /* of device 0 */
	CHECK(open_cuda(&be, 0, -1) == 0);
	CHECK(be && strcmp(be->name, "cuda:1") == 0);
	be->close(be);
	emu_machine = usual;
	CHECK(emu_left() == 0);
}

struct told {
	int n, missing;
	std::string all;
};
static void tell(void *arg, bool ok, const char *what, const char *detail, const char *fix)
{
	struct told *t = (struct told *)arg;
	t->n++;
	t->missing += !ok && std::string(what).rfind("cuda:", 0) == 0; /* a device; NCCL may lack or not */
	t->all += std::string(what) + ": " + detail + (fix ? std::string(" -> ") + fix : "") + "\n";
}

TEST(the_probe_tells_of_driver_devices_and_what_is_missing)
{
	struct told t = {};
	emu_machine.devices = 2;
	assay_cuda_probe(tell, &t);
	CHECK_SAYS(t.all, "cuda: the driver is for CUDA 13.0, the plugin of 13.0; 2 devices");
	CHECK_SAYS(t.all, "cuda:0: ");
	CHECK_SAYS(t.all, "cuda:1: ");
	CHECK_SAYS(t.all, " GB free");
	t = told();
	emu_machine.major = 6;
	assay_cuda_probe(tell, &t);
	CHECK(t.missing == 2);
	emu_machine = usual;
	CHECK(emu_left() == 0);
}

/* ---- memory ------------------------------------------------------------------------------------------------------------------- */

TEST(blocks_are_zeroed_and_aligned_again_and_again)
{
	struct backend *be = cuda_or_stop(KERNELS_CLASS_F32);
	static const size_t sizes[] = { 0, 1, 63, 256, 257, 100003, (size_t)9 << 20 };
	for (int turn = 0; turn < 2; turn++)
		for (size_t n : sizes) {
			void *p = NULL;
			std::vector<uint8_t> host(n, 7);
			CHECK(be->alloc(be, &p, n) == 0 && p && (uintptr_t)p % 64 == 0);
			be->download(be, host.data(), p, n);
			CHECK(be->sync(be) == 0);
			for (uint8_t b : host)
				if (b)
					return FAIL("a block of %zu is not zero", n);
			host.assign(n, 255);
			be->upload(be, p, host.data(), n);
			be->free(be, p);
		}
	be->free(be, NULL);
	CHECK(be->sync(be) == 0);
	be->close(be);
	CHECK(emu_left() == 0);
}

/* What compute-sanitizer needs to see a byte beyond a block; test_slabs has it with an arena that cuts slabs otherwise. */
TEST(every_block_is_its_own_where_the_environment_says_so)
{
	setenv("ASSAY_CUDA_SLABS", "0", 1);
	struct backend *be = cuda_or_stop(KERNELS_CLASS_F32);
	unsetenv("ASSAY_CUDA_SLABS");
	int before = emu_left();
	void *p = NULL, *q = NULL;
	CHECK(be->alloc(be, &p, 100) == 0 && be->alloc(be, &q, 100) == 0);
	CHECK(emu_left() == before + 2);
	be->free(be, p);
	CHECK(emu_left() == before + 1);
	be->free(be, q);
	be->close(be);
	CHECK(emu_left() == 0);
}

/* Streams that do nothing before somebody waits: what is uploaded was read by then, what is downloaded is there behind sync. */
TEST(copies_keep_their_order_however_late_they_run)
{
	emu_set_streams(EMU_LAZY);
	struct backend *be = cuda_or_stop(KERNELS_CLASS_F32);
	const size_t n = ((size_t)4 << 20) * 5 + 12345; /* more than the ring has room for */
	void *p = NULL, *q = NULL;
	std::vector<uint8_t> in(n), out(n, 0), small(300 * 8, 0);
	for (size_t i = 0; i < n; i++)
		in[i] = (uint8_t)(i * 131 + (i >> 9));
	std::vector<uint8_t> kept = in;
	CHECK(be->alloc(be, &p, n) == 0 && be->alloc(be, &q, n) == 0);
	be->upload(be, p, in.data(), n);
	memset(in.data(), 0, n); /* the caller's again */
	be->copy(be, q, p, n);
	be->zero(be, p, n);
	be->download(be, out.data(), q, n);
	for (size_t i = 0; i < 300; i++) /* more items than a piece holds */
		be->download(be, &small[i * 8], (const char *)q + i * 1000, 8);
	CHECK(be->sync(be) == 0);
	CHECK(out == kept);
	for (size_t i = 0; i < 300; i++)
		CHECK(memcmp(&small[i * 8], &kept[i * 1000], 8) == 0);
	be->free(be, p);
	be->free(be, q);
	be->close(be);
	emu_set_streams(EMU_EAGER);
	CHECK(emu_left() == 0);
}

/* Kernels that work on what one upload brought while the next is on its way, many times round the ring: a copy that does not
 * wait for the kernels, or kernels that do not wait for it, meet the wrong numbers in some order of the streams. */
TEST(copies_beside_kernels_keep_their_order_in_any_order_of_streams)
{
	const int turns = 24;
	const size_t n = ((size_t)1 << 20) / 4 * 3 / 8; /* floats: two uploads in a piece, and then not a third */
	std::vector<float> in(n), sum(n, 0);
	for (uint64_t seed = 0; seed < 16; seed++) {
		bool waits = seed < 8; /* for what the turn before gave; else kernels may be a whole ring behind */
		emu_set_streams(seed ? EMU_DRAWN : EMU_LAZY, seed);
		struct backend *be = cuda_or_stop(KERNELS_CLASS_F32);
		{
			array x(be, std::vector<float>(n)), y(be, std::vector<float>(n));
			std::vector<std::vector<float>> got(turns, std::vector<float>(n / 64));
			uint64_t mark = 0;
			sum.assign(n, 0);
			for (int i = 0; i < turns; i++) {
				for (size_t k = 0; k < n; k++)
					in[k] = (float)(i * 1000 + (int)(k % 997));
				be->upload(be, x.p, in.data(), n * 4);
				be->add(be, y.p, x.p, n);
				be->download(be, got[(size_t)i].data(), y.p, n / 64 * 4);
				if (i && waits)
					CHECK(be->wait(be, mark) == 0);
				for (size_t k = 0; i && waits && k < n / 64; k++)
					if (got[(size_t)i - 1][k] != sum[k])
						return FAIL("seed %d turn %d: %g, not %g", (int)seed, i - 1,
							    got[(size_t)i - 1][k], sum[k]);
				for (size_t k = 0; k < n; k++)
					sum[k] += in[k];
				if (waits)
					mark = be->mark(be);
			}
			CHECK(same_bits(y.get(), sum));
		}
		be->close(be);
	}
	emu_set_streams(EMU_EAGER);
	CHECK(emu_left() == 0);
}

/* A device that has done no more than was waited for: what a mark names is there, and what came behind it is not. */
TEST(a_mark_is_waited_for_and_no_more)
{
	emu_set_streams(EMU_LAZY);
	struct backend *be = cuda_or_stop(KERNELS_CLASS_F32);
	{
		const int turns = 11; /* more than there are pieces */
		array x(be, wide_floats(3, 1000)), y(be, std::vector<float>(1000));
		std::vector<std::vector<float>> got(turns, std::vector<float>(1000, -7)), want;
		std::vector<float> sum(1000, 0), first = wide_floats(3, 1000);
		uint64_t marks[turns];
		CHECK(be->sync(be) == 0);
		struct emu_waits before = emu_waits();
		for (int i = 0; i < turns; i++) {
			be->add(be, y.p, x.p, 1000);
			for (size_t k = 0; k < 1000; k++)
				sum[k] += first[k];
			want.push_back(sum);
			be->download(be, got[i].data(), y.p, 4000);
			marks[i] = be->mark(be);
			if (i == 0)
				continue;
			CHECK(got[i - 1][0] == -7);
			CHECK(be->wait(be, marks[i - 1]) == 0);
			CHECK(same_bits(got[i - 1], want[i - 1]));
			CHECK(got[i][0] == -7);
		}
		CHECK(emu_waits().n == before.n + turns - 1 && emu_waits().idle == before.idle);
		CHECK(be->mark(be) == marks[turns - 1]); /* nothing came since */
		CHECK(be->wait(be, marks[turns - 1]) == 0);
		CHECK(same_bits(got[turns - 1], want[turns - 1]));
		CHECK(emu_waits().idle == before.idle + 1);
		CHECK(be->wait(be, marks[0]) == 0 && be->sync(be) == 0); /* again; nothing is handed out twice */
		CHECK(same_bits(got[0], want[0]));
	}
	be->close(be);
	emu_set_streams(EMU_EAGER);
	CHECK(emu_left() == 0);
}

/* Then the memory it goes to is the caller's again. */
TEST(behind_a_wait_that_fails_nothing_is_on_its_way)
{
	for (bool for_good : { false, true }) {
		emu_set_streams(EMU_LAZY);
		struct backend *be = cuda_or_stop(KERNELS_CLASS_F32);
		{
			array x(be, wide_floats(3, 1000));
			std::vector<float> a(1000, -7), b(1000, -7);
			be->download(be, a.data(), x.p, 4000);
			uint64_t first = be->mark(be);
			be->download(be, b.data(), x.p, 4000);
			be->mark(be);
			emu_inject(for_good ? "cudaEventSynchronize" : "launch", 0,
				   for_good ? cudaErrorIllegalAddress : cudaErrorLaunchOutOfResources, for_good);
			be->scale(be, x.p, 10, 1);
			be->download(be, b.data(), x.p, 4000);
			CHECK(be->wait(be, first) == ERR_UNAVAILABLE);
			CHECK(!said.empty());
			b.assign(1000, -8);
			be->sync(be);
			for (float v : b)
				CHECK(v == -8);
		}
		be->close(be);
		emu_inject(NULL, 0, cudaSuccess, false);
		emu_set_streams(EMU_EAGER);
	}
}

TEST(lack_of_memory_says_how_much_and_is_not_for_good)
{
	struct backend *be = cuda_or_stop(KERNELS_CLASS_F32);
	size_t free_bytes = 0, total = 0;
	void *p = NULL, *q = NULL;
	be->memory(be, &free_bytes, &total);
	CHECK(total == usual.memory_bytes && free_bytes > total / 2 && free_bytes <= total);
	CHECK(be->alloc(be, &p, (size_t)3 << 30) == ERR_UNAVAILABLE && !p);
	CHECK_SAYS(said, "no memory for 3072 MB more");
	CHECK_SAYS(said, "of the device's 1024 MB are free");
	CHECK_SAYS(said_fix, "--batch-tokens");
	CHECK(be->alloc(be, &p, SIZE_MAX) == ERR_UNAVAILABLE && !p);
	CHECK(be->sync(be) == 0);
	CHECK(be->alloc(be, &p, (size_t)700 << 20) == 0);
	CHECK(be->alloc(be, &q, (size_t)700 << 20) == ERR_UNAVAILABLE);
	be->free(be, p); /* and now there is room */
	CHECK(be->alloc(be, &q, (size_t)700 << 20) == 0);
	be->free(be, q);
	be->close(be);
	CHECK(emu_left() == 0);
}

/* ---- errors ---------------------------------------------------------------------------------------------------------------------- */

struct product {
	struct backend *be;
	array x, w, y;
	explicit product(struct backend *b)
	    : be(b), x(b, wide_floats(1, 300 * 40)), w(b, wide_floats(2, 50 * 40)), y(b, std::vector<float>(300 * 50))
	{
	}
	void run()
	{
		struct kernels_weight weight = { w.p, 50, 40, KERNELS_F32, 0 };
		struct kernels_linear how = { 300, 40, 50, NULL, 0 };
		be->linear(be, y.p, x.p, &weight, &how);
	}
};

/* The arrays have their places, and then the operation finds none for its own copies of them. */
TEST(an_operation_that_finds_no_memory_is_reported_once_and_can_be_tried_again)
{
	struct backend *be = cuda_or_stop(KERNELS_CLASS_BF16);
	{
		product p(be);
		std::vector<void *> rest;
		void *block = NULL;
		emu_machine.memory_bytes = (size_t)80 << 20;
		for (size_t size = (size_t)16 << 20; size >= 256; size /= 16)
			while (be->alloc(be, &block, size) == 0)
				rest.push_back(block);
		p.run();
		CHECK(be->sync(be) == ERR_UNAVAILABLE);
		CHECK_SAYS(said, "no memory for");
		CHECK_SAYS(said_fix, "smaller batch");
		CHECK(be->sync(be) == 0);
		for (void *r : rest)
			be->free(be, r);
		emu_machine = usual;
		p.run();
		std::vector<float> got = p.y.get();
		product q(be);
		q.run();
		CHECK(same_bits(got, q.y.get()));
	}
	be->close(be);
	CHECK(emu_left() == 0);
}

static bool is_zero(struct backend *be, const void *p)
{
	std::vector<float> host(1000, 7);
	be->download(be, host.data(), p, 4000);
	return be->sync(be) == 0 && host == std::vector<float>(1000, 0);
}

/* Kernels are not launched behind an error; zeros of blocks, and what is uploaded, still go where they were to. */
TEST(blocks_that_are_given_out_beside_an_error_are_zeroed)
{
	struct backend *be = cuda_or_stop(KERNELS_CLASS_BF16);
	{
		array x(be, wide_floats(3, 1000));
		const std::vector<float> sevens(1000, 7);
		void *before = NULL, *behind = NULL;
		emu_inject("launch", 0, cudaErrorLaunchOutOfResources, false);
		be->scale(be, x.p, 1000, 2);
		be->upload(be, x.p, sevens.data(), 4000);
		CHECK(be->alloc(be, &behind, 4000) == 0);
		uint64_t launches = emu_launches();
		be->scale(be, x.p, 1000, 2);
		CHECK(be->sync(be) == ERR_UNAVAILABLE && emu_launches() == launches);
		CHECK(is_zero(be, behind) && x.get() == sevens);
		CHECK(be->alloc(be, &before, 4000) == 0); /* its zeros are gathered, and not on the stream yet */
		be->free(be, (char *)before + 64);
		CHECK(be->sync(be) == ERR_BUG && is_zero(be, before));
		be->free(be, before), be->free(be, behind);
	}
	be->close(be);
	CHECK(emu_left() == 0);
}

TEST(an_error_for_good_is_said_with_call_and_place_until_the_end)
{
	static const char *const calls[] = { "launch", "cudaMemcpyAsync", "cudaStreamSynchronize" };
	for (const char *call : calls) {
		struct backend *be = cuda_or_stop(KERNELS_CLASS_BF16);
		product p(be);
		float host[4] = { 1, 2, 3, 4 };
		void *more = NULL;
		uint64_t before = emu_launches();
		emu_inject(call, 0, cudaErrorIllegalAddress, true);
		p.run();
		be->upload(be, p.x.p, host, sizeof(host));
		be->download(be, host, p.y.p, sizeof(host));
		CHECK(be->sync(be) == ERR_UNAVAILABLE);
		std::string first = said;
		CHECK_SAYS(said, "illegal memory access");
		CHECK_SAYS(said, "kernels/cuda");
		CHECK_SAYS(said, ".cu:");
		CHECK_SAYS(said_fix, "resumes where it was");
		CHECK(be->sync(be) == ERR_UNAVAILABLE && said == first);
		CHECK(be->alloc(be, &more, 64) == ERR_UNAVAILABLE && !more && said == first);
		p.run();
		CHECK(emu_launches() - before <= 3);
		be->free(be, p.x.p), be->free(be, p.w.p), be->free(be, p.y.p);
		p.x.p = p.w.p = p.y.p = NULL;
		p.be = p.x.be = p.w.be = p.y.be = NULL;
		be->close(be);
		emu_inject(NULL, 0, cudaSuccess, false);
		be = cuda_or_stop(KERNELS_CLASS_BF16); /* another process would go on */
		{
			product again(be);
			again.run();
			CHECK(be->sync(be) == 0);
		}
		be->close(be);
	}
}

TEST(a_fault_of_the_card_names_the_card)
{
	struct backend *be = cuda_or_stop(KERNELS_CLASS_F32);
	emu_inject("cudaStreamSynchronize", 0, cudaErrorECCUncorrectable, true);
	CHECK(be->sync(be) == ERR_UNAVAILABLE);
	CHECK_SAYS(said, "ECC");
	CHECK_SAYS(said_fix, "hardware fault");
	be->close(be);
	emu_inject(NULL, 0, cudaSuccess, false);
}

/* Attention of the largest heads, or its gradient: what sync says */
static int attend(int cls, bool back)
{
	const int T = 40, D = 256, W = 3 * D;
	const int32_t s[2] = { 0, T };
	struct kernels_seqs seqs = {};
	seqs.n = 1, seqs.q_start = s, seqs.k_start = s;
	struct kernels_attn shape = { 1, 1, D, W, W, D, 0.1f, 0 };
	struct backend *be = NULL;
	void *p = NULL;
	CHECK(open_cuda(&be, cls) == 0);
	CHECK(be->alloc(be, &p, (size_t)T * (2 * W + D + 1) * sizeof(float)) == 0);
	float *q = (float *)p, *grad = q + T * W, *o = grad + T * W, *lse = o + T * D;
	if (back)
		be->attn_back(be, grad, grad + D, grad + 2 * D, o, o, lse, q, q + D, q + 2 * D, &seqs, &shape);
	else
		be->attn(be, o, lse, q, q + D, q + 2 * D, &seqs, &shape);
	int rc = be->sync(be);
	be->free(be, p);
	be->close(be);
	return rc;
}

/* All cards since Ampere grant a block 99 KB of shared memory; one that grants less is told what it lacks. */
TEST(large_heads_on_a_card_of_less_shared_memory)
{
	const struct emu_machine before = emu_machine;
	const struct {
		int cls;
		bool back;
		const char *words;
	} all[] = { { KERNELS_CLASS_BF16, false, "needs 99 KB of shared memory a block, this card grants 64" },
		    { KERNELS_CLASS_BF16, true, "needs 99 KB of shared memory a block, this card grants 64" },
		    { KERNELS_CLASS_F32, false, "needs 89 KB of shared memory a block, this card grants 64" },
		    { KERNELS_CLASS_F32, true, "needs 83 KB of shared memory a block, this card grants 64" } };
	for (auto &e : all) {
		emu_machine.shared_optin_bytes = 101376;
		CHECK(attend(e.cls, e.back) == 0);
		emu_machine.shared_optin_bytes = 65536;
		CHECK(attend(e.cls, e.back) == ERR_ENV);
		CHECK_SAYS(said, e.words);
	}
	emu_machine = before;
}

TEST_MAIN
