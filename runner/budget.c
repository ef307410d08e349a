/* budget.c: how much memory there is: the kernel's MemAvailable, the limits of the cgroups that this process is in (a
 * container's, a CI job's, a Slurm step's), a shell's limit on the address space (ulimit -v), and what the user allows with
 * --memory. The least of them counts.
 *
 * Of a cgroup's limit, what its processes hold already is taken off, but not the page cache that the kernel drops when
 * it must (inactive_file). Version 2 and version 1 of cgroups; a limit of an outer group holds for the inner ones. */
#include "base/base.h"
#include "runner/budget.h"

#include <math.h>
#include <unistd.h>

#define FILE_MAX ((size_t)1 << 16)

int budget_parse(uint64_t *out, const char *text)
{
	static const char units[] = "KMGT";
	char *end;
	double n = strtod(text, &end), scale = 1;
	const char *unit = *end ? strchr(units, *end >= 'a' ? *end - 32 : *end) : NULL;

	if (unit) {
		scale = pow(1024, (double)(unit - units + 1));
		end++;
		end += *end == 'i';
	}
	end += *end == 'B';
	if (end == text || *end || !(n > 0) || !(n * scale < 9e18) || n * scale < 1)
		return err_hint(err_set(ERR_USAGE, "--memory %.40s: a size is wanted", text), "such as 4G or 512M");
	*out = (uint64_t)(n * scale);
	return 0;
}

/* The text of a file beneath root; "" if it cannot be read. */
static int read_file(struct buf *out, const char *root, const char *path)
{
	char *whole = mem_printf("%s%s", root, path);
	int rc;

	buf_clear(out);
	rc = fs_read(out, whole, FILE_MAX);
	free(whole);
	if (rc)
		buf_clear(out);
	return rc;
}

/* The number behind a word at the start of a line; 0 if there is none. */
static uint64_t number_of(const struct buf *text, const char *word)
{
	size_t n = strlen(word);

	for (const char *line = buf_str(text); line; line = strchr(line, '\n'), line += line != NULL)
		if (strncmp(line, word, n) == 0)
			return strtoull(line + n, NULL, 10);
	return 0;
}

static void take_less(struct budget *b, uint64_t bytes, const char *what)
{
	if (b->bytes && b->bytes <= bytes)
		return;
	b->bytes = bytes;
	b->what = what;
}

struct cgroup_files {
	const char *base, *limit, *used, *cache; /* cache: the word in memory.stat */
};

/* One group: what its limit leaves. */
static void look_at(struct budget *b, const char *root, const struct cgroup_files *f, const char *group)
{
	struct buf text = BUF_INIT(FILE_MAX);
	char *path = mem_printf("%s%s/%s", f->base, group, f->limit);
	uint64_t limit, used, cache;
	char *end;

	if (read_file(&text, root, path) == 0) {
		limit = strtoull(buf_str(&text), &end, 10);
		if (end != buf_str(&text) && limit < (uint64_t)1 << 60) { /* "max", or the huge number of version 1 */
			free(path);
			path = mem_printf("%s%s/%s", f->base, group, f->used);
			read_file(&text, root, path);
			used = strtoull(buf_str(&text), NULL, 10);
			free(path);
			path = mem_printf("%s%s/memory.stat", f->base, group);
			read_file(&text, root, path);
			cache = number_of(&text, f->cache);
			used -= cache < used ? cache : used;
			take_less(b, limit > used ? limit - used : 1, "the cgroup's limit");
		}
	}
	buf_release(&text);
	free(path);
}

/* The group and those around it, up to the root: some of them may be out of sight in a container. */
static void look_up(struct budget *b, const char *root, const struct cgroup_files *f, const char *group)
{
	char *path = mem_str(strcmp(group, "/") == 0 ? "" : group), *slash;

	for (;;) {
		look_at(b, root, f, path);
		slash = strrchr(path, '/');
		if (!slash)
			break;
		*slash = 0;
	}
	free(path);
}

/* Lines of /proc/self/cgroup: "0::/path" for version 2, "5:memory:/path" for version 1. */
static void look_at_cgroups(struct budget *b, const char *root)
{
	static const struct cgroup_files v2 = { "/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file " };
	static const struct cgroup_files v1 = { "/sys/fs/cgroup/memory", "memory.limit_in_bytes",
						"memory.usage_in_bytes", "total_inactive_file " };
	struct buf text = BUF_INIT(FILE_MAX);
	char *line, *rest;

	read_file(&text, root, "/proc/self/cgroup");
	rest = buf_take(&text);
	for (char *at = rest; at && (line = strsep(&at, "\n")) != NULL;) {
		char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;

		if (!path)
			continue;
		*path++ = 0;
		if (!names[1])
			look_up(b, root, &v2, path);
		else if (strstr(names + 1, "memory"))
			look_up(b, root, &v1, path);
	}
	free(rest);
}

/* "unlimited" is no number, and so no limit. */
static void look_at_limits(struct budget *b, const char *root)
{
	struct buf text = BUF_INIT(FILE_MAX);
	uint64_t limit = 0, used;

	if (read_file(&text, root, "/proc/self/limits") == 0)
		limit = number_of(&text, "Max address space");
	if (limit && read_file(&text, root, "/proc/self/statm") == 0) {
		used = strtoull(buf_str(&text), NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
		take_less(b, limit > used ? limit - used : 1, "ulimit -v");
	}
	buf_release(&text);
}

static int allow(struct budget *out, const char *option)
{
	uint64_t bytes;
	int rc = option ? budget_parse(&bytes, option) : 0;

	if (!rc && option)
		take_less(out, bytes, BUDGET_OPTION);
	return rc;
}

int budget_open(struct budget *out, const char *option, const char *root)
{
	struct buf text = BUF_INIT(FILE_MAX);

	*out = (struct budget){ 0, "what is free" };
	if (read_file(&text, root, "/proc/meminfo") == 0)
		out->bytes = number_of(&text, "MemAvailable:") * 1024;
	buf_release(&text);
	look_at_cgroups(out, root);
	look_at_limits(out, root);
	err_clear();
	return allow(out, option);
}

int budget_device(struct budget *out, const char *option, uint64_t free_bytes)
{
	*out = (struct budget){ free_bytes - free_bytes / 10 + 1, "what is free on the device" };
	return allow(out, option);
}
