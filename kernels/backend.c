/* backend.c: from a device's name to a back end's table.
 *
 * The CPU tables are part of the program. CUDA is a plugin, libassay-cuda.so, opened by its absolute path beside the
 * running program and nowhere else, so that no LD_LIBRARY_PATH and no file of a pushed commit decides what is loaded. It
 * exports six symbols (kernels.h); a plugin of another build is refused. Once loaded it stays: CUDA does
 * not survive being unloaded. It has the CUDA runtime in itself, so it can be loaded, and asked, on a machine without a
 * driver. A file that was copied in part is refused before it is mapped: the loader compares no length, and what it touches beyond
 * the end kills the process.
 *
 * What is missing is said exactly: the plugin here (no toolkit when the program was built), the driver and the device by
 * the plugin. "auto" asks for a device and takes the CPU where there is none; that is worth a line in the log only where
 * the machine has a card (its driver's device file) or the plugin is there and cannot be loaded, else it would be one in every run
 * of every laptop. */
#include "base/base.h"
#include "kernels/kernels.h"
#include "kernels/kernels_int.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <omp.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#endif

enum { THREADS_MAX = 1024, DEVICE_MAX = 1023 };

/* ---- threads --------------------------------------------------------------------------------------------------------- */

/* A container's share of the processors, rounded up; INT32_MAX where there is none (cgroup v2). */
static int quota_threads(void)
{
	struct buf text = BUF_INIT(256);
	struct err_saved saved = err_save();
	long long quota = 0, period = 0, n = INT32_MAX;
	if (fs_read(&text, "/sys/fs/cgroup/cpu.max", 255) == 0 &&
	    sscanf(buf_str(&text), "%lld %lld", &quota, &period) == 2 && quota > 0 && period > 0)
		n = (quota + period - 1) / period;
	buf_release(&text);
	err_restore(&saved);
	return n < INT32_MAX ? (int)n : INT32_MAX;
}

static int usable_threads(void)
{
	int n = omp_get_max_threads(), quota = quota_threads();
#ifdef __linux__
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0 && CPU_COUNT(&set) < n)
		n = CPU_COUNT(&set);
#endif
	n = quota < n ? quota : n;
	return n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : n;
}

/* ---- the plugin -------------------------------------------------------------------------------------------------------- */

struct plugin {
	bool broken; /* it is there, and cannot be loaded */
	int (*open)(struct backend **out, const struct kernels_want *want);
	int (*count)(int *n, int (*fail)(int code, const char *text, const char *fix));
	void (*probe)(kernels_tell *tell, void *arg);
};

static bool has_card(void)
{
	return access("/dev/nvidiactl", F_OK) == 0 || access("/dev/dxg", F_OK) == 0; /* the latter: in WSL */
}

static int plugin_path(char **out)
{
	char exe[4096];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	if (n <= 0 || n == sizeof(exe) - 1)
		return err_errno(ERR_ENV, "cuda: cannot find the folder of the running program (/proc/self/exe)");
	exe[n] = '\0';
	char *dir = path_dir(exe);
	*out = path_join(dir, "libassay-cuda.so");
	free(dir);
	return 0;
}

static int plugin_absent(const char *path)
{
	err_set(ERR_UNAVAILABLE, "cuda: the plugin %s is not there%s", path,
		has_card() ? "" : ", and this machine has no NVIDIA GPU (no /dev/nvidiactl)");
	return err_hint(ERR_UNAVAILABLE,
			"build it where a CUDA toolkit (12 or 13) is: make CUDA=1; or use the device cpu");
}

static bool ends_within(uint64_t at, uint64_t bytes, uint64_t size)
{
	return at <= size && bytes <= size - at;
}

/* Does an ELF file end before its segments or its tables do? What is no such file is left to the loader, which says so. */
static bool is_cut_off(const char *path)
{
	Elf64_Ehdr head;
	Elf64_Phdr part;
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool cut = false;

	if (fd < 0)
		return false;
	if (fstat(fd, &st) == 0 && pread(fd, &head, sizeof(head), 0) == (ssize_t)sizeof(head) &&
	    memcmp(head.e_ident, ELFMAG, SELFMAG) == 0 && head.e_ident[EI_CLASS] == ELFCLASS64 &&
	    head.e_phentsize == sizeof(part)) {
		uint64_t size = (uint64_t)st.st_size;
		cut = !ends_within(head.e_shoff, (uint64_t)head.e_shnum * head.e_shentsize, size);
		for (uint64_t i = 0; !cut && i < head.e_phnum; i++)
			cut = !ends_within(head.e_phoff, (i + 1) * sizeof(part), size) ||
			      pread(fd, &part, sizeof(part), (off_t)(head.e_phoff + i * sizeof(part))) !=
				      (ssize_t)sizeof(part) ||
			      !ends_within(part.p_offset, part.p_filesz, size);
	}
	close(fd);
	return cut;
}

/* By the number, and by what is compiled in on both sides. A number of before has no such thing behind it. */
static bool is_of_this_build(void *lib)
{
	const struct kernels_build ours = KERNELS_BUILD;
	const int *abi = dlsym(lib, "assay_cuda_abi");
	const struct kernels_build *build = dlsym(lib, "assay_cuda_build");

	return abi && build && *abi == KERNELS_ABI && build->table_bytes == ours.table_bytes &&
	       build->header == ours.header;
}

static int plugin_load(struct plugin *out, const char *path)
{
	if (access(path, F_OK) != 0)
		return plugin_absent(path);
	if (is_cut_off(path)) {
		err_set(ERR_UNAVAILABLE, "cuda: the plugin %s is cut off: a part of the file is missing", path);
		return err_hint(ERR_UNAVAILABLE, "copy or install it again, or use the device cpu");
	}
	void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!lib) {
		err_set(ERR_UNAVAILABLE, "cuda: the plugin cannot be loaded: %s", dlerror());
		return err_hint(ERR_UNAVAILABLE, "install what it names, or use the device cpu");
	}
	/* POSIX's way to a function through dlsym, which ISO C has no cast for */
	*(void **)&out->open = dlsym(lib, "assay_cuda_open");
	*(void **)&out->count = dlsym(lib, "assay_cuda_count");
	*(void **)&out->probe = dlsym(lib, "assay_cuda_probe");
	if (out->open && out->count && out->probe && is_of_this_build(lib))
		return 0;
	err_set(ERR_UNAVAILABLE, "cuda: the plugin %s is not of this build", path);
	return err_hint(ERR_UNAVAILABLE, "build or install the program and its plugin together");
}

static int plugin_find(struct plugin *out)
{
	char *path = NULL;
	int rc = plugin_path(&path);
	if (!rc)
		rc = plugin_load(out, path);
	out->broken = rc && path && access(path, F_OK) == 0;
	free(path);
	return rc;
}

static int plugin_failed(int code, const char *text, const char *fix)
{
	err_set(code, "%s", text);
	return fix ? err_hint(code, "%s", fix) : code;
}

static int cuda_open(struct backend **out, struct plugin *plugin, int device, int cls)
{
	const struct kernels_want want = { device, cls, plugin_failed };
	int rc = plugin_find(plugin);
	return rc ? rc : plugin->open(out, &want);
}

int backend_cuda_devices(int *n)
{
	struct plugin plugin = { 0 };
	int rc = plugin_find(&plugin);

	*n = 0;
	return rc ? rc : plugin.count(n, plugin_failed);
}

/* ---- open and close ---------------------------------------------------------------------------------------------------- */

static int bad_spec(const char *spec)
{
	err_set(ERR_USAGE, "unknown device \"%.64s\"", spec);
	if (strchr(spec, ',') || strcmp(spec, "cuda:all") == 0 || strncmp(spec, "cuda:all/", 9) == 0)
		return err_hint(ERR_USAGE, "several devices are for training: assay train and assay run take them");
	return err_hint(ERR_USAGE,
			"auto, cpu, cpu_ref, cuda or cuda:N; a CUDA device's numerics class behind it: cuda/f32, "
			"cuda:1/tf32, cuda/bf16");
}

/* The class behind a slash; *len becomes what is in front of it. Negative: there is no such class. */
static int class_of(const char *spec, size_t *len)
{
	static const char *const names[] = { "f32", "tf32", "bf16" }; /* enum kernels_class */
	const char *slash = strchr(spec, '/');
	*len = slash ? (size_t)(slash - spec) : strlen(spec);
	if (!slash)
		return KERNELS_CLASS_BF16;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(slash + 1, names[i]) == 0)
			return (int)i;
	return -1;
}

/* Digits only: no sign, no space, no overflow. Negative: not a number. */
static int number_of(const char *p, size_t len)
{
	int n = 0;
	for (size_t i = 0; i < len; i++) {
		if (p[i] < '0' || p[i] > '9' || n > DEVICE_MAX)
			return -1;
		n = n * 10 + (p[i] - '0');
	}
	return len && n <= DEVICE_MAX ? n : -1;
}

static int auto_open(struct backend **out, int cls, int threads)
{
	struct plugin plugin = { 0 };
	int rc = cuda_open(out, &plugin, -1, cls);
	if (!rc)
		return 0;
	if (has_card() || plugin.broken)
		log_info("device auto: the CPU, since %s%s%s", err_text(), err_fix() ? "; " : "",
			 err_fix() ? err_fix() : "");
	else
		log_debug("device auto: the CPU, since %s", err_text());
	err_clear();
	return cpu_open(out, threads);
}

int backend_open(struct backend **out, const char *spec, int threads)
{
	struct plugin plugin = { 0 };
	size_t len;
	int cls = class_of(spec, &len), device;
	*out = NULL;
	if (threads < 0 || threads > THREADS_MAX)
		return err_set(ERR_USAGE, "threads: %d is not in 0..%d", threads, THREADS_MAX);
	if (threads == 0)
		threads = usable_threads();
	if (strcmp(spec, "cpu") == 0)
		return cpu_open(out, threads);
	if (strcmp(spec, "cpu_ref") == 0)
		return cpu_ref_open(out, threads);
	if (cls < 0)
		return bad_spec(spec);
	if (len == 4 && memcmp(spec, "auto", len) == 0)
		return auto_open(out, cls, threads);
	if (len == 4 && memcmp(spec, "cuda", len) == 0)
		return cuda_open(out, &plugin, -1, cls);
	device = len > 5 && memcmp(spec, "cuda:", 5) == 0 ? number_of(spec + 5, len - 5) : -1;
	return device < 0 ? bad_spec(spec) : cuda_open(out, &plugin, device, cls);
}

void backend_close(struct backend *be)
{
	if (be)
		be->close(be);
}

/* ---- what there is ------------------------------------------------------------------------------------------------------ */

void backend_probe(kernels_tell *tell, void *arg)
{
	struct backend *be = NULL;
	struct plugin plugin = { 0 };
	if (cpu_open(&be, usable_threads()) == 0) {
		char *detail = mem_printf("%s, %d threads", be->numerics, be->threads);
		tell(arg, true, "cpu", detail, NULL);
		free(detail);
	} else {
		tell(arg, false, "cpu", err_text(), err_fix());
	}
	backend_close(be);
	if (plugin_find(&plugin) == 0)
		plugin.probe(tell, arg);
	else
		tell(arg, false, "cuda", err_text(), err_fix());
	err_clear();
}
