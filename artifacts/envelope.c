/* envelope.c: DSSE 1.0.2 (github.com/secure-systems-lab/dsse) with Ed25519 (RFC 8032), by OpenSSL.
 *
 * What is signed is not the text but its pre-authentication encoding, which has the type in it, so that a signed text of one
 * kind cannot pass for one of another:
 *
 *	"DSSEv1" SP LEN(type) SP type SP LEN(body) SP body
 *
 * The body is decoded once, and what was verified is what is given out. A keyid is a hint to readers and decides nothing. */
#include "base/base.h"

#include "artifacts/artifacts_int.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

enum { SIGNATURE = 64, KEY_FILE_MAX = 1 << 16, SIGNATURES_MAX = 16 };

#define BODY_MAX ((size_t)64 << 20)

struct signing_key {
	EVP_PKEY *pkey;
	char id[DIGEST_HEX];
};

/* ---- keys ------------------------------------------------------------------------------------ */

/* Never asks a terminal. */
static int no_passphrase(char *out, int size, int writing, void *arg)
{
	(void)out;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

static int name_key(struct signing_key *k)
{
	unsigned char *der = NULL;
	int len = i2d_PUBKEY(k->pkey, &der);
	struct digest d;

	if (len <= 0)
		return err_set(ERR_BUG, "a public key could not be written");
	d = digest_bytes(der, (size_t)len);
	digest_hex(k->id, &d);
	OPENSSL_free(der);
	return 0;
}

static int key_read(struct signing_key **out, const char *path, bool private)
{
	struct signing_key *k = mem_alloc(sizeof(*k));
	struct buf text = BUF_INIT(KEY_FILE_MAX);
	int rc = fs_read(&text, path, KEY_FILE_MAX);
	BIO *bio = rc ? NULL : BIO_new_mem_buf(buf_str(&text), (int)text.len);

	*k = (struct signing_key){ NULL, "" };
	if (bio)
		k->pkey = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	if (bio && !k->pkey && !private) {
		BIO_reset(bio);
		k->pkey = PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL);
	}
	if (!rc && (!k->pkey || EVP_PKEY_get_base_id(k->pkey) != EVP_PKEY_ED25519))
		rc = err_hint(err_set(ERR_INPUT, "%s: no %s Ed25519 key without a passphrase, in PEM", path,
				      private ? "private" : "public"),
			      private ? "make one: openssl genpkey -algorithm ed25519 -out key.pem"
				      : "take it from the private one: openssl pkey -in key.pem -pubout -out key.pub");
	rc = rc ? rc : name_key(k);
	BIO_free(bio);
	if (text.data)
		OPENSSL_cleanse(text.data, text.len);
	buf_release(&text);
	if (rc)
		signing_key_free(k);
	else
		*out = k;
	return rc;
}

int signing_key_private(struct signing_key **out, const char *path)
{
	return key_read(out, path, true);
}

int signing_key_public(struct signing_key **out, const char *path)
{
	return key_read(out, path, false);
}

void signing_key_free(struct signing_key *k)
{
	if (!k)
		return;
	EVP_PKEY_free(k->pkey);
	free(k);
}

const char *signing_key_id(const struct signing_key *k)
{
	return k->id;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static void encode(struct buf *out, const char *type, const char *body, size_t len)
{
	buf_addf(out, "DSSEv1 %zu %s %zu ", strlen(type), type, len);
	buf_add(out, body, len);
}

static json_t *base64(const void *data, size_t len)
{
	char *text = mem_alloc(4 * ((len + 2) / 3) + 1);
	json_t *v;

	EVP_EncodeBlock((unsigned char *)text, data, (int)len);
	v = json_string(text);
	free(text);
	return v;
}

/* Standard base64 with its padding, and nothing else. */
static bool unbase64(struct buf *out, const json_t *v)
{
	const char *s = json_string_value(v);
	size_t len = s ? json_string_length(v) : 0, pad = 0;
	unsigned char *raw;
	bool ok;

	if (!s || len % 4 || len > BODY_MAX / 3 * 4)
		return false;
	while (pad < 2 && len > pad && s[len - 1 - pad] == '=')
		pad++;
	for (size_t i = 0; i < len - pad; i++)
		if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", s[i]) || !s[i])
			return false;
	raw = mem_alloc(len / 4 * 3 + 1);
	ok = EVP_DecodeBlock(raw, (const unsigned char *)s, (int)len) == (int)(len / 4 * 3);
	if (ok)
		buf_add(out, (const char *)raw, len / 4 * 3 - pad);
	free(raw);
	return ok;
}

/* ---- signing and opening --------------------------------------------------------------------- */

int envelope_sign(json_t **out, const struct signing_key *k, const char *type, const char *body, size_t len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	struct buf pae = BUF_INIT(BUF_NOLIMIT);
	unsigned char sig[SIGNATURE];
	size_t n = sizeof(sig);
	bool ok;

	encode(&pae, type, body, len);
	ok = len <= BODY_MAX && ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, k->pkey) == 1 &&
	     EVP_DigestSign(ctx, sig, &n, (const unsigned char *)buf_str(&pae), pae.len) == 1 && n == sizeof(sig);
	EVP_MD_CTX_free(ctx);
	buf_release(&pae);
	if (!ok)
		return err_set(ERR_BUG, "the key cannot sign this");
	*out = json_pack("{s:o,s:s,s:[{s:s,s:o}]}", "payload", base64(body, len), "payloadType", type, "signatures",
			 "keyid", k->id, "sig", base64(sig, n));
	return 0;
}

static bool is_signed(const json_t *envelope, const struct signing_key *k, const struct buf *pae)
{
	const json_t *list = json_object_get(envelope, "signatures");
	bool found = false;

	for (size_t i = 0; i < json_array_size(list) && i < SIGNATURES_MAX && !found; i++) {
		struct buf sig = BUF_INIT(BUF_NOLIMIT);
		EVP_MD_CTX *ctx = EVP_MD_CTX_new();

		found = unbase64(&sig, json_object_get(json_array_get(list, i), "sig")) && sig.len == SIGNATURE &&
			ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, k->pkey) == 1 &&
			EVP_DigestVerify(ctx, (const unsigned char *)buf_str(&sig), sig.len,
					 (const unsigned char *)buf_str(pae), pae->len) == 1;
		EVP_MD_CTX_free(ctx);
		buf_release(&sig);
	}
	return found;
}

int envelope_open(struct buf *body, const json_t *envelope, const struct signing_key *k, const char *type,
		  const char *name)
{
	struct buf text = BUF_INIT(BUF_NOLIMIT), pae = BUF_INIT(BUF_NOLIMIT);
	const char *said = json_get_text(envelope, "payloadType", "");
	int rc = 0;

	if (strcmp(said, type) != 0)
		rc = err_set(ERR_INPUT, "%s: a signed text of the type \"%.60s\", not %s", name, said, type);
	else if (!unbase64(&text, json_object_get(envelope, "payload")))
		rc = err_set(ERR_INPUT, "%s: its payload is no base64", name);
	if (!rc) {
		encode(&pae, type, buf_str(&text), text.len);
		if (!is_signed(envelope, k, &pae))
			rc = err_set(ERR_INPUT, "%s: not signed by the key %.12s", name, k->id);
	}
	if (!rc)
		buf_add(body, buf_str(&text), text.len);
	buf_release(&text);
	buf_release(&pae);
	return rc;
}
