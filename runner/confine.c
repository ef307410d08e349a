/* confine.c: Landlock for files, seccomp for the network and for ways around, rlimits: a command that came with a commit,
 * where bubblewrap does not work since the machine allows no namespaces.
 *
 * The one idea: nothing is granted but what is named. Files: everything may be read but the folders that are hidden (homes,
 * /run, /tmp, git's, assay's), which Landlock, having no "but", is told as the children of all folders that lead to them; only
 * the tree, with a folder for temporary files in it, and some devices may be written. Network: no socket can be made at all,
 * nor a ring that would make one (a pair of sockets, which programs talk to their own children by, can). Other processes:
 * Landlock keeps their memory and environment from being read (root has no capabilities in here), signals do not reach them where the kernel can say so
 * (version 6), and tracing is refused. No new rights by setuid programs, no core files. A keeper (keeper.c), who is not
 * confined himself, ends all that the command has begun.
 *
 * What bubblewrap has over it: the command sees the names of files that it may not open, other processes' names, and the
 * machine's own /dev/shm is refused instead of private; modes and times of files elsewhere that belong to the same user can
 * be changed. Calls of 32-bit programs end them: they would go by other numbers past the filter. */
#include "base/base.h"
#include "runner/confine.h"
#include "runner/keeper.h"
#include "runner/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* linux/landlock.h, of which the build's may be older than the kernel that we meet. */
struct ruleset {
	uint64_t fs, net, scoped;
};
struct beneath {
	uint64_t allowed;
	int32_t fd;
} __attribute__((packed));

enum {
	NR_CREATE_RULESET = 444,
	NR_ADD_RULE = 445,
	NR_RESTRICT_SELF = 446, /* of all architectures */
	EXECUTE = 1 << 0,
	WRITE_FILE = 1 << 1,
	READ_FILE = 1 << 2,
	READ_DIR = 1 << 3,
	REFER = 1 << 13,
	TRUNCATE = 1 << 14,
	IOCTL_DEV = 1 << 15,
	READING = EXECUTE | READ_FILE | READ_DIR,
	OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
};

static long landlock(long nr, long a, long b, long c, long d)
{
	return syscall(nr, a, b, c, d);
}

int confine_version(void)
{
	long v = landlock(NR_CREATE_RULESET, 0, 0, 1, 0);

	return v > 0 ? (int)v : 0;
}

/* All rights on files that this version knows: 13 at first, then one more at a time. */
static uint64_t all_rights(int version)
{
	return ((uint64_t)1 << (version < 2 ? 13 : version < 3 ? 14 : version < 5 ? 15 : 16)) - 1;
}

/* ---- files ------------------------------------------------------------------------------------------------------------ */

struct files {
	int ruleset;
	uint64_t all;
	char *const *hidden;
	size_t n_hidden;
};

/* A path that is not there, or not to be looked into, is not granted, and that is no failure. */
static int grant(const struct files *f, const char *path, uint64_t rights)
{
	int fd = open(path, O_PATH | O_CLOEXEC), rc = 0;
	struct beneath rule = { .fd = fd };
	struct stat st;

	if (fd < 0)
		return 0;
	rule.allowed = rights & f->all;
	if (fstat(fd, &st) != 0 || !S_ISDIR(st.st_mode))
		rule.allowed &= OF_A_FILE;
	if (rule.allowed && landlock(NR_ADD_RULE, f->ruleset, 1, (long)&rule, 0) != 0)
		rc = err_errno(ERR_ENV, "Landlock: %s", path);
	close(fd);
	return rc;
}

static bool is_above(const char *folder, const char *path)
{
	size_t n = strlen(folder);

	return strncmp(folder, path, n) == 0 && (path[n] == '/' || (n == 1 && path[1]));
}

/* To be read: the folder, or where something beneath it is hidden, its other children. */
static int grant_but(const struct files *f, const char *folder)
{
	bool above = false;
	struct dirent *e;
	DIR *d;
	int rc = 0;

	for (size_t i = 0; i < f->n_hidden; i++) {
		if (strcmp(f->hidden[i], folder) == 0)
			return 0;
		above = above || is_above(folder, f->hidden[i]);
	}
	if (!above)
		return grant(f, folder, READING);
	d = opendir(folder);
	while (rc == 0 && d && (e = readdir(d))) {
		char *path = path_join(folder, e->d_name);
		struct stat st;

		/* a link is granted where it leads to, and from there alone */
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && lstat(path, &st) == 0 && !S_ISLNK(st.st_mode))
			rc = grant_but(f, path);
		free(path);
	}
	if (d)
		closedir(d);
	return rc;
}

/* As in bubblewrap: an interpreter that lives in a home stays readable (sandbox.c). */
static int grant_interpreters(const struct files *f)
{
	struct words w = { 0 };
	int rc = 0;

	sandbox_interpreters(&w);
	for (size_t i = 0; i < w.n && rc == 0; i++)
		rc = grant(f, w.items[i], READING);
	argv_release(&w);
	return rc;
}

static int grant_devices(const struct files *f)
{
	static const char *const files[] = { "/dev/null",   "/dev/zero",    "/dev/full",
					     "/dev/random", "/dev/urandom", "/dev/tty" };
	struct dirent *e;
	DIR *d = opendir("/dev");
	int rc = 0;

	for (size_t i = 0; i < ARRAY_LEN(files) && rc == 0; i++)
		rc = grant(f, files[i], READ_FILE | WRITE_FILE | IOCTL_DEV);
	while (rc == 0 && d && (e = readdir(d))) { /* GPUs */
		char *path = path_join("/dev", e->d_name);

		if (strncmp(e->d_name, "nvidia", 6) == 0)
			rc = grant(f, path, READ_FILE | READ_DIR | WRITE_FILE | IOCTL_DEV);
		free(path);
	}
	if (d)
		closedir(d);
	return rc;
}

static int restrict_files(const char *tree, const char *base, char *const *hidden, size_t n_hidden)
{
	int version = confine_version(), rc = 0;
	struct files f = { -1, all_rights(version), hidden, n_hidden };
	struct ruleset r = { .fs = f.all, .net = version >= 4 ? 3 : 0, .scoped = version >= 6 ? 3 : 0 };
	size_t size = version >= 6 ? sizeof(r) : version >= 4 ? offsetof(struct ruleset, scoped) : sizeof(r.fs);

	f.ruleset = version ? (int)landlock(NR_CREATE_RULESET, (long)&r, (long)size, 0, 0) : -1;
	if (f.ruleset < 0)
		return err_errno(ERR_ENV, "Landlock");
	if ((rc = grant_but(&f, "/")) || (rc = grant_interpreters(&f)) || (rc = grant_devices(&f)) ||
	    (rc = *base ? grant(&f, base, READING) : 0) || (rc = grant(&f, tree, f.all)))
		goto out;
	if (landlock(NR_RESTRICT_SELF, f.ruleset, 0, 0, 0) != 0)
		rc = err_errno(ERR_ENV, "Landlock");
out:
	close(f.ruleset);
	return rc;
}

/* ---- calls ------------------------------------------------------------------------------------------------------------ */

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#else
#define OUR_ARCH 0
#endif

/* Refused with EPERM. Beside socket: what would reach it, other processes or the kernel by another way. */
static const int refused[] = { SYS_socket,
			       SYS_io_uring_setup,
			       SYS_ptrace,
			       SYS_process_vm_readv,
			       SYS_process_vm_writev,
			       SYS_pidfd_getfd,
			       SYS_kcmp,
			       SYS_bpf,
			       SYS_perf_event_open,
			       SYS_userfaultfd,
			       SYS_keyctl,
			       SYS_add_key,
			       SYS_request_key,
			       SYS_mount,
			       SYS_umount2,
			       SYS_pivot_root,
			       SYS_move_mount,
			       SYS_open_tree,
			       SYS_fsopen,
			       SYS_fsmount,
			       SYS_unshare,
			       SYS_setns,
			       SYS_chroot,
			       SYS_init_module,
			       SYS_finit_module,
			       SYS_delete_module,
			       SYS_kexec_load,
			       SYS_reboot,
			       SYS_swapon,
			       SYS_swapoff,
			       SYS_open_by_handle_at,
			       SYS_truncate,
			       SYS_settimeofday,
			       SYS_clock_settime,
			       SYS_syslog,
			       SYS_acct };

static int restrict_calls(void)
{
	enum { HEAD = 5, N = ARRAY_LEN(refused) };
	struct sock_filter p[HEAD + N + 2] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, N + 1, 0), /* x32's numbers: refused, too */
	};
	struct sock_fprog program = { ARRAY_LEN(p), p };

	for (size_t i = 0; i < N; i++) {
		/* Landlock knows truncation from its version 3 on */
		uint32_t nr =
			(uint32_t)(refused[i] == SYS_truncate && confine_version() >= 3 ? refused[0] : refused[i]);

		p[HEAD + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, (uint8_t)(N - i), 0);
	}
	p[HEAD + N] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	p[HEAD + N + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	if (!OUR_ARCH)
		return err_set(ERR_ENV, "seccomp: not known on this machine's architecture");
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0 ? 0 : err_errno(ERR_ENV, "seccomp");
}

/* Root's powers are no powers in here: with CAP_PERFMON the kernel would show other processes' environments past Landlock. */
static int drop_capabilities(void)
{
	struct {
		uint32_t version;
		int pid;
	} head = { 0x20080522, 0 }; /* _LINUX_CAPABILITY_VERSION_3 */
	uint32_t none[6] = { 0 };

	for (unsigned long cap = 0; cap < 64; cap++)
		(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); /* who may not drop them has none */
	return syscall(SYS_capset, &head, none) == 0 ? 0 : err_errno(ERR_ENV, "capset");
}

/* ---- the command ------------------------------------------------------------------------------------------------------- */

static int own_tmp(const char *tree)
{
	char *tmp = path_join(tree, ".assay-tmp");
	int rc = fs_mkdirs(tmp);

	if (rc == 0 && (setenv("TMPDIR", tmp, 1) != 0 || setenv("HOME", tmp, 1) != 0))
		rc = err_errno(ERR_ENV, "setenv");
	free(tmp);
	return rc;
}

int cmd_confine(int argc, char **argv)
{
	const struct rlimit no_core = { 0, 0 };
	int dash = 3, rc;

	while (dash < argc && strcmp(argv[dash], "--") != 0)
		dash++;
	if (argc < 4 || dash + 1 >= argc)
		return err_set(ERR_USAGE, "confine is for assay itself");
	rc = keeper_fork();
	rc = rc ? rc : own_tmp(argv[1]);
	if (rc == 0 && (chdir(argv[1]) != 0 || setrlimit(RLIMIT_CORE, &no_core) != 0 ||
			prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0))
		rc = err_errno(ERR_ENV, "confine");
	if (rc == 0)
		rc = restrict_files(argv[1], argv[2], &argv[3], (size_t)dash - 3);
	if (rc == 0)
		rc = drop_capabilities();
	if (rc == 0)
		rc = restrict_calls();
	return rc ? rc : keeper_exec(&argv[dash + 1]);
}
