/* digester.c: the digest of a file while it is written, or read, by somebody else.
 *
 * SHA-256 is as slow as a disk, and one file's cannot be split. So it has a thread of its own, which follows behind: it maps
 * what digester_ready() says is there, and waits for more on a condition, asleep. (OpenMP's tasks would do, but its threads spin
 * at each meeting: a third of the processor's time of an add, measured.) Mapped rather than read, since a copy into a buffer
 * costs a seventh of what the digest does.
 *
 * The file must be nobody else's to shorten: the store's own, or a temporary of ours. A file below SMALL needs no thread. */
#include "base/base.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "artifacts/artifacts_int.h"

#define WINDOW ((uint64_t)8 << 20) /* whole pages of any size */
#define SMALL ((uint64_t)4 << 20)

static int window(struct digester *d, uint64_t at, size_t n)
{
	void *p = mmap(NULL, n, PROT_READ, MAP_PRIVATE | MAP_POPULATE, d->fd, (off_t)at);

	if (p == MAP_FAILED)
		return err_errno(errno == ENOMEM ? ERR_UNAVAILABLE : ERR_IO, "mapping a file to take its digest");
	digest_add(d->ctx, p, n);
	munmap(p, n);
	return 0;
}

/* From d->done up to `upto`. Windows begin where pages do, so the last one of a part is only taken once it is full, or the end. */
static int follow(struct digester *d, uint64_t upto, bool end)
{
	int rc = 0;

	while (!rc && !atomic_load(&d->given_up) && d->done < upto && (end || upto - d->done >= WINDOW)) {
		size_t n = upto - d->done < WINDOW ? (size_t)(upto - d->done) : (size_t)WINDOW;

		rc = window(d, d->done, n);
		d->done += n;
	}
	return rc;
}

static void *run(void *arg)
{
	struct digester *d = arg;
	bool end = false;

	while (!end && !d->rc) {
		uint64_t ready;

		pthread_mutex_lock(&d->lock);
		while (d->ready < d->done + WINDOW && !d->end)
			pthread_cond_wait(&d->more, &d->lock);
		ready = d->ready;
		end = d->end;
		pthread_mutex_unlock(&d->lock);
		d->rc = follow(d, ready, end);
	}
	if (d->rc)
		d->why = err_save();
	return NULL;
}

void digester_open(struct digester *d, int fd)
{
	*d = (struct digester){ .fd = fd, .ctx = digest_new() };
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->more, NULL);
}

void digester_ready(struct digester *d, uint64_t upto)
{
	pthread_mutex_lock(&d->lock);
	d->ready = upto;
	pthread_cond_signal(&d->more);
	pthread_mutex_unlock(&d->lock);
	if (!d->running && upto >= SMALL) /* without a thread it is done at the end */
		d->running = !pthread_create(&d->thread, NULL, run, d);
}

static void finish(struct digester *d)
{
	pthread_mutex_lock(&d->lock);
	d->end = true;
	pthread_cond_signal(&d->more);
	pthread_mutex_unlock(&d->lock);
	if (d->running)
		pthread_join(d->thread, NULL);
	pthread_mutex_destroy(&d->lock);
	pthread_cond_destroy(&d->more);
}

int digester_close(struct digester *d, struct digest *out)
{
	int rc;

	finish(d);
	rc = d->running ? d->rc : follow(d, d->ready, true);
	if (d->running && rc)
		err_restore(&d->why);
	*out = digest_end(d->ctx);
	return rc;
}

void digester_drop(struct digester *d)
{
	atomic_store(&d->given_up, true);
	finish(d);
	if (d->rc)
		err_forget(&d->why);
	(void)digest_end(d->ctx);
}
