/* store_sealed.c: files whose name is not the digest of their bytes, and so carry a digest of their own.
 *
 *	16 bytes  the kind, as text: "assay-recipes/1\n"
 *	n         the body
 *	32        SHA-256 of all before
 *
 *	HOME/recipes/ab/cdef…  body: a row of pieces (pieces.c); put behind each other they are the object abcdef…
 *	HOME/deltas/ab/cdef…   body: 32 bytes SHA-256 of a base piece, u64 length, a difference (delta.c); the piece abcdef…
 *	HOME/pieces/ab/cdef…   body: a row of pieces, into which the whole object abcdef… can be cut; made again if it is lost
 *
 * A damaged one is moved to bad/ as any file of the store. That what is put together has the name is still checked on
 * every read: the seal only says which file is at fault. */
#include "base/base.h"

#include "artifacts/artifacts_int.h"

enum { KIND = SEALED_KIND, SEAL = 32 };

static void kind_of(char out[KIND + 1], const char *vault)
{
	snprintf(out, KIND + 1, "assay-%s/1", vault);
	for (size_t i = strlen(out); i < KIND; i++)
		out[i] = '\n';
	out[KIND] = '\0';
}

int sealed_write(struct store *s, const char *vault, const char *hex, const struct buf *body)
{
	struct buf all = BUF_INIT(SEALED_MAX);
	char kind[KIND + 1];
	struct digest d;
	int rc;

	kind_of(kind, vault);
	buf_add(&all, kind, KIND);
	buf_add(&all, buf_str(body), body->len);
	d = digest_bytes(all.data, all.len);
	buf_add(&all, d.bytes, SEAL);
	rc = buf_full(&all) ? err_set(ERR_INPUT, "%s/%s is too large", vault, hex)
			    : store_write(s, vault, hex, all.data, all.len);
	buf_release(&all);
	return rc;
}

int sealed_open(const char *vault, const uint8_t *data, size_t len, const uint8_t **body, size_t *body_len)
{
	char kind[KIND + 1];
	struct digest d;

	kind_of(kind, vault);
	if (len < KIND + SEAL || memcmp(data, kind, KIND))
		return err_set(ERR_INPUT, "it does not begin as one of %s/", vault);
	d = digest_bytes(data, len - SEAL);
	if (memcmp(d.bytes, data + len - SEAL, SEAL))
		return err_set(ERR_INPUT, "its content has another digest than it ends with");
	*body = data + KIND;
	*body_len = len - KIND - SEAL;
	return 0;
}

int sealed_read(struct store *s, const char *vault, const char *hex, struct buf *out)
{
	char *path = store_file(s, vault, hex);
	struct buf all = BUF_INIT(SEALED_MAX);
	const uint8_t *body;
	size_t len;
	int rc = store_name_check(hex);

	buf_clear(out);
	if (!rc && !store_there(s, vault, hex))
		rc = err_set(ERR_NOTFOUND, "%s/%s is not in the store", vault, hex);
	rc = rc ? rc : fs_read(&all, path, SEALED_MAX);
	if (!rc && sealed_open(vault, (const uint8_t *)buf_str(&all), all.len, &body, &len)) {
		char *why = mem_str(err_text());

		rc = store_quarantine(s, vault, hex, why);
		free(why);
	} else if (!rc) {
		buf_add(out, body, len);
		rc = buf_full(out) ? err_set(ERR_INPUT, "%s/%s is too large", vault, hex) : 0;
	}
	buf_release(&all);
	free(path);
	return rc;
}
