/* backend.c: from a device's name to a back end's table.
 *
 * The CPU tables are part of the program. CUDA is a plugin, libassay-cuda.so, opened by its absolute path beside the
 * running program and nowhere else, so that no LD_LIBRARY_PATH and no file of a pushed commit decides what is loaded. It
 * exports three symbols (kernels.h); a plugin of another build is refused by its number. Once loaded it stays: CUDA does
 * not survive being unloaded.
 *
 * What is missing is said exactly: the plugin (no toolkit when the program was built), the driver (no GPU machine), a
 * library the plugin needs, or the device. */
#include "base/base.h"
#include "kernels/kernels.h"
#include "kernels/kernels_int.h"

#include <dlfcn.h>
#include <errno.h>
#include <omp.h>
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

static bool has_driver(void)
{
	void *lib = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
	if (lib)
		dlclose(lib);
	return lib != NULL;
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
	bool driver = has_driver();

	err_set(ERR_UNAVAILABLE,
		"cuda: the plugin %s is not built (the CUDA back end is not a part of this version yet)%s", path,
		driver ? "" : ", and there is no NVIDIA driver (libcuda.so.1) on this machine");
	return err_hint(ERR_UNAVAILABLE, "use the device cpu");
}

static int plugin_load(void **out, const char *path)
{
	if (access(path, F_OK) != 0)
		return plugin_absent(path);
	if (!has_driver()) {
		err_set(ERR_UNAVAILABLE, "cuda: there is no NVIDIA driver (libcuda.so.1) on this machine");
		return err_hint(ERR_UNAVAILABLE,
				"run on a machine with an NVIDIA GPU and its driver, or use the device cpu");
	}
	void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!lib) {
		err_set(ERR_UNAVAILABLE, "cuda: the plugin cannot be loaded: %s", dlerror());
		return err_hint(ERR_UNAVAILABLE, "install the CUDA libraries that it names, or use the device cpu");
	}
	*out = lib;
	return 0;
}

static int cuda_open(struct backend **out, int device)
{
	char *path = NULL;
	void *lib = NULL;
	int rc = plugin_path(&path);
	if (!rc)
		rc = plugin_load(&lib, path);
	if (rc)
		goto out;
	int (*open_device)(struct backend **, int) = NULL;
	const char *(*why)(void) = NULL;
	/* POSIX's way to a function through dlsym, which ISO C has no cast for */
	*(void **)&open_device = dlsym(lib, "assay_cuda_open");
	*(void **)&why = dlsym(lib, "assay_cuda_error");
	const int *abi = dlsym(lib, "assay_cuda_abi");
	if (!open_device || !abi || *abi != KERNELS_ABI) {
		rc = err_set(ERR_UNAVAILABLE, "cuda: the plugin %s is not of this build", path);
		err_hint(rc, "build or install the program and its plugin together");
		goto out;
	}
	rc = open_device(out, device);
	if (rc) {
		err_set(rc, "cuda:%d: %s", device, why && why() ? why() : "the device cannot be opened");
		err_hint(rc, "nvidia-smi lists the devices of this machine; the device cpu works everywhere");
	}
out:
	free(path);
	return rc;
}

/* ---- open and close ---------------------------------------------------------------------------------------------------- */

static int bad_spec(const char *spec)
{
	err_set(ERR_USAGE, "unknown device \"%.64s\"", spec);
	return err_hint(ERR_USAGE, "auto, cpu, cpu_ref, cuda or cuda:N");
}

int backend_open(struct backend **out, const char *spec, int threads)
{
	*out = NULL;
	if (threads < 0 || threads > THREADS_MAX)
		return err_set(ERR_USAGE, "threads: %d is not in 0..%d", threads, THREADS_MAX);
	if (threads == 0)
		threads = usable_threads();
	if (strcmp(spec, "auto") == 0 || strcmp(spec, "cpu") == 0)
		return cpu_open(out, threads);
	if (strcmp(spec, "cpu_ref") == 0)
		return cpu_ref_open(out, threads);
	if (strcmp(spec, "cuda") == 0)
		return cuda_open(out, 0);
	if (strncmp(spec, "cuda:", 5) != 0)
		return bad_spec(spec);
	int device = 0;
	const char *p = spec + 5;
	do { /* digits only: no sign, no space, no overflow */
		if (*p < '0' || *p > '9')
			return bad_spec(spec);
		device = device * 10 + (*p - '0');
		if (device > DEVICE_MAX)
			return bad_spec(spec);
	} while (*++p);
	return cuda_open(out, device);
}

void backend_close(struct backend *be)
{
	if (be)
		be->close(be);
}
