/* cuda_pins.cu: the table of pins: which configuration of cuBLASLt takes which products.
 *
 * One configuration is pinned for each shape of weights, N x K, and form of product, on one kind of device and one version of the
 * library, with all its nine fields set: no split of k, no reduction between blocks, nothing left to a heuristic. A pin that
 * passes its test (cuda_trial.cu) when the device is opened is in force, and takes every product of its shape and form
 * (cuda_lt.cu). Which pins are in force is a part of the numerics class: version of the library, and a hash over them.
 *
 * Pins are made on a card, since the library lists no algorithm without one: assay_cuda_tune(), which the bundle of
 * docs/gpu.md calls, prints them as lines of the file libassay-cuda.pins, which stands beside the plugin:
 *
 *	pin CC SMS VERSION N K FORM ID TILE SPLIT_K REDUCTION SWIZZLE CUSTOM STAGES INNER CLUSTER
 *
 * Without pins for the device the library (half a gigabyte) is not even loaded. A line that is no pin is an error with its place:
 * bits must not depend on what was skipped. */
#include "kernels/cuda_pins_int.h"

#include <errno.h>
#include <limits.h>

/* ---- the file ------------------------------------------------------------------------------------------------------------------- */

/* Where the pins are: beside the plugin, in the folder this function was loaded from. "": nowhere */
static void pins_path(char *path, size_t room)
{
	*path = '\0';
#ifdef ASSAY_CUDA_EMULATION
	const char *test = getenv("EMU_PINS"); /* the test's own file */
	snprintf(path, room, "%s", test ? test : "");
#else
	Dl_info info;
	if (!dladdr((const void *)(uintptr_t)pins_path, &info) || !info.dli_fname)
		return;
	const char *slash = strrchr(info.dli_fname, '/');
	snprintf(path, room, "%.*slibassay-cuda.pins", slash ? (int)(slash - info.dli_fname) + 1 : 0, info.dli_fname);
#endif
}

static void bad_pins(struct backend *be, const char *path, int line, const char *what)
{
	struct cuda_state *s = cuda_state(be);
	char text[400], at[16] = "";
	if (line)
		snprintf(at, sizeof(at), ":%d", line);
	snprintf(text, sizeof(text), "%.300s%s %s", path, at, what);
	cuda_fail(be, ERR_ENV, text, __FILE__, __LINE__);
	snprintf(s->fix, sizeof(s->fix), "take the file away, or make it anew on a card (docs/gpu.md)");
}

/* The next whole number from *p on, in a range; false: there is none */
static bool next_number(const char **p, long least, long most, long *out)
{
	char *end;
	errno = 0;
	*out = strtol(*p, &end, 10);
	if (end == *p || errno || *out < least || *out > most)
		return false;
	*p = end;
	return true;
}

/* A line `pin CC SMS VERSION N K FORM` and nine fields */
static bool read_pin(const char *line, int *cc, int *sms, long *version, cuda_pin *q)
{
	enum { SIDE_MAX = 1 << 20 };
	static const long most[6] = { 9999, 99999, LONG_MAX, SIDE_MAX, SIDE_MAX, FORMS - 1 };
	static const long least[6] = { 0, 0, 0, 1, 1, 0 };
	long v[6], field;
	if (strncmp(line, "pin ", 4) != 0)
		return false;
	line += 4;
	for (int i = 0; i < 6; i++)
		if (!next_number(&line, least[i], most[i], &v[i]))
			return false;
	for (int f = 0; f < CUDA_PIN_FIELDS; f++) {
		if (!next_number(&line, 0, f >= LT_INNER_SHAPE ? UINT16_MAX : INT_MAX, &field))
			return false;
		q->field[f] = (int)field;
	}
	*cc = (int)v[0], *sms = (int)v[1], *version = v[2];
	q->n = (int)v[3], q->k = (int)v[4], q->form = (int)v[5];
	return line[strspn(line, " \r\n")] == '\0';
}

/* The pins of this kind of device; of which version is judged when the library is there. False: a line is no pin, or one too many. */
static bool read_pins(struct backend *be, struct cuda_pins *t, FILE *f, const char *path, long *version)
{
	const struct cudaDeviceProp *d = &cuda_state(be)->properties;
	char line[256];
	bool behind = false; /* of a remark that is longer than a line may be */
	for (int at = 1; fgets(line, sizeof(line), f);) {
		int cc, sms;
		long v;
		cuda_pin q;
		bool remark = behind || line[0] == '#' || line[0] == '\n';
		behind = remark && !strchr(line, '\n');
		memset(&q, 0, sizeof(q));
		if (!remark && !read_pin(line, &cc, &sms, &v, &q)) {
			bad_pins(be, path, at, "is no pin");
			return false;
		}
		at += !behind;
		if (remark || cc != d->major * 10 + d->minor || sms != d->multiProcessorCount)
			continue;
		if (t->n == CUDA_PINS_MAX) {
			bad_pins(be, path, at - 1, "is one pin more than the 256 that a device may have");
			return false;
		}
		version[t->n] = v;
		t->pins[t->n++] = q;
	}
	if (ferror(f))
		bad_pins(be, path, 0, "cannot be read");
	return !ferror(f);
}

/* ---- those in force ------------------------------------------------------------------------------------------------------------- */

/* A tile or a number of stages of 0 is that of an algorithm that knows none (CUBLASLT_ALGO_CAP_TILE_IDS); a cluster of 0 is one that
 * the library chooses at the call, on devices that have clusters (CUBLASLT_CLUSTER_SHAPE_AUTO). */
static bool leaves_a_choice(const struct backend *be, const cuda_pin *q)
{
	return q->field[LT_SPLIT_K] != 1 || q->field[LT_REDUCTION] != 0 ||
	       (q->field[LT_CLUSTER_SHAPE] == 0 && cuda_properties(be)->major >= 9);
}

static bool make_algo(const struct backend *be, const cuda_lt *lt, cuda_pin *q)
{
	return !leaves_a_choice(be, q) && !cuda_trial_too_large(q) && cuda_lt_algo(lt, q);
}

static void keep_good(struct backend *be, struct cuda_pins *pins, const long *version)
{
	cuda_trial t;
	memset(&t, 0, sizeof(t));
	pins->hash = 0xcbf29ce484222325u; /* FNV-1a */
	for (int i = 0; i < pins->n && !cuda_state(be)->error; i++) {
		cuda_pin *q = &pins->pins[i];
		if ((size_t)version[i] != pins->lt.version || !make_algo(be, &pins->lt, q))
			continue;
		q->good = cuda_trial_wrong(be, q, &t) == 0;
		pins->n_good += q->good;
		const unsigned char *p = (const unsigned char *)q;
		for (size_t b = 0; q->good && b < offsetof(cuda_pin, algo); b++)
			pins->hash = (pins->hash ^ p[b]) * 0x100000001b3u;
	}
	cuda_trial_close(be, &t);
}

int cuda_pins_open(struct backend *be)
{
	struct cuda_state *s = cuda_state(be);
	long version[CUDA_PINS_MAX];
	char path[4096];
	pins_path(path, sizeof(path));
	if (s->math != CUDA_MATH_BF16 || !*path)
		return 0;
	FILE *f = fopen(path, "re");
	if (!f && errno != ENOENT)
		bad_pins(be, path, 0, "cannot be opened");
	if (!f)
		return s->error;
	s->pins = (struct cuda_pins *)calloc(1, sizeof(*s->pins));
	bool ok = s->pins && read_pins(be, s->pins, f, path, version);
	fclose(f);
	if (!ok)
		return s->error ? s->error : ERR_UNAVAILABLE;
	s->pins->pinned_any = s->pins->n > 0;
	if (s->pins->pinned_any && cuda_lt_load(&s->pins->lt))
		keep_good(be, s->pins, version);
	return s->error;
}

void cuda_pins_close(struct backend *be)
{
	struct cuda_state *s = cuda_state(be);
	if (s->pins)
		cuda_lt_unload(&s->pins->lt);
	free(s->pins);
	s->pins = NULL;
}

const cuda_pin *cuda_pins_find(const struct backend *be, int n, int k, int form)
{
	const struct cuda_pins *pins = cuda_state(be)->pins;
	for (int i = 0; pins && i < pins->n; i++) {
		const cuda_pin *q = &pins->pins[i];
		if (q->good && q->n == n && q->k == k && q->form == form)
			return q;
	}
	return NULL;
}

void cuda_pins_name(const struct cuda_pins *pins, char *out, size_t room)
{
	if (pins && pins->n_good)
		snprintf(out, room, "lt%zu-%08x", pins->lt.version, (unsigned)(pins->hash ^ pins->hash >> 32));
	else
		snprintf(out, room, "own");
}

void cuda_pins_probe(const struct cuda_pins *pins, kernels_tell *tell, void *arg)
{
	char text[256];
	cuda_lt none;
	memset(&none, 0, sizeof(none));
	const bool pinned = pins && pins->pinned_any;
	const cuda_lt *lt = pinned ? &pins->lt : &none;
	bool there = pinned ? !*lt->missing : cuda_lt_load(&none);
	if (!there) {
		snprintf(text, sizeof(text), "%s; the plugin's own matrix products are used", lt->missing);
		tell(arg, false, "cublasLt", text,
		     "wanted only for pinned products: the toolkit's cuBLAS, or pip install nvidia-cublas and its "
		     "folder in "
		     "LD_LIBRARY_PATH");
		return;
	}
	snprintf(text, sizeof(text),
		 "version %zu; %d of %d pins for this device are in force, other products are the plugin's own",
		 lt->version, pinned ? pins->n_good : 0, pinned ? pins->n : 0);
	tell(arg, true, "cublasLt", text, NULL);
	cuda_lt_unload(&none);
}

/* ---- making pins -------------------------------------------------------------------------------------------------------------------- */

/* Milliseconds of the product, the best of some; negative: an error */
static float time_of(struct backend *be, const cuda_lt_product *p, const lt_algo *algo, cudaEvent_t from,
		     cudaEvent_t to)
{
	float best = -1, ms = 0;
	for (int i = 0; i < 12; i++) {
		if (!CUDA_CHECK(be, cudaEventRecord(from, cuda_stream(be))) || cuda_lt_try(be, p, algo) ||
		    !CUDA_CHECK(be, cudaEventRecord(to, cuda_stream(be))) ||
		    !CUDA_CHECK(be, cudaEventSynchronize(to)) || !CUDA_CHECK(be, cudaEventElapsedTime(&ms, from, to)))
			return -1;
		best = best < 0 || ms < best ? ms : best;
	}
	return best;
}

/* Prints the best pin for W[n,k] and a form (0 y = x W^T, 1 with a bias, 2 GELU behind it, 3 that with its input kept, 4 dx, 5 dW) to
 * f: the one whose times at 128 and at 2048 tokens, each by the best of all, have the least sum. False: none passes its test, and the
 * own kernel it is. The device must be open in the class bf16. */
extern "C" __attribute__((visibility("default"))) bool assay_cuda_tune(struct backend *be, int n, int k, int form,
								       FILE *f)
{
	enum { ROOM = 64 };
	struct cuda_state *s = cuda_state(be);
	const struct cudaDeviceProp *d = &s->properties;
	lt_result results[2 * ROOM];
	float small[2 * ROOM], large[2 * ROOM], best_small = -1, best_large = -1;
	cuda_pin pins[2 * ROOM];
	cuda_trial t;
	cudaEvent_t from = NULL, to = NULL;
	int count = 0, best = -1;
	memset(&t, 0, sizeof(t));
	memset(pins, 0, sizeof(pins));
	pins[0].n = n, pins[0].k = k, pins[0].form = form;
	if (!s->pins)
		s->pins = (struct cuda_pins *)calloc(1, sizeof(*s->pins));
	if (cuda_trial_too_large(&pins[0]))
		return false;
	if (!s->pins || (!s->pins->lt.handle && !cuda_lt_load(&s->pins->lt)) || !cuda_trial_open(be, &t, &pins[0]) ||
	    !CUDA_CHECK(be, cudaEventCreate(&from)) || !CUDA_CHECK(be, cudaEventCreate(&to)))
		goto out;
	{
		cuda_lt_product few = cuda_trial_product(&t, &pins[0], CUDA_LT_ROWS, 0, 3),
				many = cuda_trial_product(&t, &pins[0], cuda_trial_rows(&pins[0]), 0, 3);
		int found = cuda_lt_candidates(be, &few, results, ROOM);
		found += cuda_lt_candidates(be, &many, results + found, ROOM);
		for (int i = 0; i < found && !s->error; i++) {
			cuda_pin q;
			memset(&q, 0, sizeof(q));
			q.n = n, q.k = k, q.form = form, q.algo = results[i].algo;
			bool whole = cuda_lt_fields(&s->pins->lt, &q);
			if (results[i].state || results[i].workspace || !whole || !make_algo(be, &s->pins->lt, &q) ||
			    cuda_trial_wrong(be, &q, &t))
				continue;
			cuda_trial_fill(be, &q, &t); /* the test has left zeros, which a device multiplies faster */
			small[count] = time_of(be, &few, &q.algo, from, to);
			large[count] = time_of(be, &many, &q.algo, from, to);
			if (small[count] <= 0 || large[count] <= 0)
				continue;
			best_small = best_small < 0 || small[count] < best_small ? small[count] : best_small;
			best_large = best_large < 0 || large[count] < best_large ? large[count] : best_large;
			pins[count++] = q;
		}
	}
	for (int i = 0; i < count; i++)
		if (best < 0 ||
		    small[i] / best_small + large[i] / best_large < small[best] / best_small + large[best] / best_large)
			best = i;
	if (best >= 0) {
		fprintf(f, "pin %d %d %zu %d %d %d", d->major * 10 + d->minor, d->multiProcessorCount,
			s->pins->lt.version, n, k, form);
		for (int j = 0; j < CUDA_PIN_FIELDS; j++)
			fprintf(f, " %d", pins[best].field[j]);
		fprintf(f, "\n");
	}
out:
	if (from)
		cudaEventDestroy(from);
	if (to)
		cudaEventDestroy(to);
	cuda_trial_close(be, &t);
	return best >= 0;
}
