/* Recipes, differences and manifests that nobody of us wrote: whatever they say, nothing is served that is not what its name says,
 * nothing is taken for whole, nothing runs for ever, and every one is an error with a text. */
#include "base/base.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "toy.h"

enum { A = 1000, B = 2000 };
#define NOBODY "00000000000000000000000000000000000000000000000000000000000000aa"

/* Two pieces that are in the store, and what they are together, which is not. */
struct world {
	uint8_t text[A + B];
	struct piece items[2];
	char a[DIGEST_HEX], b[DIGEST_HEX], both[DIGEST_HEX];
};

static void world(struct world *w, struct fixture *f)
{
	struct digest d;

	for (size_t i = 0; i < sizeof(w->text); i++)
		w->text[i] = (uint8_t)(i * i >> 3);
	must(store_put(f->store, w->text, A, w->a));
	must(store_put(f->store, w->text + A, B, w->b));
	w->items[0] = (struct piece){ .at = 0, .len = A, .width = 1, .digest = digest_bytes(w->text, A) };
	w->items[1] = (struct piece){ .at = A, .len = B, .width = 1, .digest = digest_bytes(w->text + A, B) };
	d = digest_bytes(w->text, A + B);
	digest_hex(w->both, &d);
}

static void write_recipe(struct fixture *f, const char *hex, struct piece *items, size_t n, uint64_t size)
{
	struct pieces p = { items, n, n, size };
	struct buf body = BUF_INIT(1 << 20);
	char *path = store_file(f->store, VAULT_RECIPES, hex);

	pieces_write(&body, &p);
	must(fs_remove(path));
	must(sealed_write(f->store, VAULT_RECIPES, hex, &body));
	store_index_drop(f->store);
	buf_release(&body);
	free(path);
}

static int drop(const void *data, size_t len, void *arg)
{
	(void)data;
	*(uint64_t *)arg += len;
	return 0;
}

static int tell(const char *hex, const char *why, void *arg)
{
	struct buf *b = arg;

	buf_addf(b, "%s %s\n", hex, why);
	return 0;
}

static int collect_all(struct store *s)
{
	const struct gc_options o = { .actor = "ann" };
	struct gc_totals t;

	return registry_gc(s, &o, &t);
}

/* Every way to the content says that there is none. */
static void assert_refused(struct fixture *f, const char *hex, const char *part)
{
	char *to = home_path(f, "work/out");
	struct buf b = BUF_INIT(1 << 20), names = BUF_INIT(1 << 20);
	struct store_view v;
	uint64_t n = 0, checked = 0;
	int rc = store_get(f->store, hex, &b, 1 << 20);

	assert_true(rc == ERR_IO || rc == ERR_NOTFOUND || rc == ERR_INPUT);
	assert_text_has(err_text(), part);
	assert_int_equal(b.len, 0);
	assert_true(store_get_file(f->store, hex, to, &n) < 0);
	assert_false(fs_exists(to));
	n = 0;
	assert_true(store_stream(f->store, hex, drop, &n) < 0);
	assert_true(n <= 2 * (A + B));
	assert_true(store_view_open(&v, f->store, hex) < 0);
	must(store_verify(f->store, tell, &names, &checked));
	/* named, unless the first reader has moved it aside already */
	if (store_has(f->store, hex))
		assert_text_has(buf_str(&names), hex);
	buf_release(&b);
	buf_release(&names);
	free(to);
}

static void test_store_get__an_honest_recipe(void **state)
{
	struct world w;

	world(&w, *state);
	write_recipe(*state, w.both, w.items, 2, A + B);
	assert_content(((struct fixture *)*state)->store, w.both, w.text, A + B);
}

static void test_store_get__sizes_that_lie(void **state)
{
	static const struct lie {
		uint64_t a, b;
	} lies[] = { { A + 1, B - 1 }, { A - 1, B + 1 }, { A, B + 1 }, { A, B - 1 }, { 1, A + B }, { 100 << 20, B } };
	struct fixture *f = *state;
	struct world w;

	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		world(&w, f);
		w.items[0].len = lies[i].a;
		w.items[1].at = lies[i].a;
		w.items[1].len = lies[i].b;
		write_recipe(f, w.both, w.items, 2, lies[i].a + lies[i].b);
		assert_refused(f, w.both, "");
		assert_false(store_holds(f->store, w.both, A + B) && lies[i].a + lies[i].b != A + B);
	}
}

/* A row that cannot be one is moved aside as damage. */
static void test_store_get__sizes_without_end(void **state)
{
	static const uint64_t huge[] = { UINT64_C(1) << 63, UINT64_MAX, (UINT64_C(1) << 63) - 1, UINT64_C(1) << 32, 0 };
	struct fixture *f = *state;
	struct world w;

	for (size_t i = 0; i < ARRAY_LEN(huge); i++) {
		world(&w, f);
		w.items[0].len = huge[i];
		write_recipe(f, w.both, w.items, 2, huge[i] + B); /* which may wrap to something small */
		assert_refused(f, w.both, "");
		world(&w, f);
		write_recipe(f, w.both, w.items, 2, huge[i]);
		assert_refused(f, w.both, "");
	}
}

static void test_store_get__parts_that_are_missing(void **state)
{
	struct fixture *f = *state;
	struct world w;

	world(&w, f);
	must(digest_parse(&w.items[1].digest, NOBODY));
	write_recipe(f, w.both, w.items, 2, A + B);
	assert_refused(f, w.both, "0000aa is not in the store");
	assert_false(store_holds(f->store, w.both, A + B));
	write_recipe(f, w.both, w.items, 0, 0);
	assert_refused(f, w.both, "");
}

/* Parts in another order, or one for another: all are whole, and together something else. */
static void test_store_get__parts_in_another_order(void **state)
{
	struct fixture *f = *state;
	struct world w;
	struct piece first;

	world(&w, f);
	first = w.items[0];
	w.items[0] = w.items[1];
	w.items[0].at = 0;
	w.items[1] = first;
	w.items[1].at = B;
	write_recipe(f, w.both, w.items, 2, A + B);
	assert_refused(f, w.both, "another digest");
}

/* A recipe is no part: one that names itself, or another that names it, names what is not there. */
static void test_store_get__recipes_in_a_circle(void **state)
{
	struct fixture *f = *state;
	struct piece one = { .at = 0, .len = A, .width = 1 };
	struct world w;

	world(&w, f);
	must(digest_parse(&one.digest, w.both));
	write_recipe(f, w.both, &one, 1, A);
	assert_refused(f, w.both, "is not in the store");
	must(digest_parse(&one.digest, NOBODY));
	write_recipe(f, w.both, &one, 1, A);
	must(digest_parse(&one.digest, w.both));
	write_recipe(f, NOBODY, &one, 1, A);
	assert_refused(f, w.both, "is not in the store");
	assert_refused(f, NOBODY, "is not in the store");
}

static void write_delta(struct fixture *f, const char *hex, const char *base, uint64_t len)
{
	struct buf body = BUF_INIT(1 << 20);
	uint8_t zero[A] = { 0 };
	struct digest d;

	must(digest_parse(&d, base));
	buf_add(&body, d.bytes, sizeof(d.bytes));
	for (int k = 0; k < 8; k++)
		buf_addc(&body, (char)(len >> 8 * k));
	delta_write(&body, zero, zero, A, 1);
	must(sealed_write(f->store, VAULT_DELTAS, hex, &body));
	store_index_drop(f->store);
	buf_release(&body);
}

/* A difference from itself, from another difference, or of a length that is not its own. */
static void test_store_get__differences_in_a_circle(void **state)
{
	static const uint64_t lens[] = { A, A + 1, 0, UINT64_C(1) << 63 };
	struct fixture *f = *state;
	struct piece one = { .at = 0, .len = A, .width = 1 };
	struct world w;
	char *delta = store_file(f->store, VAULT_DELTAS, NOBODY);

	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		world(&w, f);
		must(digest_parse(&one.digest, NOBODY));
		write_recipe(f, w.both, &one, 1, A);
		must(fs_remove(delta));
		write_delta(f, NOBODY, NOBODY, lens[i]);
		assert_refused(f, w.both, "");
		assert_false(store_holds(f->store, w.both, A) && lens[i] == A);
	}
	free(delta);
}

/* Collections read all of it, too: they end, and take nothing away because of what a stranger's recipe says. */
static void test_registry_gc__over_hostile_recipes(void **state)
{
	struct fixture *f = *state;
	struct piece one = { .at = 0, .len = A, .width = 1 };
	char id[DIGEST_HEX];
	struct world w;
	json_t *r = run_record(f->store, "w1", '1', "main", "protected");

	world(&w, f);
	must(digest_parse(&one.digest, NOBODY));
	write_recipe(f, w.both, &one, 1, A);
	write_delta(f, NOBODY, NOBODY, A);
	json_array_append_new(json_object_get(r, "artifacts"),
			      json_pack("{s:s,s:s,s:i}", "role", "log", "object", w.both, "size", A));
	must(registry_add_run(f->registry, r, id));
	registry_close(f->registry);
	f->registry = NULL;
	(void)collect_all(f->store);
	assert_true(store_has(f->store, w.both));
	must(registry_open(&f->registry, f->store));
	json_decref(r);
}

/* ---- folders ---- */

static void refuse_manifest(struct fixture *f, const char *text)
{
	char hex[DIGEST_HEX], *to = home_path(f, "work/folder");
	int rc;

	must(store_put(f->store, text, strlen(text), hex));
	rc = store_get_tree(f->store, hex, to);
	if (rc != ERR_INPUT && rc != ERR_NOTFOUND && rc != ERR_IO)
		fail_msg("%s: %d", text, rc);
	assert_true(*err_text());
	must(fs_remove_tree(to));
	free(to);
}

static void test_store_get_tree__manifests_that_lie(void **state)
{
	static const char *const sizes[] = {
		"999", "1001",     "-1",  "9223372036854775807", "9223372036854775808", "18446744073709551616",
		"1e3", "\"1000\"", "null"
	};
	static const char *const paths[] = { "../x", "/x", "a/../../x", "a//b", ".", "", "a/./b", "x/", "a\\u0000b" };
	struct fixture *f = *state;
	struct world w;

	world(&w, f);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		char *text = mem_printf("{\"files\":[{\"object\":\"%s\",\"path\":\"x\",\"size\":%s}]}", w.a, sizes[i]);

		refuse_manifest(f, text);
		free(text);
	}
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		char *text =
			mem_printf("{\"files\":[{\"object\":\"%s\",\"path\":\"%s\",\"size\":%d}]}", w.a, paths[i], A);

		refuse_manifest(f, text);
		free(text);
	}
	refuse_manifest(f, "{\"files\":[{\"object\":\"" NOBODY "\",\"path\":\"x\",\"size\":1}]}");
	refuse_manifest(f, "{\"files\":[{\"object\":\"../../x\",\"path\":\"x\",\"size\":1}]}");
	refuse_manifest(f, "{\"files\":{}}");
	refuse_manifest(f, "{\"files\":[1]}");
	refuse_manifest(f, "{\"files\":[");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_store_get__an_honest_recipe),        TEST(test_store_get__sizes_that_lie),
		TEST(test_store_get__sizes_without_end),       TEST(test_store_get__parts_that_are_missing),
		TEST(test_store_get__parts_in_another_order),  TEST(test_store_get__recipes_in_a_circle),
		TEST(test_store_get__differences_in_a_circle), TEST_REGISTRY(test_registry_gc__over_hostile_recipes),
		TEST(test_store_get_tree__manifests_that_lie),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
