/* model_config.c: config.json to the numbers that the arithmetic needs.
 *
 * A key that is absent or null takes the default of the model's class in transformers. A key that would change the
 * arithmetic in a way that is not built here is refused by its name: a model computed almost as it should be is worse
 * than none. Everything is bounded, since the file may come from a stranger's commit. */
#include "base/base.h"

#include <math.h>

#include "model/model_int.h"

#define MAX_PARAMS ((uint64_t)1 << 40)

static int wrong_type(const char *name, const char *key, const char *want)
{
	return err_set(ERR_INPUT, "%s: %s: expected %s", name, key, want);
}

/* ---- members ----------------------------------------------------------------------------------------------------- */

static int read_int(const json_t *c, const char *name, const char *key, int otherwise, int min, int max, int *out)
{
	const json_t *v = json_object_get(c, key);
	json_int_t n = otherwise;

	if (v && !json_is_null(v)) {
		if (!json_is_integer(v))
			return wrong_type(name, key, "a whole number");
		n = json_integer_value(v);
	}
	if (n < min || n > max)
		return err_set(ERR_INPUT, "%s: %s: %lld is outside %d..%d", name, key, (long long)n, min, max);
	*out = (int)n;
	return 0;
}

static int read_real(const json_t *c, const char *name, const char *key, double otherwise, double max, float *out)
{
	const json_t *v = json_object_get(c, key);
	double x = otherwise;

	if (v && !json_is_null(v)) {
		if (!json_is_number(v))
			return wrong_type(name, key, "a number");
		x = json_number_value(v);
	}
	if (!(x >= 0) || x > max)
		return err_set(ERR_INPUT, "%s: %s: %g is outside 0..%g", name, key, x, max);
	*out = (float)x;
	return 0;
}

static int read_flag(const json_t *c, const char *name, const char *key, bool otherwise, bool *out)
{
	const json_t *v = json_object_get(c, key);

	if (v && !json_is_null(v) && !json_is_boolean(v))
		return wrong_type(name, key, "true or false");
	*out = v && !json_is_null(v) ? json_is_true(v) : otherwise;
	return 0;
}

/* An id, the first of a list of ids, or null. */
static int read_id(const json_t *c, const char *name, const char *key, int otherwise, int vocab, int *out)
{
	const json_t *v = json_object_get(c, key);

	*out = otherwise < vocab ? otherwise : -1;
	if (!v)
		return 0;
	if (json_is_array(v))
		v = json_array_get(v, 0);
	if (!v || json_is_null(v)) {
		*out = -1;
		return 0;
	}
	if (!json_is_integer(v))
		return wrong_type(name, key, "a token id or a list of them");
	if (json_integer_value(v) < 0 || json_integer_value(v) >= vocab)
		return err_set(ERR_INPUT, "%s: %s: id %lld is outside the vocabulary of %d", name, key,
			       (long long)json_integer_value(v), vocab);
	*out = (int)json_integer_value(v);
	return 0;
}

/* ---- what is not built ------------------------------------------------------------------------------------------- */

/* Each may be absent, null, or have the harmless value (a JSON text). */
static const struct {
	const char *key, *harmless;
} fixed[] = {
	{ "hidden_act", "\"silu\"" },      { "attention_bias", "false" },     { "mlp_bias", "false" },
	{ "sliding_window", "null" },      { "use_sliding_window", "false" }, { "partial_rotary_factor", "1.0" },
	{ "quantization_config", "null" }, { "is_encoder_decoder", "false" },
};

static int check_fixed(const json_t *c, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
		const json_t *v = json_object_get(c, fixed[i].key);
		json_t *ok = json_loads(fixed[i].harmless, JSON_DECODE_ANY, NULL);
		bool same = !v || json_is_null(v) || json_equal(v, ok) ||
			    (json_is_number(v) && json_is_number(ok) && !(json_number_value(v) < 1) &&
			     !(json_number_value(v) > 1));
		struct buf text = BUF_INIT(256);

		json_decref(ok);
		if (same)
			continue;
		json_add(&text, v);
		int rc = err_set(ERR_INPUT, "%s: %s: %s is not supported for a %s model (only %s)", name, fixed[i].key,
				 buf_str(&text), json_get_text(c, "model_type", "llama"), fixed[i].harmless);
		buf_release(&text);
		return rc;
	}
	return 0;
}

/* rope_scaling, if it is there, replaces rope_parameters; a theta inside wins over the one at the top. */
static int read_rope(const json_t *c, const char *name, float *theta)
{
	const char *key = "rope_scaling";
	const json_t *r = json_object_get(c, key);
	int rc = read_real(c, name, "rope_theta", 10000.0, 1e12, theta);

	if (rc)
		return rc;
	if (!r || json_is_null(r)) {
		key = "rope_parameters";
		r = json_object_get(c, key);
	}
	if (!r || json_is_null(r))
		return 0;
	if (!json_is_object(r))
		return wrong_type(name, key, "an object");
	const char *type = json_get_text(r, "rope_type", json_get_text(r, "type", "default"));
	if (strcmp(type, "default") != 0)
		return err_set(ERR_INPUT, "%s: %s: rope_type \"%s\" is not supported (only \"default\")", name, key,
			       type);
	const char *inner;
	json_t *v;
	json_object_foreach((json_t *)r, inner, v)
	{
		if (json_is_object(v))
			return err_set(ERR_INPUT, "%s: %s: a rope per layer type (\"%s\") is not supported", name, key,
				       inner);
	}
	return read_real(r, name, "rope_theta", *theta, 1e12, theta);
}

/* ---- whole ------------------------------------------------------------------------------------------------------- */

static int read_sizes(struct model_config *m, const json_t *c, const char *name)
{
	int rc = read_int(c, name, "vocab_size", 32000, 1, 1 << 24, &m->vocab_size);

	if (!rc)
		rc = read_int(c, name, "hidden_size", 4096, 1, 1 << 16, &m->hidden_size);
	if (!rc)
		rc = read_int(c, name, "intermediate_size", 11008, 1, 1 << 20, &m->intermediate_size);
	if (!rc)
		rc = read_int(c, name, "num_hidden_layers", 32, 1, 1024, &m->layers);
	if (!rc)
		rc = read_int(c, name, "num_attention_heads", 32, 1, 4096, &m->heads);
	if (!rc)
		rc = read_int(c, name, "num_key_value_heads", m->heads, 1, 4096, &m->kv_heads);
	if (!rc)
		rc = read_int(c, name, "head_dim", m->hidden_size / m->heads, 2, 1024, &m->head_dim);
	if (!rc)
		rc = read_int(c, name, "max_position_embeddings", 2048, 1, 1 << 24, &m->context);
	if (rc)
		return rc;
	if (m->heads % m->kv_heads)
		return err_set(ERR_INPUT, "%s: num_attention_heads %d is not a multiple of num_key_value_heads %d",
			       name, m->heads, m->kv_heads);
	const json_t *dim = json_object_get(c, "head_dim");
	if ((!dim || json_is_null(dim)) && m->hidden_size % m->heads)
		return err_set(ERR_INPUT, "%s: hidden_size %d is not a multiple of num_attention_heads %d", name,
			       m->hidden_size, m->heads);
	if (m->head_dim % 2)
		return err_set(ERR_INPUT, "%s: head_dim %d is odd; rotary positions need pairs", name, m->head_dim);
	if (model_config_params(m) > MAX_PARAMS)
		return err_set(ERR_INPUT, "%s: the sizes make more than 2^40 parameters", name);
	return 0;
}

int model_config_parse(struct model_config *out, const json_t *config, const char *name)
{
	struct model_config m = { .bos_id = -1, .eos_id = -1 };
	int rc;

	if (!json_is_object(config))
		return err_set(ERR_INPUT, "%s: expected an object", name);
	const char *type = json_get_text(config, "model_type", NULL);
	if (!type)
		return err_set(ERR_INPUT, "%s: model_type is missing", name);
	if (strcmp(type, "llama") != 0)
		return err_set(ERR_INPUT, "%s: model_type \"%s\" is not supported (only \"llama\")", name, type);
	snprintf(m.architecture, sizeof(m.architecture), "%s", type);
	rc = check_fixed(config, name);
	if (!rc)
		rc = read_sizes(&m, config, name);
	if (!rc)
		rc = read_real(config, name, "rms_norm_eps", 1e-6, 1, &m.rms_eps);
	if (!rc)
		rc = read_real(config, name, "initializer_range", 0.02, 100, &m.init_range);
	if (!rc)
		rc = read_rope(config, name, &m.rope_theta);
	if (!rc && !(m.rope_theta > 0))
		rc = err_set(ERR_INPUT, "%s: rope_theta must be above 0", name);
	if (!rc)
		rc = read_flag(config, name, "tie_word_embeddings", false, &m.tied);
	if (!rc)
		rc = read_id(config, name, "bos_token_id", 1, m.vocab_size, &m.bos_id);
	if (!rc)
		rc = read_id(config, name, "eos_token_id", 2, m.vocab_size, &m.eos_id);
	if (!rc)
		*out = m;
	return rc;
}

uint64_t model_config_params(const struct model_config *c)
{
	uint64_t C = (uint64_t)c->hidden_size, F = (uint64_t)c->intermediate_size, V = (uint64_t)c->vocab_size;
	uint64_t HD = (uint64_t)c->heads * (uint64_t)c->head_dim, KD = (uint64_t)c->kv_heads * (uint64_t)c->head_dim;
	uint64_t layer = C * (HD + 2 * KD) + HD * C + 3 * C * F + 2 * C;

	return V * C * (c->tied ? 1 : 2) + (uint64_t)c->layers * layer + C;
}
