/* devices.c: from what --device says to a list of devices, each of which is one rank of a training. */
#include "base/base.h"
#include "kernels/kernels.h"
#include "runner/devices.h"

enum { DEVICES_MAX = 1024 };

static void add(struct devices *d, char *item)
{
	d->items = mem_resize(d->items, (d->n + 1) * sizeof(*d->items));
	d->items[d->n++] = item;
}

void devices_release(struct devices *d)
{
	for (size_t i = 0; i < d->n; i++)
		free(d->items[i]);
	free(d->items);
	*d = (struct devices){ 0 };
}

/* A device's number as a list has it: one spelling each, so that equal names are equal devices. */
static bool is_number(const char *text, size_t len)
{
	size_t i = 0;

	while (i < len && text[i] >= '0' && text[i] <= '9')
		i++;
	return len && i == len && (len == 1 || text[0] != '0');
}

static int add_all(struct devices *d, const char *class)
{
	int n = 0, rc = backend_cuda_devices(&n);

	for (int i = 0; i < n; i++)
		add(d, mem_printf("cuda:%d%s", i, class));
	return rc;
}

static int bad_list(const char *text, const char *why)
{
	err_set(ERR_USAGE, "--device %.64s: %s", text, why);
	return err_hint(ERR_USAGE, "several devices are named like cuda:0,1 or cuda:all, with a class cuda:0,1/f32");
}

/* The item of a list, class included; NULL: it is none. */
static char *list_item(const char *at, size_t n, const char *class)
{
	static const char *const hosts[] = { "cpu", "cpu_ref" };

	for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
		if (n == strlen(hosts[i]) && memcmp(at, hosts[i], n) == 0)
			return mem_printf("%s%s", hosts[i], class);
	if (n > 5 && memcmp(at, "cuda:", 5) == 0) {
		at += 5;
		n -= 5;
	}
	return is_number(at, n) ? mem_printf("cuda:%.*s%s", (int)n, at, class) : NULL;
}

static bool is_card(const char *item)
{
	return strncmp(item, "cuda:", 5) == 0;
}

/* Why these cannot be one training's; NULL: they can. Their bits must be the same, which cards of several models find out only
 * when they are opened. */
static const char *misfit(const struct devices *d)
{
	for (size_t i = 1; i < d->n; i++) {
		if (is_card(d->items[i]) != is_card(d->items[0]) ||
		    (!is_card(d->items[i]) && strcmp(d->items[i], d->items[0]) != 0))
			return "the devices are not of one kind, and so their bits differ";
		for (size_t k = 0; k < i; k++)
			if (is_card(d->items[i]) && strcmp(d->items[i], d->items[k]) == 0)
				return "a device is named twice";
	}
	return NULL;
}

static int add_list(struct devices *d, const char *text, size_t len, const char *class)
{
	for (const char *at = text, *end = text + len; at <= end;) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		size_t n = (size_t)((comma ? comma : end) - at);
		if (!n || d->n == DEVICES_MAX)
			return bad_list(text, n ? "too many devices" : "there is nothing beside a comma");
		if (memchr(at, '/', n))
			return bad_list(text, "the class stands behind the last device, for all of them");
		char *item = list_item(at, n, class);
		if (!item)
			return bad_list(text, "in a list each has its number, without zeros in front");
		add(d, item);
		at += n + 1;
	}
	const char *why = misfit(d);
	return why ? bad_list(text, why) : 0;
}

int devices_parse(struct devices *out, const char *text)
{
	const char *class = strrchr(text, '/');
	size_t len = class ? (size_t)(class - text) : strlen(text);

	*out = (struct devices){ 0 };
	if (len == 8 && memcmp(text, "cuda:all", len) == 0)
		return add_all(out, class ? class : "");
	if (memchr(text, ',', len))
		return add_list(out, text, len, class ? class : "");
	add(out, mem_str(text));
	return 0;
}

char *devices_local(const struct devices *d, int local)
{
	const char *one = d->items[(size_t)local % d->n], *class = strchr(one, '/');
	size_t len = class ? (size_t)(class - one) : strlen(one);
	int n = 0;

	if (d->n > 1 || !((len == 4 && memcmp(one, "auto", 4) == 0) || (len == 4 && memcmp(one, "cuda", 4) == 0)))
		return mem_str(one);
	if (backend_cuda_devices(&n) || n < 1) { /* opening it says why */
		err_clear();
		return mem_str(one);
	}
	return mem_printf("cuda:%d%s", local % n, class ? class : "");
}
