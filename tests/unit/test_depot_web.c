/* Tests of the patience with a storage server: what is asked again, how often, and what is said when it is given up. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "artifacts/depot_web.h"
#include "loopback.h"
#include "must.h"

struct server {
	struct loopback loopback;
	struct web web;
	struct loopback_reply reply; /* to the first `ill` requests; then "whole" */
	size_t ill;
	char *url;
};

static void answer(struct loopback *l, json_t *body, struct loopback_reply *out)
{
	struct server *s = l->arg;

	(void)body;
	*out = l->requests <= s->ill ? s->reply : (struct loopback_reply){ .status = 200 };
	out->body = mem_str("whole");
}

static int start(void **state)
{
	struct server *s = mem_alloc(sizeof(*s));

	*s = (struct server){ .loopback = { .answer = answer, .arg = s }, .ill = SIZE_MAX };
	loopback_open(&s->loopback);
	s->url = mem_printf("http://127.0.0.1:%d/x", s->loopback.port);
	must(web_open(&s->web, "s3://bucket"));
	s->web.stall_s = 1;
	*state = s;
	return 0;
}

static int stop(void **state)
{
	struct server *s = *state;

	web_close(&s->web);
	loopback_close(&s->loopback);
	free(s->url);
	free(s);
	return 0;
}

static int ask(struct server *s)
{
	struct http_response out = { .status = 0 };
	int rc = web_ask(&s->web, &(struct http_request){ .url = s->url }, &out);

	if (!rc)
		buf_release(&out.body);
	return rc;
}

static size_t requests(struct server *s)
{
	size_t n;

	pthread_mutex_lock(&s->loopback.lock);
	n = s->loopback.requests;
	pthread_mutex_unlock(&s->loopback.lock);
	return n;
}

static int into(const void *data, size_t len, void *arg)
{
	buf_add(arg, data, len);
	return 0;
}

static int get(struct server *s, struct buf *out)
{
	static const char *const none[] = { NULL };

	return web_get(&s->web, &(struct http_request){ .url = s->url }, none, 0, into, out);
}

static void test_web_ask__an_ill_server_is_asked_again(void **state)
{
	struct server *s = *state;

	s->ill = 3;
	s->reply = (struct loopback_reply){ .status = 503 };
	must(ask(s));
	assert_int_equal(requests(s), 4);
}

static void test_web_ask__a_silent_server_is_asked_twice(void **state)
{
	struct server *s = *state;

	s->reply = (struct loopback_reply){ .status = 200, .delay_ms = 2500 };
	assert_int_equal(ask(s), ERR_UNAVAILABLE);
	assert_int_equal(requests(s), 2);
	assert_non_null(strstr(err_text(), "s3://bucket does not answer"));
	assert_non_null(err_fix());
}

static void test_web_get__a_silent_server_is_asked_twice(void **state)
{
	struct server *s = *state;
	struct buf out = BUF_INIT(100);

	s->reply = (struct loopback_reply){ .status = 200, .delay_ms = 2500 };
	assert_int_equal(get(s, &out), ERR_UNAVAILABLE);
	assert_int_equal(requests(s), 2);
	assert_non_null(strstr(err_text(), "s3://bucket does not answer"));
	buf_release(&out);
}

static void test_web_ask__who_asks_for_days_is_not_waited_for(void **state)
{
	struct server *s = *state;

	s->reply = (struct loopback_reply){ .status = 429, .headers = "Retry-After: 100000\r\n" };
	assert_int_equal(ask(s), ERR_UNAVAILABLE);
	assert_int_equal(requests(s), 1);
	assert_non_null(strstr(err_text(), "s3://bucket answers 429 and asks for 100000 s of patience"));
}

static void test_web_get__what_the_server_asks_for_is_waited(void **state)
{
	struct server *s = *state;
	struct buf out = BUF_INIT(100);

	s->ill = 1;
	s->reply = (struct loopback_reply){ .status = 429, .headers = "Retry-After: 1\r\n" };
	must(get(s, &out));
	assert_string_equal(buf_str(&out), "whole");
	assert_int_equal(requests(s), 2);
	buf_release(&out);
}

#define WEB_TEST(t) cmocka_unit_test_setup_teardown(t, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WEB_TEST(test_web_ask__an_ill_server_is_asked_again),
		WEB_TEST(test_web_ask__a_silent_server_is_asked_twice),
		WEB_TEST(test_web_get__a_silent_server_is_asked_twice),
		WEB_TEST(test_web_ask__who_asks_for_days_is_not_waited_for),
		WEB_TEST(test_web_get__what_the_server_asks_for_is_waited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
