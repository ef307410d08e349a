/* lfs.c: Git LFS pointers, resolved from the local LFS store by the SHA-256 that they name, and checked against it.
 *
 * A checkout with LFS left out (the default of actions/checkout) leaves pointers, and a pointer is never taken for data:
 * without its object the read fails, and says what to do. Nothing is fetched here. */
#include "base/base.h"
#include "base/digest.h"
#include "runner/repo_int.h"

#define FILE_MAX ((size_t)8 << 30)

/* An LFS pointer is a small text with the digest and the size of what it stands for. hex: "" where it names none. */
static bool lfs_pointer(const struct buf *b, char hex[DIGEST_HEX])
{
	static const char head[] = "version https://git-lfs.github.com/spec/v1\n", name[] = "\noid sha256:";
	const char *oid;

	if (b->len > 1024 || b->len < sizeof(head) || memcmp(b->data, head, sizeof(head) - 1) != 0)
		return false;
	*hex = 0;
	oid = memmem(b->data, b->len, name, sizeof(name) - 1);
	oid = oid ? oid + sizeof(name) - 1 : "";
	if (strspn(oid, "0123456789abcdef") == 64 && (oid[64] == '\n' || oid[64] == '\r' || !oid[64])) {
		memcpy(hex, oid, 64);
		hex[64] = 0;
	}
	return true;
}

int lfs_resolve(struct repo *r, const char *path, struct buf *b)
{
	char hex[DIGEST_HEX], got[DIGEST_HEX], *file;
	struct digest d;
	int rc;

	if (!r || !lfs_pointer(b, hex))
		return 0;
	if (!*hex) {
		rc = err_set(ERR_INPUT, "%s begins as a Git LFS pointer and has no line \"oid sha256:\" with 64 digits",
			     path);
		return err_hint(
			rc,
			"add the file again with git lfs, or write it back: git lfs pointer --file shows a right one");
	}
	file = mem_printf("%slfs/objects/%.2s/%.2s/%s", r->common, hex, hex + 2, hex);
	buf_clear(b);
	rc = fs_read(b, file, FILE_MAX);
	if (rc == ERR_NOTFOUND) {
		rc = err_set(ERR_INPUT, "%s is a Git LFS pointer and its object %.12s is not in this clone", path, hex);
		err_hint(rc,
			 "git lfs fetch (GitHub: lfs: true at actions/checkout; GitLab: GIT_LFS_SKIP_SMUDGE unset)");
	} else if (rc == 0) {
		d = digest_bytes(b->data, b->len);
		digest_hex(got, &d);
		if (strcmp(got, hex) != 0) {
			rc = err_set(ERR_INPUT, "%s: the LFS object %.12s is damaged", path, hex);
			err_hint(rc, "git lfs fsck");
		}
	}
	free(file);
	return rc;
}
