/* cuda.cu: the CUDA back end: its device, its errors, its table.
 *
 * The plugin is one shared object that the program opens (backend.c). It has the CUDA runtime in itself and asks for
 * nothing when it is loaded: without a driver it says so, in assay_cuda_open() and in assay_cuda_probe(). The operations
 * stand in cuda_gemm.cu (and cuda_lt.cu, by the pins of cuda_pins.cu), cuda_nccl.cu (several cards), cuda_norm.cu, cuda_pointwise.cu, cuda_attn.cu, cuda_attn_back.cu, cuda_loss.cu, cuda_draw.cu and
 * cuda_optim.cu, the memory in cuda_memory.cu, launches in cuda_list.cu and cuda_graph.cu; cpu_ref.c says what each must give.
 *
 * The law of the same bits (kernels.h) on a device with a hundred processors: what runs where is never a function of how
 * much shares the call. cuda_int.h states the rule. It holds within one numerics class, whose name has all that bits may
 * depend on: version of these kernels, type of the products' operands, architecture, name and processors of the device, and
 * whose matrix products: "own", or the library's version and a hash of the pins (cuda_pins.cu).
 *
 * Errors. Launches return before they run, so an error comes to light later, at any call. The first one is kept, with the
 * call, file and line at which it was seen, and comes out of sync(). Most errors of a device are for good ("lost"): then
 * nothing is launched any more, every sync() and alloc() fails with the same words, and the run ends; what it has stored so
 * far is whole, and it resumes elsewhere. Lack of memory is not for good: the caller may go on with less.
 *
 * The process never resets the device, and closes what it opened; at exit the driver frees the rest. */
#include "kernels/cuda_state_int.h"
#include "kernels/cuda_device.h"

#define CUDA_VERSION_NAME "cuda-2"

enum { LEAST_CC = 80 };

/* ---- errors ---------------------------------------------------------------------------------------------------------------- */

/* After these, every call of the process fails: the device's memory may hold anything. */
static bool is_for_good(cudaError_t rc)
{
	int n = (int)rc;
	return n == 46 || n == 214 || n == 220 || n == 226 || (n >= 700 && n <= 719 && n != 701) || n == 802 ||
	       n == 999;
}

static const char *fix_of(cudaError_t rc)
{
	switch ((int)rc) {
	case 2:
		return "a smaller batch or model needs less; nvidia-smi shows who else has memory there";
	case 46:
		return "another process has taken the device (nvidia-smi); wait for it, or name another: --device "
		       "cuda:N";
	case 98:
	case 209:
	case 222:
		return "the plugin was not built for this card, or the driver is older than its toolkit: build it "
		       "anew, "
		       "or update the driver";
	case 214:
	case 220:
	case 226:
		return "the card has a hardware fault (nvidia-smi -q, dmesg); run the same command on another one: it "
		       "resumes where it was";
	default:
		return "run the same command again: it resumes where it was. If it fails again, compute-sanitizer "
		       "names "
		       "the kernel, dmesg (Xid) the fault of the card, and --device cpu does without";
	}
}

static void keep_error(struct cuda_state *s, int code, const char *text, const char *fix)
{
	s->error = code;
	snprintf(s->text, sizeof(s->text), "%s", text);
	snprintf(s->fix, sizeof(s->fix), "%s", fix);
}

bool cuda_check(struct backend *be, cudaError_t rc, const char *call, const char *file, int line)
{
	struct cuda_state *s = cuda_state(be);
	char text[512];
	s->launches++;
	if (rc == cudaSuccess)
		return true;
	cudaGetLastError(); /* one that is not for good would come back from the next launch */
	s->lost = s->lost || is_for_good(rc);
	be->no_memory = be->no_memory && !s->lost;
	if (s->error)
		return false;
	be->no_memory = rc == cudaErrorMemoryAllocation; /* the driver loads kernels when they are first wanted */
	snprintf(text, sizeof(text), "%s (%s): %s (%s) at %.160s, %s:%d", be->name, s->properties.name,
		 cudaGetErrorString(rc), cudaGetErrorName(rc), call, file, line);
	keep_error(s, ERR_UNAVAILABLE, text, fix_of(rc));
	return false;
}

void cuda_fail(struct backend *be, int code, const char *text, const char *file, int line)
{
	struct cuda_state *s = cuda_state(be);
	char whole[512];
	if (s->error)
		return;
	be->no_memory = false;
	snprintf(whole, sizeof(whole), "%s (%s:%d)", text, file, line);
	keep_error(s, code, whole, "");
}

void cuda_fail_shared(struct backend *be, const char *what, size_t bytes)
{
	struct cuda_state *s = cuda_state(be);
	char text[512];
	if (s->error)
		return;
	be->no_memory = false;
	snprintf(text, sizeof(text), "%s (%s): %s needs %zu KB of shared memory a block, this card grants %zu",
		 be->name, s->properties.name, what, (bytes + 1023) >> 10,
		 (size_t)s->properties.sharedMemPerBlockOptin >> 10);
	keep_error(s, ERR_ENV, text,
		   "use a card that grants more (A100, H100 and later of their kind), or the device cpu; attention in "
		   "bf16 needs less");
}

int cuda_sync(struct backend *be)
{
	struct cuda_state *s = cuda_state(be);
	cuda_flush_between(be);
	if (!s->lost)
		CUDA_CHECK(be, cudaStreamSynchronize(s->stream));
	if (!s->lost)
		cuda_deliver(be);
	int code = s->error;
	if (!code)
		return 0;
	if (!s->lost)
		s->error = 0;
	return s->fail(code, s->text, *s->fix ? s->fix : NULL);
}

/* ---- for the kernel files -------------------------------------------------------------------------------------------------- */

enum cuda_math cuda_math(const struct backend *be)
{
	return cuda_state(be)->math;
}

const struct cudaDeviceProp *cuda_properties(const struct backend *be)
{
	return &cuda_state(be)->properties;
}

/* ---- which device ------------------------------------------------------------------------------------------------------------ */

/* What is said of a device that is not there: text, fix, and the code. */
struct refusal {
	int code;
	char text[512], fix[256];
};

static int refuse(struct refusal *r, int code, const char *fix, const char *text)
{
	r->code = code;
	snprintf(r->text, sizeof(r->text), "%s", text);
	snprintf(r->fix, sizeof(r->fix), "%s", fix);
	return code;
}

static const char *visible(void)
{
	const char *text = getenv("CUDA_VISIBLE_DEVICES");
	return text ? text : "not set";
}

/* How many devices there are; what is missing where there is none. */
static int count_devices(int *n, struct refusal *r)
{
	int driver = 0, runtime = 0;
	char text[384];
	*n = 0;
	cudaError_t rc = cudaDriverGetVersion(&driver);
	cudaRuntimeGetVersion(&runtime);
	if (rc != cudaSuccess || driver == 0)
		return refuse(
			r, ERR_UNAVAILABLE,
			"install the driver of the card (https://www.nvidia.com/drivers; in a container: start it "
			"with --gpus all), or use the device cpu",
			"cuda: there is no NVIDIA driver (libcuda.so.1) on this machine");
	rc = cudaGetDeviceCount(n);
	cudaGetLastError();
	if (rc == cudaErrorInsufficientDriver || (rc != cudaSuccess && driver / 1000 < runtime / 1000)) {
		snprintf(text, sizeof(text),
			 "cuda: the NVIDIA driver is too old: it is for CUDA %d.%d, the plugin needs %d.%d",
			 driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
		return refuse(r, ERR_ENV, "update the driver, or build the plugin with an older toolkit (12 or 13)",
			      text);
	}
	if (rc == cudaErrorNoDevice || (rc == cudaSuccess && *n == 0)) {
		snprintf(text, sizeof(text), "cuda: the driver sees no device (CUDA_VISIBLE_DEVICES is %.60s)",
			 visible());
		return refuse(r, ERR_UNAVAILABLE,
			      "nvidia-smi lists the cards of the machine; a container needs --gpus all; or use the "
			      "device cpu",
			      text);
	}
	if (rc == cudaSuccess)
		return 0;
	snprintf(text, sizeof(text), "cuda: the devices cannot be counted: %s (%s)", cudaGetErrorString(rc),
		 cudaGetErrorName(rc));
	return refuse(r, ERR_UNAVAILABLE,
		      "nvidia-smi says whether the driver works at all; after an update of it, restart", text);
}

/* Whether a device is new enough; what it is goes to *p. */
static int judge_device(struct cudaDeviceProp *p, int device, struct refusal *r)
{
	char text[384];
	memset(p, 0, sizeof(*p));
	cudaError_t rc = cudaGetDeviceProperties(p, device);
	if (rc != cudaSuccess) {
		cudaGetLastError();
		snprintf(text, sizeof(text), "cuda:%d: %s (%s)", device, cudaGetErrorString(rc), cudaGetErrorName(rc));
		return refuse(r, ERR_UNAVAILABLE, fix_of(rc), text);
	}
	if (p->major * 10 + p->minor >= LEAST_CC)
		return 0;
	snprintf(text, sizeof(text), "cuda:%d: %s is too old: it has compute capability %d.%d, and %d.%d is needed",
		 device, p->name, p->major, p->minor, LEAST_CC / 10, LEAST_CC % 10);
	return refuse(r, ERR_ENV, "a card of the Ampere generation or later (A100, RTX 30), or the device cpu", text);
}

static int no_such_device(int device, int n, struct refusal *r)
{
	char text[384], last[24] = "";
	if (n > 1)
		snprintf(last, sizeof(last), " to cuda:%d", n - 1);
	snprintf(text, sizeof(text),
		 "cuda:%d: there is no such device: %d %s visible, cuda:0%s (CUDA_VISIBLE_DEVICES is %.60s)", device, n,
		 n == 1 ? "device is" : "devices are", last, visible());
	return refuse(r, ERR_UNAVAILABLE, "nvidia-smi lists the cards; --device cuda takes the first that works", text);
}

/* ---- the table ---------------------------------------------------------------------------------------------------------------- */

static const char *const class_names[] = { "f32", "tf32", "bf16" }; /* enum cuda_math */

static void name_class(struct cuda_state *s)
{
	char device[40], gemm[40];
	const struct cudaDeviceProp *p = &s->properties;
	snprintf(device, sizeof(device), "%.39s", p->name);
	for (char *c = device; *c; c++)
		if (*c == ' ' || *c == '/')
			*c = '-';
	cuda_pins_name(s->pins, gemm, sizeof(gemm));
	snprintf(s->numerics, sizeof(s->numerics), CUDA_VERSION_NAME "/%s/sm_%d%d/%s.%d/%s", class_names[s->math],
		 p->major, p->minor, device, p->multiProcessorCount, gemm);
}

static void cuda_close(struct backend *be)
{
	struct cuda_state *s = cuda_state(be);
	if (s->stream && !s->lost && s->list)
		cudaStreamSynchronize(cuda_stream(be));
	cuda_graphs_close(be);
	cuda_nccl_close(be);
	cuda_pins_close(be);
	cuda_memory_close(be);
	cuda_list_close(be);
	if (s->stream)
		cudaStreamDestroy(s->stream);
	free((char *)(uintptr_t)be->name);
	free(s);
	free(be);
}

static void fill_table(struct backend *be)
{
	be->alloc = cuda_alloc;
	be->free = cuda_free;
	be->upload = cuda_upload;
	be->download = cuda_download;
	be->copy = cuda_copy;
	be->zero = cuda_zero;
	be->sync = cuda_sync;
	be->mark = cuda_mark;
	be->wait = cuda_wait;
	be->memory = cuda_memory;
	be->packed_bytes = cuda_packed_bytes;
	be->pack = cuda_pack;
	be->unpack = cuda_unpack;
	be->linear = cuda_linear;
	be->linear_into = cuda_linear_into;
	be->for_products = cuda_for_products;
	be->linear_dx = cuda_linear_dx;
	be->linear_dw = cuda_linear_dw;
	be->linear_db = cuda_linear_db;
	be->embed = cuda_embed;
	be->embed_back = cuda_embed_back;
	be->rmsnorm = cuda_rmsnorm;
	be->rmsnorm_back = cuda_rmsnorm_back;
	be->layernorm = cuda_layernorm;
	be->layernorm_back = cuda_layernorm_back;
	be->headnorm = cuda_headnorm;
	be->headnorm_back = cuda_headnorm_back;
	be->rope = cuda_rope;
	be->attn = cuda_attn;
	be->attn_back = cuda_attn_back;
	be->swiglu = cuda_swiglu;
	be->swiglu_back = cuda_swiglu_back;
	be->gelu = cuda_gelu;
	be->gelu_back = cuda_gelu_back;
	be->dropout = cuda_dropout;
	be->scale = cuda_scale;
	be->add = cuda_add;
	be->gather = cuda_gather;
	be->scatter_add = cuda_scatter_add;
	be->put_rows = cuda_put_rows;
	be->logprob = cuda_logprob;
	be->xent_back = cuda_xent_back;
	be->head_tiles = cuda_head_tiles;
	be->head_logprob = cuda_head_logprob;
	be->head_back = cuda_head_back;
	be->draw = cuda_draw;
	be->sumsq = cuda_sumsq;
	be->adamw = cuda_adamw;
	be->ranks_id = cuda_ranks_id;
	be->ranks_join = cuda_ranks_join;
	be->close = cuda_close;
}

/* ---- open ---------------------------------------------------------------------------------------------------------------------- */

/* Does a kernel of this plugin run on this device at all? */
static __global__ void answer_kernel(int *out)
{
	*out = 42;
}

static int ask_device(struct backend *be)
{
	int answer = 0;
	void *p = cuda_scratch(be, sizeof(answer));
	if (!p)
		return cuda_state(be)->error;
	CUDA_LAUNCH(be, answer_kernel, 1, 1, 0, (int *)p);
	cuda_download(be, &answer, p, sizeof(answer));
	CUDA_CHECK(be, cudaStreamSynchronize(cuda_stream(be)));
	cuda_deliver(be);
	if (answer != 42)
		cuda_fail(be, ERR_UNAVAILABLE, "the device does not compute", __FILE__, __LINE__);
	return cuda_state(be)->error;
}

static int be_silent(int code, const char *text, const char *fix)
{
	(void)text, (void)fix;
	return code;
}

static int open_device(struct backend **out, int device, int cls, struct refusal *r)
{
	struct cudaDeviceProp p;
	int rc = judge_device(&p, device, r);
	if (rc)
		return rc;
	struct backend *be = (struct backend *)calloc(1, sizeof(*be));
	struct cuda_state *s = (struct cuda_state *)calloc(1, sizeof(*s));
	char *name = (char *)malloc(24);
	if (!be || !s || !name) {
		free(be), free(s), free(name);
		return refuse(r, ERR_UNAVAILABLE, "", "cuda: the host has no memory");
	}
	snprintf(name, 24, "cuda:%d", device);
	be->name = name;
	be->state = s;
	be->threads = 1;
	s->device = device;
	s->math = (enum cuda_math)cls;
	s->properties = p;
	s->fail = be_silent;
	fill_table(be);
	if (CUDA_CHECK(be, cudaSetDevice(device)) &&
	    CUDA_CHECK(be, cudaStreamCreateWithFlags(&s->stream, cudaStreamNonBlocking)) && cuda_list_open(be) == 0 &&
	    cuda_memory_open(be) == 0 && ask_device(be) == 0 && cuda_pins_open(be) == 0 && cuda_graphs_open(be) == 0) {
		name_class(s);
		be->numerics = s->numerics;
		*out = be;
		return 0;
	}
	rc = refuse(r, s->error ? s->error : ERR_UNAVAILABLE, s->fix, s->text);
	cuda_close(be);
	return rc;
}

/* The first device that works; what is said is of the first that does not. */
static int open_any(struct backend **out, int n, int cls, struct refusal *r)
{
	struct refusal other;
	int rc = open_device(out, 0, cls, r);
	for (int i = 1; rc && i < n; i++)
		rc = open_device(out, i, cls, &other);
	return rc ? r->code : 0;
}

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT const int assay_cuda_abi = KERNELS_ABI;
EXPORT const struct kernels_build assay_cuda_build = KERNELS_BUILD;

EXPORT int assay_cuda_open(struct backend **out, const struct kernels_want *want)
{
	struct refusal r;
	int n = 0, rc = count_devices(&n, &r);
	*out = NULL;
	if (!rc && want->device >= n)
		rc = no_such_device(want->device, n, &r);
	if (!rc)
		rc = want->device < 0 ? open_any(out, n, want->cls, &r) : open_device(out, want->device, want->cls, &r);
	if (rc)
		return want->fail(rc, r.text, *r.fix ? r.fix : NULL);
	cuda_state(*out)->fail = want->fail;
	return 0;
}

EXPORT int assay_cuda_count(int *n, int (*fail)(int code, const char *text, const char *fix))
{
	struct refusal r;
	int rc = count_devices(n, &r);
	return rc ? fail(rc, r.text, *r.fix ? r.fix : NULL) : 0;
}

/* ---- what there is -------------------------------------------------------------------------------------------------------------- */

static void probe_device(int device, kernels_tell *tell, void *arg)
{
	struct cudaDeviceProp p;
	struct refusal r;
	struct backend *be = NULL;
	char what[24], detail[384];
	size_t free_bytes = 0, total = 0;
	snprintf(what, sizeof(what), "cuda:%d", device);
	if (judge_device(&p, device, &r) || open_device(&be, device, CUDA_MATH_BF16, &r)) {
		tell(arg, false, what, r.text, r.fix);
		return;
	}
	if (cuda_memory(be, &free_bytes, &total)) {
		tell(arg, false, what, cuda_state(be)->text, cuda_state(be)->fix);
		cuda_close(be);
		return;
	}
	snprintf(detail, sizeof(detail), "%s, %.1f of %.1f GB free, %s", p.name, (double)free_bytes / 1e9,
		 (double)total / 1e9, be->numerics);
	tell(arg, true, what, detail, NULL);
	cuda_pins_probe(cuda_state(be)->pins, tell, arg);
	cuda_graphs_probe(be, tell, arg);
	cuda_close(be);
}

EXPORT void assay_cuda_probe(kernels_tell *tell, void *arg)
{
	struct refusal r;
	int n = 0, driver = 0, runtime = 0;
	char detail[128];
	if (count_devices(&n, &r)) {
		tell(arg, false, "cuda", r.text, r.fix);
		return;
	}
	cudaDriverGetVersion(&driver);
	cudaRuntimeGetVersion(&runtime);
	snprintf(detail, sizeof(detail), "the driver is for CUDA %d.%d, the plugin of %d.%d; %d device%s",
		 driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10, n, n == 1 ? "" : "s");
	tell(arg, true, "cuda", detail, NULL);
	for (int i = 0; i < n; i++)
		probe_device(i, tell, arg);
	if (n > 1)
		cuda_nccl_probe(tell, arg);
}
