/* sandbox.c: bubblewrap around a command that came with a commit: no network, none of this machine's secrets, and nothing
 * writable but its own folder and a private /tmp. Where bubblewrap does not work, as in most containers, `sandbox: auto` takes the
 * kernel's own parts (confine.c). `sandbox: external` says that this whole job already runs in one.
 *
 * Two kinds of commands stand in it: a team's trainer (trainer_command.c) and its scorers (score_host.c). */
#include "base/base.h"
#include "runner/confine.h"
#include "runner/keeper.h"
#include "runner/sandbox.h"

#include <stdlib.h>
#include <unistd.h>

/* A line of the command's on our standard error; of a long one the beginning. */
static void tail_show(struct tail *t, const char *line, size_t len)
{
	size_t n = len < TAIL_SHOWN ? len : TAIL_SHOWN;

	fputs("  | ", stderr);
	log_safe(stderr, line, n);
	if (n < len)
		fprintf(stderr, " [%zu bytes more]", len - n);
	fputc('\n', stderr);
	t->shown += n + 1;
}

void tail_line(const char *line, size_t len, void *arg)
{
	struct tail *t = arg;
	size_t slot = t->n++ % TAIL_LINES;

	free(t->lines[slot]);
	t->lines[slot] = mem_strn(line, len < TAIL_SHOWN ? len : TAIL_SHOWN);
	if (log_level() < LOG_INFO)
		return;
	if (t->left_out || (t->limit && t->shown + len >= t->limit)) {
		t->left_out++;
		t->left_out_bytes += len + 1;
	} else {
		tail_show(t, line, len);
	}
}

void tail_end(struct tail *t)
{
	size_t last = t->left_out < TAIL_ENDS ? t->left_out : TAIL_ENDS;

	if (!t->left_out)
		return;
	fprintf(stderr, "  | … %zu lines of %zu bytes in all, of which the last %zu:\n", t->left_out, t->left_out_bytes,
		last);
	for (size_t i = t->n - last; i < t->n; i++)
		tail_show(t, t->lines[i % TAIL_LINES], strlen(t->lines[i % TAIL_LINES]));
}

void tail_release(struct tail *t)
{
	for (size_t i = 0; i < TAIL_LINES; i++)
		free(t->lines[i]);
	*t = (struct tail){ 0 };
}

int command_failed(const struct tail *t, const struct proc *p, const char *what)
{
	struct buf text = BUF_INIT(1 << 16);
	size_t first = t->n > TAIL_ENDS ? t->n - TAIL_ENDS : 0;
	bool lacks = false;
	int rc;

	for (size_t i = first; i < t->n; i++) {
		lacks = keeper_lacks(p->status, t->lines[i % TAIL_LINES]);
		buf_addf(&text, "\n  | %.300s", t->lines[i % TAIL_LINES]);
	}
	if (lacks)
		rc = err_hint(
			err_set(ERR_UNAVAILABLE, "%s%sthe sandbox has no program %s%s", what, *what ? ": " : "",
				p->argv[0], buf_str(&text)),
			"install it where the command may read: not in a home, nor beneath /run, /tmp or /var/tmp");
	else
		rc = err_set(ERR_INPUT, "%s%s%s ended with exit code %d%s", what, *what ? " " : "", p->argv[0],
			     p->status, buf_str(&text));
	buf_release(&text);
	return rc;
}

void argv_release(struct words *w)
{
	for (size_t i = 0; i < w->n_owned; i++)
		free(w->owned[i]);
	free(w->owned);
	free(w->items);
}

void argv_add(struct words *w, const char *word)
{
	MEM_GROW(w->items, w->n, w->cap);
	w->items[w->n++] = word;
}

/* Lends the words a text that is theirs from now on. */
static const char *argv_own(struct words *w, char *text)
{
	MEM_GROW(w->owned, w->n_owned, w->cap_owned);
	return w->owned[w->n_owned++] = text;
}

static bool bubblewrap_works(void)
{
	struct buf quiet = BUF_INIT(1 << 16);
	struct proc p = { .argv = (const char *[]){ "bwrap", "--unshare-all", "--ro-bind", "/", "/", "true", NULL },
			  .out = &quiet,
			  .err = &quiet,
			  .timeout_s = 10 };
	bool works = proc_run(&p) == 0 && p.status == 0;

	buf_release(&quiet);
	err_clear();
	return works;
}

static const char *const hidden[] = { "/root", "/home", "/run" };

/* /home/ann and /root are homes; /home/ann/venv and /run/venv are not. */
static bool is_home(const char *path)
{
	const char *home = getenv("HOME");

	return strcmp(path, "/root") == 0 || (home && strcmp(path, home) == 0) ||
	       (strncmp(path, "/home/", 6) == 0 && !strchr(path + 6, '/'));
}

/* Interpreters that live at home (a virtual environment, pyenv, conda): the prefix of each program folder in PATH, but never a
 * home itself, nor ~/.local, where keys are kept too. */
void sandbox_interpreters(struct words *w)
{
	char *path = mem_str(getenv("PATH") ? getenv("PATH") : ""), *save = NULL;

	for (char *bin = strtok_r(path, ":", &save); bin; bin = strtok_r(NULL, ":", &save)) {
		char *prefix = path_dir(bin);
		bool at_home = false;

		for (size_t i = 0; i < ARRAY_LEN(hidden); i++) {
			size_t n = strlen(hidden[i]);

			at_home = at_home || (strncmp(prefix, hidden[i], n) == 0 && prefix[n] == '/');
		}
		if (at_home && fs_is_dir(bin) && strcmp(path_base(prefix), ".local") != 0 && !is_home(prefix))
			argv_add(w, argv_own(w, prefix));
		else
			free(prefix);
	}
	free(path);
}

/* Hides a folder of this machine that may hold secrets; one that is not there need not be hidden. */
static void hide(struct words *w, const char *dir)
{
	if (!dir || dir[0] != '/' || !dir[1] || !fs_is_dir(dir))
		return;
	argv_add(w, "--tmpfs");
	argv_add(w, dir);
}

/* What AUTO is on this machine. */
static enum sandbox_kind kind_here(const struct sandbox *s)
{
	if (s->kind != SANDBOX_AUTO)
		return s->kind;
	return bubblewrap_works() ? SANDBOX_BUBBLEWRAP : SANDBOX_LANDLOCK;
}

bool sandbox_renames(const struct sandbox *s)
{
	return kind_here(s) == SANDBOX_BUBBLEWRAP;
}

int sandbox_check(const struct sandbox *s, const char *what)
{
	switch (kind_here(s)) {
	case SANDBOX_EXTERNAL:
		return 0;
	case SANDBOX_BUBBLEWRAP:
		if (s->kind == SANDBOX_AUTO || bubblewrap_works())
			return 0;
		err_set(ERR_ENV, "the policy wants commands in bubblewrap, which does not work here");
		return err_hint(ERR_ENV,
				"apt-get install bubblewrap and allow user namespaces; or sandbox: auto, which takes "
				"Landlock then; or, where the job runs in a sandbox of its own, sandbox: external");
	case SANDBOX_LANDLOCK:
		if (confine_version())
			return 0;
		err_set(ERR_ENV, "the policy wants commands in a sandbox, and neither %sLandlock works here",
			s->kind == SANDBOX_AUTO ? "bubblewrap nor " : "");
		return err_hint(
			ERR_ENV,
			"apt-get install bubblewrap and allow user namespaces, or a kernel of 5.13 or later with "
			"lsm=landlock; or, where the job runs in a sandbox of its own, sandbox: external");
	default:
		err_set(ERR_ENV, "%s, and %s does not allow commands", what, s->policy);
		return err_hint(ERR_ENV, "%s", s->fix);
	}
}

static void wrap_in_bubblewrap(const struct sandbox *s, struct words *w, const char *tree)
{
	static const char *const opening[] = {
		"bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--ro-bind", "/", "/"
	};
	static const char *const private[] = { "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp" };
	struct words kept = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(opening); i++)
		argv_add(w, opening[i]);
	hide(w, getenv("HOME"));
	for (size_t i = 0; i < ARRAY_LEN(hidden); i++)
		hide(w, hidden[i]);
	sandbox_interpreters(&kept);
	for (size_t i = 0; i < kept.n; i++) {
		const char *prefix = argv_own(w, mem_str(kept.items[i]));

		argv_add(w, "--ro-bind");
		argv_add(w, prefix);
		argv_add(w, prefix);
	}
	argv_release(&kept);
	for (size_t i = 0; i < ARRAY_LEN(private); i++)
		argv_add(w, private[i]);
	hide(w, s->repo ? repo_common_dir(s->repo) : NULL);
	hide(w, s->home);
	if (s->base) {
		argv_add(w, "--ro-bind");
		argv_add(w, s->base);
		argv_add(w, SANDBOX_BASE);
	}
	argv_add(w, "--bind");
	argv_add(w, tree);
	argv_add(w, SANDBOX_TREE);
	argv_add(w, "--chdir");
	argv_add(w, SANDBOX_TREE);
	argv_add(w, "--");
}

/* A folder as the kernel calls it; one that is not there is not hidden. */
static void hide_real(struct words *w, const char *dir)
{
	char *real = dir && dir[0] == '/' && dir[1] ? realpath(dir, NULL) : NULL;

	if (real && real[1])
		argv_add(w, argv_own(w, real));
	else
		free(real);
}

/* Ourselves in front of the command: confine.c, keeper.c. */
static void add_self(struct words *w, const char *as)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	argv_add(w, argv_own(w, mem_strn(self, n > 0 ? (size_t)n : 0)));
	argv_add(w, as);
}

static void wrap_in_landlock(const struct sandbox *s, struct words *w, const char *tree)
{
	add_self(w, "confine");
	argv_add(w, tree);
	argv_add(w, s->base ? s->base : "");
	for (size_t i = 0; i < ARRAY_LEN(hidden); i++)
		hide_real(w, hidden[i]);
	hide_real(w, "/tmp");
	hide_real(w, "/var/tmp");
	hide_real(w, "/dev");
	hide_real(w, getenv("HOME"));
	hide_real(w, s->repo ? repo_common_dir(s->repo) : NULL);
	hide_real(w, s->home);
	argv_add(w, "--");
}

bool sandbox_wrap(const struct sandbox *s, struct words *w, const char *tree)
{
	enum sandbox_kind kind = kind_here(s);

	if (kind == SANDBOX_BUBBLEWRAP)
		wrap_in_bubblewrap(s, w, tree);
	else if (kind == SANDBOX_LANDLOCK)
		wrap_in_landlock(s, w, tree);
	else
		add_self(w, "keep");
	return kind != SANDBOX_BUBBLEWRAP;
}
