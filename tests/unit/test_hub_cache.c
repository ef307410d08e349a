/* Tests of runner/hub_cache.c: the layout of the Hugging Face cache, and links that leave it. */
#include "base/base.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "repo_fixture.h"
#include "runner/hub_cache.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

/* A cache as huggingface_hub leaves it: a small file by git's SHA-1, a large one by its SHA-256. */
#define CACHE                                                                                                          \
	"m=../hub/models--org--tiny && mkdir -p $m/blobs $m/refs $m/snapshots/" COMMIT " && printf " COMMIT            \
	" >$m/refs/main && printf '{}' >../c && a=$(git hash-object ../c) && cp ../c $m/blobs/$a && printf weights "   \
	">../w && "                                                                                                    \
	"b=$(sha256sum <../w | cut -c1-64) && cp ../w $m/blobs/$b && cd $m/snapshots/" COMMIT                          \
	" && ln -s ../../blobs/$a "                                                                                    \
	"config.json && ln -s ../../blobs/$b model.safetensors && echo pickle >pytorch_model.bin"

static char *cache(struct fixture *f)
{
	char *dir = in_root(f, "hub");

	sh(f, CACHE);
	setenv("HF_HUB_CACHE", dir, 1);
	return dir;
}

static void key_of(const struct hub_model *m, char hex[DIGEST_HEX])
{
	struct digest_ctx *ctx = digest_new();
	struct digest d;

	must(hub_model_key(m, ctx));
	d = digest_end(ctx);
	digest_hex(hex, &d);
}

static void test_hub_model__by_branch_and_by_commit(void **state)
{
	struct fixture *f = *state;
	char *dir = cache(f), *to = in_root(f, "out"), one[DIGEST_HEX], two[DIGEST_HEX];
	struct hub_model m;

	must(hub_model_find(&m, "org/tiny"));
	assert_string_equal(m.commit, COMMIT);
	assert_int_equal(m.n_files, 2); /* no pickle */
	key_of(&m, one);
	must(hub_model_export(&m, to));
	assert_file(f, "out/model.safetensors", "weights");
	assert_false(is_there(f, "out/pytorch_model.bin"));
	hub_model_release(&m);
	must(hub_model_find(&m, "org/tiny@" COMMIT));
	key_of(&m, two);
	assert_string_equal(one, two);
	hub_model_release(&m);
	/* on a file system without links a file stands there itself */
	sh(f, "cd ../hub/models--org--tiny/snapshots/" COMMIT " && rm config.json && printf '{\"a\":1}' >config.json");
	must(hub_model_find(&m, "org/tiny@main"));
	key_of(&m, two);
	assert_string_not_equal(one, two);
	hub_model_release(&m);
	free(dir);
	free(to);
}

static void test_hub_model__where_the_cache_is(void **state)
{
	struct fixture *f = *state;
	char *dir = cache(f);
	struct hub_model m;

	unsetenv("HF_HUB_CACHE");
	setenv("HF_HOME", f->root, 1);
	must(hub_model_find(&m, "org/tiny"));
	hub_model_release(&m);
	unsetenv("HF_HOME");
	unsetenv("XDG_CACHE_HOME");
	assert_err(hub_model_find(&m, "org/tiny"), ERR_INPUT);
	sh(f, "mkdir -p ../.cache/huggingface && mv ../hub ../.cache/huggingface/");
	must(hub_model_find(&m, "org/tiny"));
	hub_model_release(&m);
	free(dir);
}

static void refused(const char *name, const char *words)
{
	struct hub_model m;

	assert_err(hub_model_find(&m, name), ERR_INPUT);
	assert_text_has(err_text(), words);
}

static void test_hub_model__what_is_not_here_or_no_name(void **state)
{
	struct fixture *f = *state;
	char *dir = cache(f);

	refused("org/other", "is not in the cache");
	assert_text_has(err_fix(), "hf download org/other --revision main");
	refused("org/tiny@v2", "is not in the cache");
	refused("org/tiny@ffffffffffffffffffffffffffffffffffffffff", "is not in the cache");
	refused("org/tiny@../../x", "leaves its root");
	refused("../etc", "no name of a model");
	refused("org/../tiny", "no name of a model");
	refused("a/b/c", "no name of a model");
	refused("/etc", "no name of a model");
	refused("", "no name of a model");
	sh(f, "printf ../../.. >../hub/models--org--tiny/refs/main");
	refused("org/tiny", "does not hold a commit");
	free(dir);
}

static void test_hub_model__links_and_bytes_are_checked(void **state)
{
	struct fixture *f = *state;
	char *dir = cache(f), *to = in_root(f, "out");
	struct digest_ctx *ctx = digest_new();
	struct hub_model m;

	must(hub_model_find(&m, "org/tiny"));
	sh(f, "cd ../hub/models--org--tiny/blobs && echo x >>$(ls | awk 'length == 64')");
	assert_err(hub_model_export(&m, to), ERR_INPUT);
	assert_text_has(err_text(), "cached bytes of model.safetensors are damaged");
	sh(f, "cd ../hub/models--org--tiny/blobs && echo x >>$(ls | awk 'length == 40')");
	assert_err(hub_model_export(&m, to), ERR_INPUT);
	assert_text_has(err_text(), "cached bytes of config.json are damaged");
	sh(f, "cd ../hub/models--org--tiny/snapshots/" COMMIT
	      " && echo secret >../../secret && ln -sf ../../secret config.json");
	assert_err(hub_model_key(&m, ctx), ERR_INPUT);
	assert_text_has(err_text(), "leaves the model's own cache");
	assert_err(hub_model_export(&m, to), ERR_INPUT);
	sh(f, "cd ../hub/models--org--tiny/snapshots/" COMMIT " && ln -sf ../../blobs/none config.json");
	assert_err(hub_model_export(&m, to), ERR_INPUT);
	assert_text_has(err_text(), "has no bytes for config.json");
	digest_end(ctx);
	hub_model_release(&m);
	free(dir);
	free(to);
}

#define test(name) cmocka_unit_test_setup_teardown(name, fixture_begin, end)

static int end(void **state)
{
	unsetenv("HF_HUB_CACHE");
	unsetenv("HF_HOME");
	return fixture_end(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_hub_model__by_branch_and_by_commit),
		test(test_hub_model__where_the_cache_is),
		test(test_hub_model__what_is_not_here_or_no_name),
		test(test_hub_model__links_and_bytes_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
