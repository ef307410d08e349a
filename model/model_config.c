/* model_config.c: config.json to the numbers that the arithmetic needs.
 *
 * A key that is absent takes the default of the model's class in transformers (defaults[] below; sizes differ by family,
 * GPT-2 names them otherwise), rope_theta's 10000 included: early Llama files do not name it. null does the same where
 * the class takes it. A key that would change the arithmetic in a way that is not built here is refused by its name, and
 * so is a head that is not a language model's: a model computed almost as it should be is worse than none. Everything
 * is bounded, since the file may come from a stranger's commit. */
#include "base/base.h"

#include <float.h>

#include "kernels/vmath.h"
#include "model/model_int.h"

#define MAX_PARAMS ((uint64_t)1 << 40)
#define MAX_HEAD_DIM 1024

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

/* A size that the model's class does not take null for. */
static int read_size(const json_t *c, const char *name, const char *key, int otherwise, int max, int *out)
{
	if (json_is_null(json_object_get(c, key)))
		return wrong_type(name, key, "a whole number");
	return read_int(c, name, key, otherwise, 1, max, out);
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

/* ---- what a family is when its config.json does not say ------------------------------------------------------------ */

/* Of configuration_<family>.py in transformers 4.44 to 5. kv_heads 0: as many as heads; head_dim 0: hidden / heads;
 * intermediate_size 0: four times the hidden size; window -1: off unless use_sliding_window. */
static const struct defaults {
	const char *family;
	int vocab_size, hidden_size, intermediate_size, layers, heads, kv_heads, head_dim, context, window, bos, eos;
	bool tied;
} defaults[] = {
	{ "llama", 32000, 4096, 11008, 32, 32, 0, 0, 2048, 0, 1, 2, false },
	{ "mistral", 32000, 4096, 14336, 32, 32, 8, 0, 131072, 4096, 1, 2, false },
	{ "qwen2", 151936, 4096, 22016, 32, 32, 32, 0, 32768, -1, -1, -1, false },
	{ "qwen3", 151936, 4096, 22016, 32, 32, 32, 128, 32768, -1, -1, -1, false },
	{ "gpt2", 50257, 768, 0, 12, 12, 0, 0, 1024, 0, 50256, 50256, true },
};

static const struct keys { /* what the sizes are called */
	const char *hidden_size, *intermediate_size, *layers, *heads, *context, *eps;
} usual = { "hidden_size",         "intermediate_size",       "num_hidden_layers",
	    "num_attention_heads", "max_position_embeddings", "rms_norm_eps" },
  of_gpt2 = { "n_embd", "n_inner", "n_layer", "n_head", "n_positions", "layer_norm_epsilon" };

static const struct defaults *find_defaults(const char *family)
{
	for (size_t i = 0; i < ARRAY_LEN(defaults); i++)
		if (!strcmp(defaults[i].family, family))
			return &defaults[i];
	return NULL;
}

/* ---- what is not built ------------------------------------------------------------------------------------------- */

/* Each may be absent, null, or have one of the harmless values (JSON texts). */
static const struct {
	const char *key, *harmless, *or_else;
} fixed[] = {
	{ "hidden_act", "\"silu\"", "\"swish\"" }, { "activation_function", "\"gelu_new\"", "\"gelu_pytorch_tanh\"" },
	{ "partial_rotary_factor", "1.0", NULL },  { "quantization_config", "null", NULL },
	{ "is_encoder_decoder", "false", NULL },   { "add_cross_attention", "false", NULL },
	{ "scale_attn_weights", "true", NULL },    { "scale_attn_by_inverse_layer_idx", "false", NULL },
};

static bool is_value(const json_t *v, const char *text)
{
	json_t *want = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
	bool same = json_equal(v, want) ||
		    (json_is_number(v) && json_is_number(want) && !(json_number_value(v) < json_number_value(want)) &&
		     !(json_number_value(v) > json_number_value(want)));

	json_decref(want);
	return same;
}

static int check_fixed(const json_t *c, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
		const json_t *v = json_object_get(c, fixed[i].key);
		struct buf text = BUF_INIT(256);

		if (!v || json_is_null(v) || is_value(v, fixed[i].harmless) ||
		    (fixed[i].or_else && is_value(v, fixed[i].or_else)))
			continue;
		json_add(&text, v);
		int rc = err_set(ERR_INPUT, "%s: %s: %s is not supported for a %s model (only %s)", name, fixed[i].key,
				 buf_str(&text), json_get_text(c, "model_type", "llama"), fixed[i].harmless);
		buf_release(&text);
		return !strcmp(fixed[i].key, "quantization_config")
			       ? err_hint(rc, "save it in half precision: model.dequantize().save_pretrained(dir)")
			       : rc;
	}
	return 0;
}

/* A classifier's folder has the layers of a language model and another head. */
static int check_head(const json_t *c, const char *name, const char *class_name)
{
	const json_t *list = json_object_get(c, "architectures"), *v;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)list, i, v)
	{
		const char *head = json_is_string(v) ? strstr(json_string_value(v), "For") : NULL;
		if (head && strcmp(head, "ForCausalLM") != 0)
			return err_hint(err_set(ERR_INPUT, "%s: architectures: %s is not a causal language model", name,
						json_string_value(v)),
					"only %s is built for this model_type", class_name);
	}
	return 0;
}

/* ---- rotary positions -------------------------------------------------------------------------------------------- */

static int read_llama3(struct model_config *m, const json_t *r, const char *name)
{
	struct model_rope *o = &m->rope;
	int rc = read_real(r, name, "low_freq_factor", 1, 1e6, &o->low_freq_factor);

	if (!rc)
		rc = read_real(r, name, "high_freq_factor", 4, 1e6, &o->high_freq_factor);
	if (!rc && !(o->high_freq_factor > o->low_freq_factor))
		rc = err_set(ERR_INPUT, "%s: rope: high_freq_factor must be above low_freq_factor", name);
	return rc;
}

static float yarn_scale(float factor, float by)
{
	return factor <= 1 ? 1.0f : (float)(0.1 * (double)by * vm_log((double)factor) + 1.0);
}

/* The attention factor multiplies sine and cosine: given, or from the two mscales, or from the factor alone. */
static int read_yarn(struct model_config *m, const json_t *r, const char *name)
{
	struct model_rope *o = &m->rope;
	float mscale = 0, all = 0, given = 0;
	int rc = read_real(r, name, "beta_fast", 32, 1e6, &o->beta_fast);

	if (!rc)
		rc = read_real(r, name, "beta_slow", 1, 1e6, &o->beta_slow);
	if (!rc)
		rc = read_real(r, name, "mscale", 0, 1e6, &mscale);
	if (!rc)
		rc = read_real(r, name, "mscale_all_dim", 0, 1e6, &all);
	if (!rc)
		rc = read_real(r, name, "attention_factor", 0, 1e6, &given);
	if (!rc)
		rc = read_flag(r, name, "truncate", true, &o->truncate);
	if (given > 0)
		o->attention_factor = given;
	else if (mscale > 0 && all > 0)
		o->attention_factor = yarn_scale(o->factor, mscale) / yarn_scale(o->factor, all);
	else
		o->attention_factor = yarn_scale(o->factor, 1);
	return rc;
}

static int read_scaling(struct model_config *m, const json_t *c, const json_t *r, const char *name, const char *key)
{
	static const char *const kinds[] = { "default", "linear", "llama3", "yarn" };
	const json_t *given = json_object_get(r, "rope_type");
	struct model_rope *o = &m->rope;
	size_t kind = 0;
	int rc, original = m->context;

	if (!given)
		given = json_object_get(r, "type");
	if (given && !json_is_string(given))
		return wrong_type(name, "rope_type", "a name");
	const char *type = given ? json_string_value(given) : "default";
	while (kind < ARRAY_LEN(kinds) && strcmp(type, kinds[kind]) != 0)
		kind++;
	if (kind == ARRAY_LEN(kinds))
		return err_hint(
			err_set(ERR_INPUT,
				"%s: %s: rope_type \"%s\" is not supported (only default, linear, llama3 and yarn)",
				name, key, type),
			"dynamic does nothing below max_position_embeddings: without it, the model is the same up to "
			"there");
	o->kind = (enum model_rope_kind)kind;
	if (kind == MODEL_ROPE_DEFAULT)
		return 0;
	rc = read_real(r, name, "factor", 1, 1e6, &o->factor);
	if (!rc && !(o->factor > 0))
		rc = err_set(ERR_INPUT, "%s: %s: factor must be above 0", name, key);
	if (!rc)
		rc = read_int(r, name, "original_max_position_embeddings", original, 1, 1 << 24, &original);
	if (!rc) /* one at the top wins */
		rc = read_int(c, name, "original_max_position_embeddings", original, 1, 1 << 24, &o->original);
	if (!rc && kind == MODEL_ROPE_LLAMA3)
		rc = read_llama3(m, r, name);
	if (!rc && kind == MODEL_ROPE_YARN)
		rc = read_yarn(m, r, name);
	return rc;
}

/* Numbers that are each within bounds may still make no frequency together: yarn divides by the logarithm of theta. */
static int check_frequencies(const struct model_config *m, const char *name, const char *key)
{
	float by[MAX_HEAD_DIM / 2];

	transformer_rope_divisors(m, by);
	for (int i = 0; i < m->head_dim / 2; i++)
		if (!(by[i] > 0 && by[i] <= FLT_MAX))
			return err_set(ERR_INPUT, "%s: %s: with rope_theta %g, frequency %d of %d is no finite number",
				       name, key, (double)m->rope_theta, i, m->head_dim / 2);
	return 0;
}

/* rope_scaling, if it is there, replaces rope_parameters; a theta inside wins over the one at the top. */
static int read_rope(struct model_config *m, const json_t *c, const char *name)
{
	const char *key = "rope_scaling", *inner;
	const json_t *r = json_object_get(c, key);
	json_t *v;
	int rc = read_real(c, name, "rope_theta", 10000.0, 1e12, &m->rope_theta);

	m->rope = (struct model_rope){ .factor = 1, .attention_factor = 1 };
	if (rc)
		return rc;
	if (!r || json_is_null(r)) {
		key = "rope_parameters";
		r = json_object_get(c, key);
	}
	if (r && !json_is_null(r)) {
		if (!json_is_object(r))
			return wrong_type(name, key, "an object");
		json_object_foreach((json_t *)r, inner, v)
		{
			if (json_is_object(v))
				return err_set(ERR_INPUT, "%s: %s: a rope per layer type (\"%s\") is not supported",
					       name, key, inner);
		}
		rc = read_real(r, name, "rope_theta", m->rope_theta, 1e12, &m->rope_theta);
		if (!rc)
			rc = read_scaling(m, c, r, name, key);
	}
	if (!rc && !(m->rope_theta >= 1))
		rc = err_set(ERR_INPUT, "%s: rope_theta: %g is below 1", name, (double)m->rope_theta);
	return rc || m->rope.kind == MODEL_ROPE_DEFAULT ? rc : check_frequencies(m, name, key);
}

/* ---- sliding windows --------------------------------------------------------------------------------------------- */

/* layer_types, where it is given, says it layer by layer: full ones first, sliding ones behind them, is what is built. */
static int read_layer_types(struct model_config *m, const json_t *list, const char *name)
{
	int sliding = 0;

	if (!json_is_array(list) || json_array_size(list) != (size_t)m->layers)
		return err_set(ERR_INPUT, "%s: layer_types: expected a list of %d names", name, m->layers);
	for (int l = 0; l < m->layers; l++) {
		const char *type = json_string_value(json_array_get(list, (size_t)l));
		bool slides = type && !strcmp(type, "sliding_attention");
		if (!slides && (!type || strcmp(type, "full_attention") != 0 || sliding))
			return err_set(ERR_INPUT,
				       "%s: layer_types[%d]: \"%s\" is not supported here (only full_attention, then "
				       "sliding_attention to the last layer)",
				       name, l, type ? type : "");
		sliding += slides;
	}
	m->window_from = m->layers - sliding;
	return 0;
}

static int read_window(struct model_config *m, const json_t *c, const char *name, const struct defaults *d)
{
	const json_t *v = json_object_get(c, "sliding_window"), *types = json_object_get(c, "layer_types");
	bool qwen = d->window < 0, use = !qwen;
	int rc = 0;

	m->window = m->window_from = 0;
	if (!strcmp(d->family, "llama") || !strcmp(d->family, "gpt2")) {
		if (v && !json_is_null(v))
			return err_set(ERR_INPUT, "%s: sliding_window is not supported for a %s model", name,
				       d->family);
		return 0;
	}
	if (qwen)
		rc = read_flag(c, name, "use_sliding_window", false, &use);
	if (rc || !use || (v && json_is_null(v)))
		return rc;
	rc = read_int(c, name, "sliding_window", 4096, 1, 1 << 24, &m->window);
	if (!rc && types && !json_is_null(types))
		rc = read_layer_types(m, types, name);
	else if (!rc && qwen)
		rc = read_int(c, name, "max_window_layers", 28, 0, 1024, &m->window_from);
	if (m->window >= m->context || m->window_from >= m->layers)
		m->window = 0; /* it never hides a key */
	return rc;
}

/* ---- whole ------------------------------------------------------------------------------------------------------- */

static int read_sizes(struct model_config *m, const json_t *c, const char *name, const struct defaults *d,
		      const struct keys *k)
{
	int rc = read_size(c, name, "vocab_size", d->vocab_size, 1 << 24, &m->vocab_size), inner, dim;

	if (!rc)
		rc = read_size(c, name, k->hidden_size, d->hidden_size, 1 << 16, &m->hidden_size);
	inner = d->intermediate_size ? d->intermediate_size : 4 * m->hidden_size;
	if (!rc)
		rc = read_int(c, name, k->intermediate_size, inner, 1, 1 << 20, &m->intermediate_size);
	if (!rc)
		rc = read_size(c, name, k->layers, d->layers, 1024, &m->layers);
	if (!rc)
		rc = read_size(c, name, k->heads, d->heads, 4096, &m->heads);
	m->kv_heads = m->heads;
	if (!rc && k == &usual)
		rc = read_int(c, name, "num_key_value_heads", d->kv_heads ? d->kv_heads : m->heads, 1, 4096,
			      &m->kv_heads);
	if (!rc)
		rc = read_size(c, name, k->context, d->context, 1 << 24, &m->context);
	if (rc)
		return rc;
	dim = d->head_dim ? d->head_dim : m->hidden_size / m->heads;
	m->head_dim = dim;
	if (k == &usual)
		rc = read_int(c, name, "head_dim", dim, 2, MAX_HEAD_DIM, &m->head_dim);
	else if (dim < 2 || dim > MAX_HEAD_DIM)
		rc = err_set(ERR_INPUT, "%s: %s %d and %s %d make heads of %d, which is outside 2..%d", name,
			     k->hidden_size, m->hidden_size, k->heads, m->heads, dim, MAX_HEAD_DIM);
	if (rc)
		return rc;
	if (m->heads % m->kv_heads)
		return err_set(ERR_INPUT, "%s: num_attention_heads %d is not a multiple of num_key_value_heads %d",
			       name, m->heads, m->kv_heads);
	const json_t *given = json_object_get(c, "head_dim");
	if (!d->head_dim && (!given || json_is_null(given)) && m->hidden_size % m->heads)
		return err_set(ERR_INPUT, "%s: %s %d is not a multiple of %s %d", name, k->hidden_size, m->hidden_size,
			       k->heads, m->heads);
	if (m->head_dim % 2)
		return err_set(ERR_INPUT, "%s: head_dim %d is odd; only even ones are built", name, m->head_dim);
	return 0;
}

static int read_biases(struct model_config *m, const json_t *c, const char *name)
{
	bool attention = false;
	int rc = 0;

	if (!strcmp(m->architecture, "gpt2")) {
		m->qkv_bias = m->o_bias = m->mlp_bias = true;
		return 0;
	}
	if (strcmp(m->architecture, "mistral") != 0 && strcmp(m->architecture, "qwen2") != 0)
		rc = read_flag(c, name, "attention_bias", false, &attention);
	m->qkv_bias = attention || !strcmp(m->architecture, "qwen2");
	m->o_bias = attention;
	if (!rc && !strcmp(m->architecture, "llama"))
		rc = read_flag(c, name, "mlp_bias", false, &m->mlp_bias);
	return rc;
}

static int unknown_family(const char *name, const char *type)
{
	int rc = err_set(ERR_INPUT, "%s: model_type \"%s\" is not supported (only %s)", name, type, arch_known());

	return err_hint(rc, "a family is one row of model/arch.c, if its layers make no new choice");
}

static int read_all(struct model_config *m, const json_t *config, const char *name)
{
	const char *type = json_get_text(config, "model_type", NULL);
	int rc;

	if (!json_is_object(config))
		return err_set(ERR_INPUT, "%s: expected an object", name);
	if (!type)
		return err_set(ERR_INPUT, "%s: model_type is missing", name);
	const struct defaults *d = find_defaults(type);
	const struct keys *k = !strcmp(type, "gpt2") ? &of_gpt2 : &usual;
	if (!d || !arch_find(type))
		return unknown_family(name, type);
	snprintf(m->architecture, sizeof(m->architecture), "%s", type);
	rc = check_head(config, name, arch_find(type)->class_name);
	if (!rc)
		rc = check_fixed(config, name);
	if (!rc)
		rc = read_sizes(m, config, name, d, k);
	if (!rc)
		rc = read_real(config, name, k->eps, k == &usual ? 1e-6 : 1e-5, 1, &m->norm_eps);
	if (!rc)
		rc = read_real(config, name, "initializer_range", 0.02, 100, &m->init_range);
	if (!rc)
		rc = read_rope(m, config, name);
	if (!rc)
		rc = read_window(m, config, name, d);
	if (!rc)
		rc = read_biases(m, config, name);
	if (!rc && model_config_params(m) > MAX_PARAMS)
		rc = err_set(ERR_INPUT, "%s: the sizes make more than 2^40 parameters", name);
	if (!rc)
		rc = read_flag(config, name, "tie_word_embeddings", d->tied, &m->tied);
	if (!rc)
		rc = read_id(config, name, "bos_token_id", d->bos, m->vocab_size, &m->bos_id);
	if (!rc)
		rc = read_id(config, name, "eos_token_id", d->eos, m->vocab_size, &m->eos_id);
	return rc;
}

int model_config_parse(struct model_config *out, const json_t *config, const char *name)
{
	struct model_config m = { .bos_id = -1, .eos_id = -1 };
	int rc = read_all(&m, config, name);

	if (!rc)
		*out = m;
	else if (!err_fix())
		err_hint(rc,
			 "config.json must be as transformers saved it with these weights, of a model whose arithmetic "
			 "is built");
	return rc;
}

/* More rows than ids are usual (padding to a round number), fewer are a mistake. */
int model_config_check_tokenizer(const struct model_config *c, const struct tokenizer *tok, const char *name)
{
	int n = tokenizer_size(tok);

	if (n <= c->vocab_size)
		return 0;
	const char *last = tokenizer_text(tok, n - 1);
	return err_hint(err_set(ERR_INPUT, "%s: the tokenizer has %d ids (the last: \"%s\"), the model's vocabulary %d",
				name, n, last ? last : "", c->vocab_size),
			"take tokenizer.json and config.json of one and the same model, or add rows: "
			"model.resize_token_embeddings(len(tokenizer))");
}

uint64_t model_config_params(const struct model_config *c)
{
	const struct arch *a = arch_find(c->architecture);
	uint64_t C = (uint64_t)c->hidden_size, F = (uint64_t)c->intermediate_size, V = (uint64_t)c->vocab_size;
	uint64_t D = (uint64_t)c->head_dim, HD = (uint64_t)c->heads * D, KD = (uint64_t)c->kv_heads * D;
	uint64_t norm = C * (a->layernorm ? 2 : 1), up = a->gated ? 2 : 1;
	uint64_t layer = (C + (c->qkv_bias ? 1 : 0)) * (HD + 2 * KD) + HD * C + (c->o_bias ? C : 0) + 2 * norm +
			 (up + 1) * C * F + (c->mlp_bias ? up * F + C : 0) + (a->names[ROLE_Q_NORM] ? 2 * D : 0);

	return V * C * (c->tied ? 1 : 2) + (uint64_t)c->layers * layer + norm +
	       (a->learned_positions ? (uint64_t)c->context * C : 0);
}
