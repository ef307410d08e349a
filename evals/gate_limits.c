/* gate_limits.c: what a model may take: time, money, bytes. Not about scores, and counted, not tested.
 *
 *	limits: {time: 1800, size: 2G, cost: 5, price: 2.5}
 *
 * time is what training took when it was done (a model that is reused took what it took) and what this run's evaluation
 * took; cost is time at price an hour; size is what the model's files hold. Time is of the machine that ran: a limit close to what
 * is usual fails on a busy day. What nobody knows, as of two files of scores, is INCONCLUSIVE. */
#include "base/base.h"

#include <math.h>

#include "evals/gate_int.h"

struct amount {
	const char *name;
	double used, limit;
	void (*text)(struct buf *out, double x);
};

static void seconds_text(struct buf *out, double x)
{
	if (x < 120)
		buf_addf(out, "%.3g s", x);
	else if (x < 7200)
		buf_addf(out, "%.1f min", x / 60);
	else
		buf_addf(out, "%.1f h", x / 3600);
}

static void bytes_text(struct buf *out, double x)
{
	static const char *const units[] = { "bytes", "kB", "MB", "GB", "TB" };
	size_t i = 0;

	for (; x >= 1000 && i + 1 < ARRAY_LEN(units); i++)
		x /= 1000;
	buf_addf(out, i ? "%.4g %s" : "%.0f %s", x, units[i]);
}

static void cost_text(struct buf *out, double x)
{
	buf_addf(out, "%.2f", x);
}

static void amount_judge(struct gate_result_rule *row, const struct amount *a)
{
	struct buf text = BUF_INIT(1024), limit = BUF_INIT(256);

	*row = (struct gate_result_rule){ .rule = mem_printf("run.%s: limit %.10g", a->name, a->limit),
					  .task = mem_str("run"),
					  .metric = mem_str(a->name),
					  .filter = mem_str("none"),
					  .baseline = NAN,
					  .candidate = a->used,
					  .delta = NAN,
					  .lo = NAN,
					  .hi = NAN,
					  .p = NAN,
					  .method = isnan(a->used) ? "none" : "measured",
					  .verdict = isnan(a->used)        ? VERDICT_INCONCLUSIVE
						     : a->used <= a->limit ? VERDICT_PASS
									   : VERDICT_FAIL,
					  .gated = true };
	a->text(&limit, a->limit);
	if (isnan(a->used)) {
		buf_addf(&text,
			 "%s is not known of stored scores, and no number of samples tells it; at most %s allowed",
			 a->name, buf_str(&limit));
	} else {
		a->text(&text, a->used);
		buf_addf(&text, "; at most %s allowed", buf_str(&limit));
	}
	row->explanation = buf_take(&text);
	buf_release(&limit);
}

size_t gate_limits_judge(struct gate_result_rule *rows, const struct gate_limits *l, const struct gate_usage *u)
{
	const struct amount amounts[] = {
		{ "time", u ? u->seconds : NAN, l->seconds, seconds_text },
		{ "size", u ? u->bytes : NAN, l->bytes, bytes_text },
		{ "cost", u ? u->seconds / 3600 * l->price : NAN, l->cost, cost_text },
	};
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(amounts); i++)
		if (amounts[i].limit > 0)
			amount_judge(&rows[n++], &amounts[i]);
	return n;
}

/* "2G" and the like, in powers of 1024 as everywhere here; or a number of bytes. */
static int parse_size(const struct yaml *y, const json_t *map, double *out)
{
	static const char units[] = "KMGT";
	const json_t *v = json_object_get(map, "size");
	const char *text = json_string_value(v), *unit;
	char *end;

	if (!v)
		return 0;
	if (json_is_number(v)) {
		*out = json_number_value(v);
	} else if (text) {
		*out = strtod(text, &end);
		unit = *end ? strchr(units, *end) : NULL;
		if (end == text || !unit || end[1])
			return yaml_error(y, map, "size", "size is \"%.40s\": a number of bytes, or as in 500M, 2G",
					  text);
		for (const char *u = units; u <= unit; u++)
			*out *= 1024;
	}
	return *out > 0 ? 0 : yaml_error(y, map, "size", "size must be above 0");
}

int gate_limits_parse(struct gate_limits *l, const struct yaml *y, const json_t *gate)
{
	static const char *const known[] = { "time", "size", "cost", "price" };
	json_t *map = NULL;
	int rc = yaml_get_object(y, gate, "limits", &map);

	*l = (struct gate_limits){ 0 };
	if (rc || !map)
		return rc;
	rc = yaml_check_keys(y, map, "limits", known, ARRAY_LEN(known));
	rc = rc ? rc : yaml_get_real(y, map, "time", 1e-3, 1e9, &l->seconds);
	rc = rc ? rc : parse_size(y, map, &l->bytes);
	rc = rc ? rc : yaml_get_real(y, map, "cost", 1e-9, 1e12, &l->cost);
	rc = rc ? rc : yaml_get_real(y, map, "price", 1e-9, 1e9, &l->price);
	if (!rc && (l->cost > 0) != (l->price > 0))
		rc = yaml_error(y, map, l->cost > 0 ? "cost" : "price", "cost is time at a price an hour: give both");
	if (!rc && !(l->seconds > 0) && !(l->bytes > 0) && !(l->cost > 0))
		rc = yaml_error(y, gate, "limits", "limits needs time, size, or cost with price");
	return rc;
}
