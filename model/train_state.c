/* train_state.c: what a training that was interrupted goes on from.
 *
 * checkpoint-<fingerprint>-<step>.safetensors holds the arrays "m", "v", "weights" and, once there is one, "best", in pieces
 * of 16 MB as they lie in memory; of preferences "reference" and "reference_held", the initial model's log-probabilities, in
 * doubles; and the pair "assay" -> {"at","best_loss","best_step","epoch","first_loss","last_loss","seen","step","tokens",
 * "worse"}. The fingerprint is of all that the result depends on, the weights of the beginning
 * included, so a state is never taken for that of another training; what changes no bit (threads, gradient checkpointing)
 * is not in it.
 *
 * A checkpoint is written under a temporary name, synced and renamed, in one pass over the arrays: its hash, of the pair and
 * of every piece, stands behind them. The two newest are kept. One whose hash is wrong is passed over; nothing is touched
 * before all of it is known to be good. */
#include "base/base.h"
#include "base/json.h"

#include "model/train_int.h"

#define KEPT 2
#define PIECE ((size_t)4 << 20) /* floats */
#define HASH_NAME "~hash"       /* behind all other names */

/* ---- fingerprint --------------------------------------------------------------------------------------------------- */

#define HASH_FIELD(h, x) checkpoint_hash((h), &(x), sizeof(x))

static uint64_t hash_data(uint64_t h, const struct train_data *data)
{
	for (size_t i = 0; i < data->n; i++) {
		const struct train_example *e = &data->examples[i];
		const int32_t what[] = { e->source, e->pair, e->counts_first };
		h = checkpoint_hash(h, e->ids, (size_t)e->n * sizeof(int32_t));
		h = checkpoint_hash(h, e->counts, (size_t)e->n);
		h = HASH_FIELD(h, what);
	}
	return checkpoint_hash(h, data->weights, data->n_sources * sizeof(*data->weights));
}

/* Field by field: between the members of a struct there may be anything. */
static uint64_t hash_lora(uint64_t h, const struct lora *l)
{
	const float reals[] = { l->scale, l->dropout };

	h = HASH_FIELD(h, reals);
	for (size_t i = 0; i < l->n; i++) {
		const struct lora_part *p = &l->parts[i];
		const int32_t part[] = { (int32_t)p->role, p->layer, p->row0, p->N, p->K, l->rank };
		h = HASH_FIELD(h, part);
	}
	return h;
}

static uint64_t hash_config(uint64_t h, const struct model_config *c)
{
	const struct model_rope plain = { .kind = MODEL_ROPE_DEFAULT }; /* whose other members say nothing */
	const struct model_rope *r = c->rope.kind == MODEL_ROPE_DEFAULT ? &plain : &c->rope;
	const float reals[] = { c->norm_eps,         c->rope_theta, r->factor,    r->low_freq_factor,
				r->high_freq_factor, r->beta_fast,  r->beta_slow, r->attention_factor };
	const int32_t ints[] = { c->heads,       c->kv_heads, c->head_dim,      c->context,  c->window,
				 c->window_from, c->tied,     (int32_t)r->kind, r->original, r->truncate };

	h = checkpoint_hash(h, c->architecture, strlen(c->architecture));
	h = HASH_FIELD(h, reals);
	return HASH_FIELD(h, ints);
}

static int hash_weights(const struct model *m, uint64_t h, uint64_t *out)
{
	size_t largest = m->lora ? m->lora->n_params : 0;
	int rc = 0;

	for (size_t i = 0; i < m->n_tensors; i++)
		largest = m->tensors[i].count > largest ? m->tensors[i].count : largest;
	float *host = mem_try_aligned(mem_mul(largest, sizeof(float)));
	if (!host)
		return err_set(ERR_UNAVAILABLE, "no memory for %zu numbers", largest);
	for (size_t i = 0; !rc && i < m->n_tensors; i++) {
		const struct tensor *t = &m->tensors[i];
		size_t bytes = 0;
		rc = model_read_tensor(m, t, host, &bytes);
		h = checkpoint_hash(HASH_FIELD(h, t->dims), host, bytes);
	}
	if (!rc && m->lora) {
		m->be->download(m->be, host, m->lora->params, m->lora->n_params * sizeof(float));
		rc = m->be->sync(m->be);
		h = checkpoint_hash(h, host, m->lora->n_params * sizeof(float));
	}
	free(host);
	*out = h;
	return rc;
}

static uint64_t hash_options(uint64_t h, const struct training *t)
{
	const struct train_options *o = t->o;
	const double reals[] = { o->learning_rate, o->min_lr_ratio, o->weight_decay, o->beta1,  o->beta2,
				 o->eps,           o->clip,         o->warmup_ratio, o->epochs, o->dpo_beta };
	const int64_t ints[] = { t->steps,         t->warmup, t->batch_tokens, t->micro_tokens,
				 o->max_steps > 0, o->dpo,    o->count_first };

	h = HASH_FIELD(h, reals);
	h = HASH_FIELD(h, ints);
	h = HASH_FIELD(h, o->seed);
	if (t->shares > 1)
		h = HASH_FIELD(h, t->shares);
	return checkpoint_hash(h, o->schedule, strlen(o->schedule));
}

int train_state_fingerprint(const struct training *t, uint64_t *out)
{
	const struct train_options *o = t->o;
	const struct model *m = t->m;
	uint64_t h = checkpoint_hash(3, m->be->numerics, strlen(m->be->numerics));

	h = hash_config(hash_options(h, t), &m->config);
	if (m->lora)
		h = hash_lora(h, m->lora);
	h = hash_data(h, t->set.data);
	if (o->validation) {
		const int64_t how[] = { o->eval_every, o->patience, o->keep_last };
		h = hash_data(HASH_FIELD(h, how), o->validation);
	}
	return hash_weights(m, h, out);
}

/* ---- names --------------------------------------------------------------------------------------------------------- */

static char *state_prefix(uint64_t fingerprint)
{
	return mem_printf("checkpoint-%016llx-", (unsigned long long)fingerprint);
}

struct names { /* of one training's states, sorted: the step is written with leading zeros */
	const char *prefix, *suffix;
	char **items;
	size_t n, cap;
};

static int add_name(const char *name, void *arg)
{
	struct names *l = arg;

	if (strncmp(name, l->prefix, strlen(l->prefix)) != 0 || !path_has_suffix(name, l->suffix))
		return 0;
	MEM_GROW(l->items, l->n, l->cap);
	l->items[l->n++] = mem_str(name);
	return 0;
}

static void names_release(struct names *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->items[i]);
	free(l->items);
}

/* All but the newest. */
static int drop_old(const char *dir, const char *prefix, const char *suffix, size_t kept)
{
	struct names l = { .prefix = prefix, .suffix = suffix };
	int rc = fs_list(dir, add_name, &l);

	for (size_t i = 0; !rc && i + kept < l.n; i++) {
		char *path = path_join(dir, l.items[i]);
		rc = fs_remove(path);
		free(path);
	}
	names_release(&l);
	return rc;
}

/* ---- arrays and pieces --------------------------------------------------------------------------------------------- */

struct piece {
	char *name;
	float *device; /* of an array; NULL: … */
	double *host;  /* … the numbers are here */
	size_t count;
};
struct pieces { /* in the order of the file: doubles first, then by their names */
	struct piece *items;
	size_t n;
};

static size_t piece_bytes(const struct piece *p)
{
	return p->count * (p->device ? sizeof(float) : sizeof(double));
}

static const char *piece_type(const struct piece *p)
{
	return p->device ? "F32" : "F64";
}

static void add_array(struct pieces *l, const char *name, float *at, size_t count)
{
	for (size_t i = 0; i * PIECE < count; i++) {
		size_t left = count - i * PIECE;
		l->items[l->n++] = (struct piece){ .name = mem_printf("%s.%06zu", name, i),
						   .device = at + i * PIECE,
						   .count = left < PIECE ? left : PIECE };
	}
}

static void pieces_open(struct pieces *l, const struct train_state *s)
{
	static const char *const doubles[] = { "reference", "reference_held" };

	*l = (struct pieces){ mem_array(2 + 4 * (s->n / PIECE + 1), sizeof(struct piece)), 0 };
	for (size_t i = 0; i < ARRAY_LEN(doubles); i++)
		if (s->reference[i])
			l->items[l->n++] = (struct piece){ .name = mem_str(doubles[i]),
							   .host = s->reference[i],
							   .count = s->n_reference[i] };
	if (s->best && s->best_step)
		add_array(l, "best", s->best, s->n);
	add_array(l, "m", s->m, s->n);
	add_array(l, "v", s->v, s->n);
	add_array(l, "weights", s->params, s->n);
}

static void pieces_close(struct pieces *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->items[i].name);
	free(l->items);
}

/* ---- writing ------------------------------------------------------------------------------------------------------- */

static char *state_text(const struct train_state *s)
{
	const struct train_cursor *c = &s->cursor;
	json_t *o = json_pack("{s:I,s:I,s:I,s:I,s:I,s:f,s:f,s:f,s:I,s:i}", "step", (json_int_t)c->step, "epoch",
			      (json_int_t)c->epoch, "at", (json_int_t)c->at, "seen", (json_int_t)c->seen, "tokens",
			      (json_int_t)c->tokens, "first_loss", s->first_loss, "last_loss", s->last_loss,
			      "best_loss", s->best_loss, "best_step", (json_int_t)s->best_step, "worse", s->worse);
	struct buf text = BUF_INIT(4096);

	json_add(&text, o);
	json_decref(o);
	return buf_take(&text);
}

struct writer {
	struct backend *be;
	struct pieces pieces;
	float *host; /* a piece */
	uint64_t hash;
};

/* Pieces come in the order of the file, so the hash is complete when it is asked for. */
static const void *next_piece(size_t i, void *arg)
{
	struct writer *w = arg;
	if (i == w->pieces.n)
		return &w->hash;
	const struct piece *p = &w->pieces.items[i];
	const void *data = p->device ? (const void *)w->host : p->host;
	if (p->device) {
		w->be->download(w->be, w->host, p->device, piece_bytes(p));
		if (w->be->sync(w->be))
			return NULL;
	}
	w->hash = checkpoint_hash(w->hash, data, piece_bytes(p));
	return data;
}

static int write_file(const char *path, const struct train_state *s, struct backend *be)
{
	char *text = state_text(s);
	struct writer w = { .be = be, .hash = checkpoint_hash(0, text, strlen(text)) };
	struct safetensors_out *list;
	int rc = 0;

	pieces_open(&w.pieces, s);
	size_t n = w.pieces.n;
	list = mem_array(n + 1, sizeof(*list));
	for (size_t i = 0; i < n; i++) {
		const struct piece *p = &w.pieces.items[i];
		list[i] = (struct safetensors_out){ p->name, 1, { (int64_t)p->count, 0 }, piece_type(p) };
	}
	list[n] = (struct safetensors_out){ HASH_NAME, 1, { 2, 0 }, NULL };
	w.host = mem_try_aligned((s->n < PIECE ? s->n : PIECE) * sizeof(float));
	if (!w.host)
		rc = err_set(ERR_UNAVAILABLE, "no memory for %zu numbers", PIECE);
	if (!rc)
		rc = safetensors_write(path, list, n + 1, "assay", text, next_piece, &w);
	pieces_close(&w.pieces);
	free(list);
	free(w.host);
	free(text);
	return rc;
}

int train_state_write(const char *dir, const struct train_state *s, struct backend *be)
{
	char *prefix = state_prefix(s->fingerprint);
	char *name = mem_printf("%s%010lld.safetensors", prefix, (long long)s->cursor.step),
	     *path = path_join(dir, name);
	int rc = fs_mkdirs(dir);

	if (!rc)
		rc = fs_temp_sweep(dir);
	if (!rc)
		rc = write_file(path, s, be);
	if (!rc)
		rc = drop_old(dir, prefix, ".safetensors", KEPT);
	free(prefix);
	free(name);
	free(path);
	return rc ? err_context(rc, "writing a checkpoint") : 0;
}

/* ---- reading ------------------------------------------------------------------------------------------------------- */

static int read_text(struct train_state *s, const struct safetensors *f, uint64_t *hash)
{
	const char *text = safetensors_metadata(f, "assay");
	json_t *o = NULL;
	int rc;

	if (!text)
		return err_set(ERR_INPUT, "%s: no checkpoint of a training", f->path);
	*hash = checkpoint_hash(0, text, strlen(text));
	rc = json_parse(&o, text, strlen(text), f->path);
	if (rc)
		return rc;
	s->cursor.step = json_get_int(o, "step", -1);
	s->cursor.epoch = json_get_int(o, "epoch", -1);
	s->cursor.at = json_get_int(o, "at", -1);
	s->cursor.seen = json_get_int(o, "seen", -1);
	s->cursor.tokens = json_get_int(o, "tokens", -1);
	s->first_loss = json_get_real(o, "first_loss", 0);
	s->last_loss = json_get_real(o, "last_loss", 0);
	s->best_loss = json_get_real(o, "best_loss", 0);
	s->best_step = json_get_int(o, "best_step", 0);
	s->worse = (int)json_get_int(o, "worse", 0);
	json_decref(o);
	if (s->cursor.step < 1 || s->cursor.epoch < 0 || s->cursor.at < 0 || s->cursor.seen < 0 || s->cursor.tokens < 0)
		return err_set(ERR_INPUT, "%s: its position is not readable", f->path);
	return 0;
}

static int find_piece(const struct safetensors_entry **out, const struct safetensors *f, const struct piece *p)
{
	const struct safetensors_entry *e = *out = safetensors_find(f, p->name);

	if (!e || strcmp(e->dtype, piece_type(p)) != 0 || e->count != p->count)
		return err_set(ERR_INPUT, "%s: \"%s\" is missing or has the wrong size", f->path, p->name);
	return 0;
}

static int check_hash(const struct safetensors *f, const struct pieces *l, uint64_t hash)
{
	const struct safetensors_entry *e;
	uint64_t want;

	for (size_t i = 0; i < l->n; i++) {
		int rc = find_piece(&e, f, &l->items[i]);
		if (rc)
			return rc;
		hash = checkpoint_hash(hash, e->data, piece_bytes(&l->items[i]));
	}
	e = safetensors_find(f, HASH_NAME);
	if (!e || e->end - e->begin != sizeof(want))
		return err_set(ERR_INPUT, "%s: its hash is missing", f->path);
	memcpy(&want, e->data, sizeof(want));
	if (hash != want)
		return err_set(ERR_INPUT, "%s: its bytes have changed since it was written", f->path);
	return 0;
}

static int read_file(struct train_state *s, const char *path, struct backend *be)
{
	struct train_state state = *s;
	struct safetensors f = { 0 };
	struct pieces l = { NULL, 0 };
	uint64_t hash = 0;
	int rc = safetensors_open(&f, path);

	if (!rc)
		rc = read_text(&state, &f, &hash);
	if (!rc) {
		pieces_open(&l, &state);
		rc = check_hash(&f, &l, hash);
	}
	for (size_t i = 0; !rc && i < l.n; i++) {
		const struct safetensors_entry *e;
		const struct piece *p = &l.items[i];
		rc = find_piece(&e, &f, p);
		if (!rc && p->device)
			be->upload(be, p->device, e->data, piece_bytes(p));
		else if (!rc)
			memcpy(p->host, e->data, piece_bytes(p));
	}
	if (!rc)
		rc = be->sync(be);
	if (!rc)
		*s = state;
	pieces_close(&l);
	safetensors_close(&f);
	return rc;
}

int train_state_read(const char *dir, struct train_state *s, struct backend *be)
{
	char *prefix = state_prefix(s->fingerprint);
	struct names l = { .prefix = prefix, .suffix = ".safetensors" };
	int rc = fs_is_dir(dir) ? fs_list(dir, add_name, &l) : 0, found = ERR_NOTFOUND;

	for (size_t i = l.n; !rc && found == ERR_NOTFOUND && i-- > 0;) {
		char *path = path_join(dir, l.items[i]);
		int got = read_file(s, path, be);
		if (!got)
			found = 0;
		else if (got == ERR_INPUT)
			log_warn("a checkpoint is passed over: %s", err_text());
		else
			rc = got;
		free(path);
	}
	names_release(&l);
	free(prefix);
	return rc ? rc : found ? err_set(ERR_NOTFOUND, "%s: no checkpoint of this training", dir) : 0;
}
