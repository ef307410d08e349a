/* depot_web.c: asking a storage server that may be busy, ill, or killed in the middle of an answer.
 *
 * Everything that is asked here may be asked twice: files are named by their content, and a claim that was made although its answer
 * got lost is recognised by what it holds. So a request is sent again after 429, 5xx or a lost connection, with pauses that double, as
 * long as the server asks for, six times in all. A server that takes a request and says nothing is asked twice: two minutes. One
 * that asks for more patience than a minute is not waited for. A download goes on behind the last byte that came.
 *
 * A redirection of a download (storage behind a forge) is followed once, without any header of ours: the secret stays with its own
 * host. */
#include "artifacts/depot_web.h"

#include <unistd.h>

enum { TRIES = 6, SILENT_TRIES = 2, HEADERS_MAX = 10, ANSWER_TIMEOUT_S = 24 * 3600, STALL_S = 60 };
#define PAUSE_S 0.25
#define PAUSE_TOLD_S 5.0
#define PAUSE_MAX_S 60.0
#define ERROR_MAX ((size_t)32 << 20)

int web_open(struct web *w, const char *name)
{
	*w = (struct web){ .name = name, .stall_s = STALL_S };
	if (getenv("ASSAY_OFFLINE")) {
		err_set(ERR_UNAVAILABLE, "ASSAY_OFFLINE is set, and %s is to be asked", name);
		return err_hint(ERR_UNAVAILABLE, "unset it, or take a remote that is a folder");
	}
	return http_pool_open(&w->pool);
}

void web_close(struct web *w)
{
	http_pool_close(w->pool);
}

static int once(struct web *w, const struct http_request *r, struct http_response *out)
{
	void *tag = NULL;
	int rc = http_pool_send(w->pool, r, w);

	while (!rc && !tag)
		rc = http_pool_wait(w->pool, STALL_S, out, &tag);
	return rc;
}

static bool is_ill(const struct http_response *r)
{
	return !r->refused && (r->status == 0 || r->status == 429 || r->status >= 500) && r->status != 501;
}

/* ---- patience -------------------------------------------------------------------------------- */

struct patience {
	int tries, silent;
};

/* Is it worth asking again? Then it is time to when this returns. */
static bool ask_again(struct patience *p, const struct web *w, const struct http_response *r)
{
	double s = PAUSE_S * (double)(1 << p->tries);

	s = r->retry_after_s > s ? r->retry_after_s : s;
	p->tries++;
	p->silent += r->timed_out;
	if (p->tries >= TRIES || p->silent >= SILENT_TRIES || s > PAUSE_MAX_S)
		return false;
	if (r->timed_out)
		log_warn("%s has not answered for %.0f s: asking once more", w->name, w->stall_s);
	else if (s >= PAUSE_TOLD_S)
		log_warn("%s answers %ld: asking again in %.0f s", w->name, r->status, s);
	usleep((useconds_t)(s * 1e6));
	return true;
}

static int gave_up(const struct web *w, const struct http_response *r)
{
	int rc;

	if (r->retry_after_s > PAUSE_MAX_S) {
		rc = err_set(ERR_UNAVAILABLE, "%s answers %ld and asks for %.0f s of patience", w->name, r->status,
			     r->retry_after_s);
		return err_hint(rc, "try again then: what was done is done, and the next call goes on");
	}
	rc = r->status ? err_set(ERR_UNAVAILABLE, "%s answers %ld, again and again", w->name, r->status)
		       : err_set(ERR_UNAVAILABLE, "%s does not answer: %s", w->name, r->why ? r->why : "no reason");
	return err_hint(rc, "try again: what was done is done, and the next call goes on");
}

int web_ask(struct web *w, const struct http_request *r, struct http_response *out)
{
	struct http_request whole = *r;
	struct patience p = { 0, 0 };
	int rc = 0;

	whole.timeout_s = ANSWER_TIMEOUT_S;
	whole.stall_s = w->stall_s;
	whole.max = r->max ? r->max : ERROR_MAX;
	for (;;) {
		rc = once(w, &whole, out);
		if (rc || !is_ill(out))
			return rc;
		if (!ask_again(&p, w, out))
			break;
		buf_release(&out->body);
	}
	rc = gave_up(w, out);
	buf_release(&out->body);
	return rc;
}

/* ---- downloads ------------------------------------------------------------------------------- */

struct download {
	depot_put *put;
	void *arg;
	uint64_t skip, got; /* skip: what a server sends again that knows no ranges */
};

static int take(const void *data, size_t len, void *arg)
{
	struct download *d = arg;
	size_t skip = d->skip < len ? (size_t)d->skip : len;
	int rc;

	d->skip -= skip;
	if (skip == len)
		return 0;
	rc = d->put((const char *)data + skip, len - skip, d->arg);
	d->got += rc ? 0 : len - skip;
	return rc;
}

/* As much as one answer brings. *more: it broke off, or is elsewhere (to). ERR_UNAVAILABLE: it is not worth asking again. */
static int get_once(struct web *w, const struct http_request *r, struct download *d, struct patience *p, uint64_t from,
		    bool *more, char to[2048])
{
	struct http_response out;
	uint64_t had = d->got;
	int rc;

	d->skip = 0;
	rc = once(w, r, &out);
	*more = false;
	if (rc)
		return rc;
	if (out.refused)
		rc = out.refused;
	else if (is_ill(&out))
		*more = true;
	else if (out.status >= 301 && out.status <= 308 && *out.location && !*to)
		snprintf(to, 2048, "%s", out.location);
	else if (out.status == 416 && from) /* there is nothing behind it */
		rc = 0;
	else if (out.status != 200 && out.status != 206)
		rc = web_refusal(w, &out, "a file is to be had");
	if (d->got > had) /* it moves */
		*p = (struct patience){ 0, 0 };
	if (*more && !ask_again(p, w, &out))
		rc = gave_up(w, &out);
	buf_release(&out.body);
	return rc;
}

int web_get(struct web *w, struct http_request *r, const char *const *headers, uint64_t from, depot_put *put, void *arg)
{
	const char *all[HEADERS_MAX] = { 0 };
	struct download d = { .put = put, .arg = arg };
	struct patience p = { 0, 0 };
	char range[64], to[2048] = "";
	bool more = true;
	int rc = 0;
	size_t n = 0;

	for (; headers[n] && n + 2 < HEADERS_MAX; n++)
		all[n] = headers[n];
	r->headers = all;
	r->timeout_s = ANSWER_TIMEOUT_S;
	r->stall_s = w->stall_s;
	r->max = ERROR_MAX;
	r->take = take;
	r->take_arg = &d;
	while (!rc && more) {
		uint64_t at = from + d.got;
		bool here = !*to;

		snprintf(range, sizeof(range), "Range: bytes=%llu-", (unsigned long long)at);
		all[n] = at ? range : NULL;
		rc = get_once(w, r, &d, &p, at, &more, to);
		if (!rc && here && *to) { /* once more, there, with nothing of ours but the range */
			r->url = to;
			r->sign = NULL;
			n = 0;
			more = true;
		}
	}
	return rc;
}

/* ---- refusals -------------------------------------------------------------------------------- */

/* The text of the first element of that name, cut and cleaned; "" where there is none. */
static void element(char out[200], const struct buf *b, const char *open, const char *until)
{
	const char *at = strstr(buf_str(b), open);
	size_t n = 0;

	if (at)
		for (at += strlen(open); *at && !strchr(until, *at) && n < 199; at++)
			out[n++] = (unsigned char)*at < ' ' ? ' ' : *at;
	out[n] = 0;
}

int web_refusal(const struct web *w, const struct http_response *r, const char *what)
{
	char code[200], message[200];
	int rc = ERR_INPUT;

	element(code, &r->body, "<Code>", "<");
	element(message, &r->body, "<Message>", "<");
	if (!*message)
		element(message, &r->body, "\"message\":\"", "\"");
	if (r->status == 404 && strcmp(code, "NoSuchBucket"))
		rc = ERR_NOTFOUND;
	else if (r->status == 401 || r->status == 403 || r->status >= 500)
		rc = ERR_UNAVAILABLE;
	rc = err_set(rc, "%s: %s, and it answers %ld%s%s%s%s", w->name, what, r->status, *code ? " " : "", code,
		     *message ? ": " : "", message);
	if (r->status == 401 || r->status == 403)
		err_hint(rc,
			 "look at the credentials and at what they allow: reading for pull, reading and writing for "
			 "push");
	return rc;
}

void web_escape(struct buf *out, const char *text)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

	for (; *text; text++) {
		if (strchr(plain, *text))
			buf_addc(out, *text);
		else
			buf_addf(out, "%%%02X", (unsigned)(unsigned char)*text);
	}
}
