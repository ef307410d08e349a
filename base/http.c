/* http.c: the only file that calls a server, through libcurl.
 *
 * libcurl brings twenty libraries with it, which would double the time that every command takes to start, so it is opened
 * at run time by the first who needs it (libcurl.so.4; its interface is as old as that number).
 *
 * A secret goes to the host it was given for: redirections are not followed, the only protocols are http and https,
 * certificates are checked, and no header is ever printed. An answer has a ceiling and a time; an answer that ends early,
 * is too long or does not come has status 0 and a reason. Whether to try again is the caller's business. */
#define CURL_DISABLE_TYPECHECK
#include "base/http.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <pthread.h>

enum { CONNECT_TIMEOUT_MS = 20000 };

/* ---- the library ------------------------------------------------------------------------------------------------- */

static struct {
	void *handle;
	__typeof__(curl_global_init) *global_init;
	__typeof__(curl_easy_init) *easy_init;
	__typeof__(curl_easy_setopt) *setopt;
	__typeof__(curl_easy_getinfo) *getinfo;
	__typeof__(curl_easy_cleanup) *easy_cleanup;
	__typeof__(curl_easy_strerror) *strerror;
	__typeof__(curl_slist_append) *slist_append;
	__typeof__(curl_slist_free_all) *slist_free_all;
	__typeof__(curl_multi_init) *multi_init;
	__typeof__(curl_multi_cleanup) *multi_cleanup;
	__typeof__(curl_multi_add_handle) *multi_add;
	__typeof__(curl_multi_remove_handle) *multi_remove;
	__typeof__(curl_multi_perform) *perform;
	__typeof__(curl_multi_poll) *poll;
	__typeof__(curl_multi_info_read) *info_read;
} lib;
static pthread_once_t lib_once = PTHREAD_ONCE_INIT;

static void lib_open(void)
{
	const struct {
		const char *name;
		void *to;
	} names[] = {
		{ "curl_global_init", &lib.global_init },    { "curl_easy_init", &lib.easy_init },
		{ "curl_easy_setopt", &lib.setopt },         { "curl_easy_getinfo", &lib.getinfo },
		{ "curl_easy_cleanup", &lib.easy_cleanup },  { "curl_easy_strerror", &lib.strerror },
		{ "curl_slist_append", &lib.slist_append },  { "curl_slist_free_all", &lib.slist_free_all },
		{ "curl_multi_init", &lib.multi_init },      { "curl_multi_cleanup", &lib.multi_cleanup },
		{ "curl_multi_add_handle", &lib.multi_add }, { "curl_multi_remove_handle", &lib.multi_remove },
		{ "curl_multi_perform", &lib.perform },      { "curl_multi_poll", &lib.poll },
		{ "curl_multi_info_read", &lib.info_read },
	};
	void *handle = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);

	for (size_t i = 0; handle && i < ARRAY_LEN(names); i++) {
		void *f = dlsym(handle, names[i].name);

		memcpy(names[i].to, &f, sizeof(f));
		if (!f)
			handle = NULL;
	}
	if (handle && lib.global_init(CURL_GLOBAL_DEFAULT) == 0)
		lib.handle = handle;
}

/* ---- a request in flight ----------------------------------------------------------------------------------------- */

struct flight {
	struct flight *next;
	CURL *easy;
	struct curl_slist *headers;
	struct buf body;
	int (*give)(const void *data, size_t len, void *arg); /* the request's take */
	void *give_arg;
	void (*head_line)(const char *line, void *arg);
	void *head_arg;
	int refused;
	char etag[80];
	void *tag;
};
struct http_pool {
	CURLM *multi;
	struct flight *flights;
	size_t n;
};

static size_t take(char *data, size_t size, size_t n, void *arg)
{
	struct flight *f = arg;
	long status = 0;

	if (f->give) {
		lib.getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
		if (status == 200 || status == 206) {
			f->refused = f->give(data, size * n, f->give_arg);
			return f->refused ? 0 : size * n;
		}
	}
	buf_add(&f->body, data, size * n);
	return buf_full(&f->body) ? 0 : size * n;
}

static size_t take_header(char *data, size_t size, size_t n, void *arg)
{
	static const char name[] = "etag:";
	struct flight *f = arg;
	size_t len = size * n, at = sizeof(name) - 1, to = 0;

	if (f->head_line) {
		char *line = mem_strn(data, len);

		line[strcspn(line, "\r\n")] = 0;
		f->head_line(line, f->head_arg);
		free(line);
	}
	if (len > at && !strncasecmp(data, name, at))
		for (; at < len && to + 1 < sizeof(f->etag); at++)
			if ((unsigned char)data[at] > ' ' && data[at] != '"')
				f->etag[to++] = data[at];
	if (to)
		f->etag[to] = 0;
	return len;
}

static void flight_free(struct http_pool *p, struct flight *f)
{
	for (struct flight **at = &p->flights; *at; at = &(*at)->next)
		if (*at == f) {
			*at = f->next;
			break;
		}
	lib.multi_remove(p->multi, f->easy);
	lib.easy_cleanup(f->easy);
	lib.slist_free_all(f->headers);
	buf_release(&f->body);
	free(f);
	p->n--;
}

static void flight_headers(struct flight *f, const struct http_request *r)
{
	char *line;

	if (!r->sign) /* a header that is taken away would be signed all the same */
		f->headers = lib.slist_append(f->headers, "Expect:");
	for (const char *const *h = r->headers; h && *h; h++)
		f->headers = lib.slist_append(f->headers, *h);
	if (r->headers)
		return;
	f->headers = lib.slist_append(f->headers, "Accept: application/json");
	if (r->body)
		f->headers = lib.slist_append(f->headers, "Content-Type: application/json");
	if (!r->bearer)
		return;
	line = mem_printf("Authorization: Bearer %s", r->bearer);
	f->headers = lib.slist_append(f->headers, line);
	explicit_bzero(line, strlen(line));
	free(line);
}

static void flight_options(struct flight *f, const struct http_request *r)
{
	lib.setopt(f->easy, CURLOPT_URL, r->url);
	lib.setopt(f->easy, CURLOPT_HTTPHEADER, f->headers);
	if (r->body) {
		lib.setopt(f->easy, CURLOPT_POSTFIELDS, r->body);
		lib.setopt(f->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->len);
	}
	if (r->method)
		lib.setopt(f->easy, CURLOPT_CUSTOMREQUEST, r->method);
	if (r->head)
		lib.setopt(f->easy, CURLOPT_NOBODY, 1L);
	if (r->sign) {
		lib.setopt(f->easy, CURLOPT_AWS_SIGV4, r->sign);
		lib.setopt(f->easy, CURLOPT_USERNAME, r->user);
		lib.setopt(f->easy, CURLOPT_PASSWORD, r->secret);
	}
	if (r->stall_s > 0) {
		lib.setopt(f->easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
		lib.setopt(f->easy, CURLOPT_LOW_SPEED_TIME, (long)(r->stall_s + 0.5));
	}
	f->give = r->take;
	f->give_arg = r->take_arg;
	f->head_line = r->head_line;
	f->head_arg = r->head_arg;
	lib.setopt(f->easy, CURLOPT_HEADERFUNCTION, take_header);
	lib.setopt(f->easy, CURLOPT_HEADERDATA, f);
	lib.setopt(f->easy, CURLOPT_WRITEFUNCTION, take);
	lib.setopt(f->easy, CURLOPT_WRITEDATA, f);
	lib.setopt(f->easy, CURLOPT_PRIVATE, f);
	lib.setopt(f->easy, CURLOPT_TIMEOUT_MS, (long)(r->timeout_s * 1000));
	lib.setopt(f->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
	lib.setopt(f->easy, CURLOPT_FOLLOWLOCATION, 0L);
	lib.setopt(f->easy, CURLOPT_NOSIGNAL, 1L);
	lib.setopt(f->easy, CURLOPT_USERAGENT, "assay");
#if LIBCURL_VERSION_NUM >= 0x075500
	lib.setopt(f->easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	lib.setopt(f->easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

/* ---- the pool ---------------------------------------------------------------------------------------------------- */

int http_pool_open(struct http_pool **out)
{
	struct http_pool *p;

	*out = NULL;
	pthread_once(&lib_once, lib_open);
	if (!lib.handle) {
		err_set(ERR_UNAVAILABLE, "libcurl.so.4 cannot be opened, and a server is asked through it");
		return err_hint(ERR_UNAVAILABLE, "install it: apt-get install libcurl4");
	}
	p = mem_alloc(sizeof(*p));
	p->multi = lib.multi_init();
	if (!p->multi) {
		free(p);
		return err_set(ERR_UNAVAILABLE, "libcurl cannot start");
	}
	*out = p;
	return 0;
}

void http_pool_close(struct http_pool *p)
{
	if (!p)
		return;
	while (p->flights)
		flight_free(p, p->flights);
	lib.multi_cleanup(p->multi);
	free(p);
}

size_t http_pool_in_flight(const struct http_pool *p)
{
	return p->n;
}

int http_pool_send(struct http_pool *p, const struct http_request *r, void *tag)
{
	struct flight *f = mem_alloc(sizeof(*f));

	*f = (struct flight){ .next = p->flights, .easy = lib.easy_init(), .body = BUF_INIT(r->max), .tag = tag };
	if (!f->easy) {
		free(f);
		return err_set(ERR_UNAVAILABLE, "libcurl cannot start a request");
	}
	flight_headers(f, r);
	flight_options(f, r);
	p->flights = f;
	p->n++;
	if (lib.multi_add(p->multi, f->easy)) {
		flight_free(p, f);
		return err_set(ERR_UNAVAILABLE, "libcurl cannot start a request");
	}
	return 0;
}

/* An answer that has ended, if there is one. */
static bool landed(struct http_pool *p, struct http_response *out, void **tag)
{
	curl_off_t retry_after = 0;
	char *location = NULL;
	struct flight *f = NULL;
	CURLMsg *m;
	int left;

	do
		m = lib.info_read(p->multi, &left);
	while (m && m->msg != CURLMSG_DONE);
	if (!m)
		return false;
	lib.getinfo(m->easy_handle, CURLINFO_PRIVATE, &f);
	*out = (struct http_response){ .body = f->body, .refused = f->refused };
	snprintf(out->etag, sizeof(out->etag), "%s", f->etag);
	lib.getinfo(f->easy, CURLINFO_REDIRECT_URL, &location);
	if (location && strlen(location) < sizeof(out->location))
		snprintf(out->location, sizeof(out->location), "%s", location);
	if (m->data.result == CURLE_OK) {
		lib.getinfo(f->easy, CURLINFO_RESPONSE_CODE, &out->status);
		lib.getinfo(f->easy, CURLINFO_RETRY_AFTER, &retry_after);
		out->retry_after_s = (double)retry_after;
	} else {
		out->why = buf_full(&f->body) ? "the answer is too long" : lib.strerror(m->data.result);
		out->timed_out = m->data.result == CURLE_OPERATION_TIMEDOUT;
	}
	*tag = f->tag;
	buf_init(&f->body, 0);
	flight_free(p, f);
	return true;
}

int http_pool_wait(struct http_pool *p, double wait_s, struct http_response *out, void **tag)
{
	double until = clock_seconds() + wait_s;
	int running;

	*tag = NULL;
	for (;;) {
		double left = until - clock_seconds();

		if (lib.perform(p->multi, &running))
			return err_set(ERR_UNAVAILABLE, "libcurl failed");
		if (landed(p, out, tag) || left <= 0)
			return 0;
		if (lib.poll(p->multi, NULL, 0, (int)(left * 1000) + 1, NULL))
			return err_set(ERR_UNAVAILABLE, "libcurl failed");
	}
}
