/* hook.c: a hook of a repository: written, chained in front of the one that is there, and taken out again.
 *
 * The hook is a small POSIX script with a marker in its second line. Alone, it becomes `assay hook run NAME`. In front of
 * a hook that was there before it copies git's standard input to a temporary file, runs assay on it, and then that hook with
 * the same bytes and arguments, so that git-lfs uploads nothing for a push that the gate stops. If assay is not to be found
 * the push is stopped with one line that says how to go on: a gate that vanishes quietly is none. Somebody waits for the
 * answer: the shell starts no other program before it (but for that copy), and sets what assay would have to start anew for.
 *
 * The earlier hook is kept as NAME.assay-chained, the same inode: uninstall renames it back, mode, link and bytes
 * as they were. At no instant is there no hook: a hard link is made first, then the script replaces the old name by one
 * rename. Installing twice writes the script anew (the path may have changed) and chains nothing twice. A hook that is
 * not executable is one that git ignores: it is kept, and ignored further.
 *
 * husky owns .husky/_, writes it anew at every npm install, and finds the user's hook by its own name in .husky: there
 * the script goes, as .husky/pre-push, without this machine's path since that file is committed; husky runs hooks by
 * `sh -e`, so the chained one is run that way too. */
#include "base/base.h"
#include "ci/ci.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOOK_MAX ((size_t)64 << 20)

/* What the script says, with the hook's name for each %1$s. */
static const char hook_marker[] = "# assay:%1$s-hook v1\n";
static const char hook_head[] = "# Made by `assay hook install`, taken out by `assay hook uninstall`. Asks the gate "
				"before anything moves, then runs\n"
				"# the hook that was here before (%1$s.assay-chained) with the same input.\n";

static const char hook_find[] =
	"[ -f \"$assay\" ] && [ -x \"$assay\" ] || assay=$(command -v assay) || {\n"
	"\techo 'assay: the %1$s gate is not to be found on this machine; the push is stopped.' >&2\n"
	"\techo 'assay: put assay into PATH and run \"assay hook install\"%2$s' >&2\n"
	"\texit 1\n"
	"}\n" /* libgomp's setting: without it assay would start itself anew (runner/main.c) */
	"gate() {\n"
	"\t[ -n \"${OMP_WAIT_POLICY-}\" ] || export GOMP_SPINCOUNT=\"${GOMP_SPINCOUNT-1000}\"\n"
	"\texec \"$assay\" hook run %1$s \"$@\"\n"
	"}\n";

/* %1$s: what says that there is a hook to run behind; %2$s: what runs it. */
static const char hook_chain[] = "chained=$0.assay-chained\n"
				 "[ %1$s \"$chained\" ] || gate \"$@\"\n"
				 "refs=$(mktemp \"${TMPDIR:-/tmp}/assay-push.XXXXXX\") || {\n"
				 "\techo 'assay: no temporary file can be made; the push is stopped.' >&2\n"
				 "\texit 1\n"
				 "}\n"
				 "trap 'rm -f \"$refs\"' EXIT\n"
				 "trap 'exit 129' HUP\n"
				 "trap 'exit 130' INT\n"
				 "trap 'exit 143' TERM\n"
				 "cat >\"$refs\" || exit 1\n"
				 "(gate \"$@\") <\"$refs\" || exit\n"
				 "%2$s\"$chained\" \"$@\" <\"$refs\"\n";

/* s between single quotes for a shell. */
static void add_quoted(struct buf *out, const char *s)
{
	buf_addc(out, '\'');
	for (; *s; s++) {
		if (*s == '\'')
			buf_adds(out, "'\\''");
		else
			buf_addc(out, *s);
	}
	buf_addc(out, '\'');
}

struct hook {
	const char *name;
	char *dir, *path, *chained;
	bool husky;
};

static void hook_release(struct hook *h)
{
	free(h->dir);
	free(h->path);
	free(h->chained);
}

/* Where the hook belongs: in the folder that git names, but for husky's own. */
static void hook_locate(struct hook *h, const char *hooks_dir, const char *name)
{
	size_t len = strlen(hooks_dir);
	char *trimmed, *runner, *parent;

	while (len > 1 && hooks_dir[len - 1] == '/')
		len--;
	trimmed = mem_strn(hooks_dir, len);
	runner = path_join(trimmed, "h");
	parent = path_dir(trimmed);
	*h = (struct hook){ .name = name, .husky = !strcmp(path_base(trimmed), "_") && fs_exists(runner) };
	h->dir = mem_str(h->husky ? parent : trimmed);
	h->path = path_join(h->dir, name);
	h->chained = mem_printf("%s.assay-chained", h->path);
	free(trimmed);
	free(runner);
	free(parent);
}

static bool is_there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

/* Is the hook at path ours? ERR_NOTFOUND: there is none. ERR_IO: there is something that cannot be read as a file. */
static int hook_is_ours(const struct hook *h, bool *ours)
{
	const char *path = h->path;
	char *marker = mem_printf(hook_marker, h->name);
	struct buf text = BUF_INIT(HOOK_MAX);
	struct stat st;
	const char *second;
	int rc;

	*ours = false;
	if (lstat(path, &st) != 0)
		rc = errno == ENOENT ? ERR_NOTFOUND : err_errno(ERR_IO, "%s", path);
	else if (stat(path, &st) != 0 || !S_ISREG(st.st_mode) || access(path, R_OK) != 0)
		rc = err_hint(err_set(ERR_IO, "%s: there is something that cannot be read as a hook", path),
			      "repair it or move it away, then install again");
	else if ((rc = fs_read(&text, path, HOOK_MAX)) != 0)
		err_context(rc, "%s", path);
	second = rc ? NULL : strchr(buf_str(&text), '\n');
	*ours = second && !strncmp(second + 1, marker, strlen(marker));
	buf_release(&text);
	free(marker);
	return rc;
}

static bool same_file(const char *a, const char *b)
{
	struct stat x, y;

	return lstat(a, &x) == 0 && lstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static bool same_bytes(const char *a, const char *b)
{
	struct buf x = BUF_INIT(HOOK_MAX), y = BUF_INIT(HOOK_MAX);
	bool same = fs_read(&x, a, HOOK_MAX) == 0 && fs_read(&y, b, HOOK_MAX) == 0 && x.len == y.len &&
		    !memcmp(buf_str(&x), buf_str(&y), x.len);

	buf_release(&x);
	buf_release(&y);
	return same;
}

/* Gives the hook that is there its second name. A file system without hard links takes a rename. */
static int hook_set_aside(const struct hook *h)
{
	if (is_there(h->chained)) {
		/* an install that was interrupted here, or a hook manager that put its own hook back over ours */
		if (same_file(h->path, h->chained) || same_bytes(h->path, h->chained))
			return 0;
		return err_hint(err_set(ERR_EXISTS, "%s: a hook was set aside here before, and another has come since",
					h->chained),
				"look at both, remove the one that is not wanted, then install again");
	}
	if (link(h->path, h->chained) == 0)
		return fs_sync_dir(h->dir);
	if (errno != EPERM && errno != EOPNOTSUPP && errno != EMLINK && errno != ENOSYS)
		return err_errno(ERR_IO, "%s", h->chained);
	return fs_rename(h->path, h->chained);
}

static int hook_write(const struct hook *h, const char *assay_path)
{
	struct buf text = BUF_INIT(HOOK_MAX);
	struct fs_temp temp;
	int rc;

	buf_adds(&text, "#!/bin/sh\n");
	buf_addf(&text, hook_marker, h->name);
	buf_addf(&text, hook_head, h->name);
	buf_adds(&text, "assay=");
	add_quoted(&text, h->husky || !assay_path ? "" : assay_path);
	buf_addc(&text, '\n');
	buf_addf(&text, hook_find, h->name,
		 strcmp(h->name, "pre-push") == 0 ? ", or pass this once: git push --no-verify" : "");
	buf_addf(&text, hook_chain, h->husky ? "-f" : "-x", h->husky ? "sh -e " : "");
	rc = fs_temp_open(&temp, h->dir);
	if (rc)
		goto out;
	rc = fs_temp_write(&temp, buf_str(&text), text.len);
	if (!rc && fchmod(temp.fd, 0755) != 0)
		rc = err_errno(ERR_IO, "%s", h->path);
	if (!rc)
		rc = fs_temp_commit(&temp, h->path);
	fs_temp_drop(&temp);
out:
	buf_release(&text);
	return rc;
}

int hook_install(const char *hooks_dir, const char *name, const char *assay_path, bool *chained)
{
	struct hook h;
	bool ours;
	int rc;

	hook_locate(&h, hooks_dir, name);
	*chained = false;
	rc = fs_mkdirs(h.dir);
	if (rc)
		goto out;
	rc = hook_is_ours(&h, &ours);
	if (rc == ERR_NOTFOUND)
		rc = 0;
	else if (!rc && !ours)
		rc = hook_set_aside(&h);
	if (!rc)
		rc = hook_write(&h, assay_path);
	if (!rc)
		*chained = is_there(h.chained);
out:
	hook_release(&h);
	return rc;
}

int hook_uninstall(const char *hooks_dir, const char *name, bool *restored)
{
	struct hook h;
	bool ours;
	int rc;

	hook_locate(&h, hooks_dir, name);
	*restored = false;
	rc = hook_is_ours(&h, &ours);
	if (rc == ERR_NOTFOUND && is_there(h.chained)) { /* somebody removed ours by hand */
		rc = fs_rename(h.chained, h.path);
		*restored = !rc;
	} else if (rc == ERR_NOTFOUND) {
		rc = err_set(ERR_NOTFOUND, "%s: no hook is installed", h.path);
	} else if (!rc && !ours) {
		rc = err_set(ERR_NOTFOUND, "%s: the hook there is not assay's", h.path);
		if (is_there(h.chained))
			err_hint(rc, "the one that assay once set aside is %s.assay-chained", name);
		else
			err_hint(rc, "nothing was changed");
	} else if (!rc && is_there(h.chained)) {
		rc = fs_rename(h.chained, h.path);
		*restored = !rc;
	} else if (!rc) {
		rc = fs_remove(h.path);
	}
	hook_release(&h);
	return rc;
}
