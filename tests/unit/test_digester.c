/* test_digester.c: a digest that follows a file while it grows is that of its bytes. */
#include "base/base.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include "artifacts/artifacts_int.h"
#include "artifacts_fixture.h"

enum { MIB = 1 << 20 };

static uint8_t *bytes_of(size_t n)
{
	uint8_t *data = mem_alloc(n + 1);
	struct rng r;

	rng_seed(&r, 1, n);
	for (size_t i = 0; i < n; i++)
		data[i] = (uint8_t)rng_u64(&r);
	return data;
}

/* Written in steps, each of them said to be ready; give_up: after the first. */
static void follow(struct fixture *f, size_t n, size_t step, bool give_up)
{
	uint8_t *data = bytes_of(n);
	struct digest want = digest_bytes(data, n), got;
	struct digester d;
	struct fs_temp t;
	int in;

	must(fs_temp_open(&t, f->home));
	in = open(t.path, O_RDONLY | O_CLOEXEC);
	digester_open(&d, in);
	for (size_t at = 0; at < n; at += step) {
		must(fs_temp_write(&t, data + at, n - at < step ? n - at : step));
		digester_ready(&d, n - at < step ? n : at + step);
		if (give_up)
			break;
	}
	if (give_up) {
		digester_drop(&d);
	} else {
		must(digester_close(&d, &got));
		assert_true(digest_equal(&want, &got));
	}
	close(in);
	fs_temp_drop(&t);
	free(data);
}

static void test_digester__gives_the_digest_of_what_was_written(void **state)
{
	struct fixture *f = *state;

	follow(f, 0, 1, false);
	follow(f, 1, 1, false);
	follow(f, 100001, 777, false);
	follow(f, 4 * MIB, MIB, false);
	follow(f, 8 * MIB, 8 * MIB, false);
	follow(f, 8 * MIB + 1, 4 * MIB - 3, false);
	follow(f, 21 * MIB + 5, 3 * MIB + 1, false);
	follow(f, 17 * MIB, 32 * MIB, false);
}

static void test_digester__may_be_given_up(void **state)
{
	struct fixture *f = *state;

	follow(f, 10, 5, true);
	follow(f, 21 * MIB, 20 * MIB, true);
}

/* What cannot be mapped is a failure with a text, with a thread and without. */
static void test_digester__tells_what_cannot_be_read(void **state)
{
	static const uint64_t sizes[] = { 100, 20 * MIB };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct digester d;
		struct digest got;

		digester_open(&d, -1);
		digester_ready(&d, sizes[i]);
		assert_err(digester_close(&d, &got), ERR_IO);
		assert_text_has(err_text(), "digest");
		digester_open(&d, -1);
		digester_ready(&d, sizes[i]);
		digester_drop(&d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_digester__gives_the_digest_of_what_was_written, fixture_store,
						fixture_end),
		cmocka_unit_test_setup_teardown(test_digester__may_be_given_up, fixture_store, fixture_end),
		cmocka_unit_test_setup_teardown(test_digester__tells_what_cannot_be_read, fixture_store, fixture_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
