/* depot_s3.c: a remote in a bucket of an S3-compatible service.
 *
 *	s3://BUCKET/PREFIX      keys PREFIX/records/ab/cdef…, PREFIX/objects/ab/cdef…, PREFIX/claims/KEY/0000000N
 *
 * libcurl signs (Signature Version 4). The digest that the signature needs of a body is the name that the file has anyway, so the
 * server refuses what was changed on its way. An object above the part's size goes in parts, and an upload that was broken off is
 * found and gone on with: a part that is there with the right MD5 is not sent again. A key appears when the last part is
 * acknowledged, whole, so readers never see half a file.
 *
 * A claim is a PUT with If-None-Match: *, which one of all who try gets a 200 for. That is asked of the service before the first
 * claim, by a file that is there already: one that says 200 to it would let two promotions win, and is refused. Parts
 * have no such condition everywhere, but a claim is small. If-Match is not used: services differ in how it is quoted.
 *
 * Addresses are PATH style where an endpoint is given (https://HOST/BUCKET/KEY), else Amazon's (https://BUCKET.s3.REGION…). */
#include <openssl/evp.h>

#include "artifacts/depot_web.h"

#define PART_BYTES ((uint64_t)64 << 20)
enum { PARTS_MAX = 9000, IDLE_PAGES = 100 /* of a listing: without a key behind those before */ };
#define EMPTY_SHA "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define MARK "assay-remote/1\n"

struct depot_s3 {
	struct depot depot;
	struct web web;
	char *base;   /* https://…, up to the bucket, without a slash at the end */
	char *prefix; /* "" or "some/where/" */
	char *sign;   /* "aws:amz:REGION:s3" */
	const char *user, *secret;
	char *token; /* a header, or NULL */
	uint64_t part;
	bool conditional; /* it was asked, and it knows If-None-Match */
};

static struct depot_s3 *s3_of(struct depot *d)
{
	return (struct depot_s3 *)d;
}

/* ---- one request ----------------------------------------------------------------------------- */

struct ask {
	const char *method, *path,
		*query; /* path: behind the prefix; NULL: the bucket. query: sorted, escaped, or NULL */
	const struct fs_map *body;
	const char *sha;  /* of the body */
	const char *more; /* one header; NULL: none */
	bool head;
};

static char *url_of(const struct depot_s3 *s, const char *path, const char *query)
{
	return mem_printf("%s%s%s%s%s%s", s->base, "/", path ? s->prefix : "", path ? path : "", query ? "?" : "",
			  query ? query : "");
}

static void headers_of(const struct depot_s3 *s, const char *headers[8], char sha[100], const char *hex,
		       const char *more, bool body)
{
	size_t n = 0;

	snprintf(sha, 100, "x-amz-content-sha256: %.64s", hex);
	headers[n++] = sha;
	if (s->token)
		headers[n++] = s->token;
	if (more)
		headers[n++] = more;
	if (body)
		headers[n++] = "Content-Type: application/octet-stream";
	headers[n] = NULL;
}

static struct http_request request_of(const struct depot_s3 *s, const char *url)
{
	return (struct http_request){ .url = url, .sign = s->sign, .user = s->user, .secret = s->secret };
}

static int ask(struct depot_s3 *s, const struct ask *a, struct http_response *out)
{
	char *url = url_of(s, a->path, a->query), sha[100];
	const char *headers[8];
	struct http_request r = request_of(s, url);
	int rc;

	headers_of(s, headers, sha, a->body ? a->sha : EMPTY_SHA, a->more, a->body);
	r.method = a->method;
	r.headers = headers;
	r.head = a->head;
	if (a->body) {
		r.body = (const char *)a->body->data;
		r.len = a->body->len;
	}
	rc = web_ask(&s->web, &r, out);
	free(url);
	return rc;
}

/* One that shall be answered with 200 or 204; *out is released unless it is wanted. */
static int ask_ok(struct depot_s3 *s, const struct ask *a, const char *what, struct http_response *out)
{
	struct http_response own;
	int rc = ask(s, a, &own);

	if (rc)
		return rc;
	if (own.status != 200 && own.status != 204)
		rc = web_refusal(&s->web, &own, what);
	if (rc || !out)
		buf_release(&own.body);
	else
		*out = own;
	return rc;
}

/* ---- XML: elements that have text alone, in order -------------------------------------------- */

/* The next <name>text</name> from *at on, cut to max; false: there is none. Keys and numbers of ours have no entities. */
static bool xml_next(const char **at, const char *name, char *out, size_t max)
{
	char *open = mem_printf("<%s>", name);
	const char *from = strstr(*at, open), *end;
	size_t len;

	from = from ? from + strlen(open) : NULL;
	free(open);
	end = from ? strchr(from, '<') : NULL;
	if (!end)
		return false;
	len = (size_t)(end - from);
	if (len >= max)
		len = 0; /* none of ours is so long */
	memcpy(out, from, len);
	out[len] = 0;
	*at = end;
	return true;
}

/* ---- listing --------------------------------------------------------------------------------- */

static int list_page(struct depot_s3 *s, const char *under, const char *token, struct http_response *out)
{
	struct buf query = BUF_INIT(1 << 14);
	struct ask a = { 0 };
	int rc;

	if (*token) {
		buf_adds(&query, "continuation-token=");
		web_escape(&query, token);
		buf_addc(&query, '&');
	}
	buf_adds(&query, "list-type=2&max-keys=1000&prefix=");
	web_escape(&query, s->prefix);
	web_escape(&query, under);
	a.query = buf_str(&query);
	rc = ask_ok(s, &a, "it is to be listed", out);
	buf_release(&query);
	return rc == ERR_NOTFOUND ? ERR_INPUT : rc;
}

/* The size of the key that was read last, which stands before the next one. */
static uint64_t size_of(const char *at)
{
	const char *next = strstr(at, "<Key>"), *from = at;
	char digits[24], *end;
	unsigned long long n;

	if (!xml_next(&from, "Size", digits, sizeof(digits)) || (next && from > next) || !*digits)
		return DEPOT_NO_SIZE;
	n = strtoull(digits, &end, 10);
	return *end ? DEPOT_NO_SIZE : n;
}

/* A page that is not whole, or something else that was answered with 200 (a login page, an <Error>, nothing), would pass for an
 * empty memory. Whole: from <ListBucketResult to its end, and with a token where it says that there is more (ListObjectsV2).
 * token: empty behind the last page. */
static int list_next(const struct depot_s3 *s, const char *text, char *token, size_t max)
{
	static const char end[] = "</ListBucketResult>";
	const char *from = strstr(text, "<ListBucketResult"), *to = from ? strstr(from, end) : NULL, *at = text;
	char more[8] = "";
	int rc = 0;

	if (!xml_next(&at, "NextContinuationToken", token, max))
		*token = 0;
	at = text;
	if (!to || to[sizeof(end) - 1 + strspn(to + sizeof(end) - 1, " \t\r\n")]) {
		rc = err_set(ERR_INPUT, "%s: what it answered is no listing, or not the whole of one", s->depot.name);
		err_hint(rc, "see that the address is that of an S3 service, and that nothing stands between (a login "
			     "page, a proxy)");
	} else if (!*token && xml_next(&at, "IsTruncated", more, sizeof(more)) && !strcmp(more, "true")) {
		rc = err_set(ERR_INPUT, "%s: its listing is cut, and nothing says where it goes on", s->depot.name);
	}
	return rc;
}

/* Calls each(rest of the key, size, arg) for all keys beneath. Keys come in their order, so one that gives
 * tokens and no new keys for ever is left. */
static int list(struct depot_s3 *s, const char *under, void (*each)(const char *rest, uint64_t size, void *arg),
		void *arg)
{
	size_t skip = strlen(s->prefix) + strlen(under);
	char key[1100], far[1100] = "", token[2048] = "", last[2048] = "";
	bool more = true;
	int rc = 0;

	for (int idle = 0; !rc && more; idle++) {
		struct http_response out;
		const char *at;

		rc = list_page(s, under, token, &out);
		if (rc)
			break;
		rc = list_next(s, buf_str(&out.body), token, sizeof(token));
		more = *token != 0;
		at = rc ? "" : buf_str(&out.body);
		while (xml_next(&at, "Key", key, sizeof(key)))
			if (strlen(key) > skip && !strncmp(key, s->prefix, strlen(s->prefix))) {
				each(key + skip, size_of(at), arg);
				if (strcmp(key, far) > 0) {
					snprintf(far, sizeof(far), "%s", key);
					idle = -1;
				}
			}
		if (!rc && more && (!strcmp(token, last) || idle >= IDLE_PAGES))
			rc = err_set(ERR_INPUT, "%s: its listing goes round in a circle", s->depot.name);
		snprintf(last, sizeof(last), "%s", token);
		buf_release(&out.body);
	}
	return rc;
}

static void add_name(const char *rest, uint64_t size, void *arg)
{
	char hex[DIGEST_HEX];

	if (strlen(rest) != DIGEST_HEX || rest[2] != '/')
		return;
	snprintf(hex, sizeof(hex), "%.2s%.62s", rest, rest + 3);
	depot_list_add(arg, hex, size);
}

static int s3_list(struct depot *d, const char *vault, struct depot_list *out)
{
	char under[32];

	snprintf(under, sizeof(under), "%.20s/", vault);
	return list(s3_of(d), under, add_name, out);
}

static void last_claim(const char *rest, uint64_t size, void *arg)
{
	int64_t n = depot_claim_number(rest), *last = arg;

	(void)size;
	*last = n > *last ? n : *last;
}

static int s3_last(struct depot *d, const char *key, int64_t *n)
{
	char under[DEPOT_PATH];

	*n = 0;
	snprintf(under, sizeof(under), VAULT_CLAIMS "/%.64s/", key);
	return list(s3_of(d), under, last_claim, n);
}

/* ---- reading --------------------------------------------------------------------------------- */

static int s3_size(struct depot *d, const char *path, uint64_t *size)
{
	struct depot_s3 *s = s3_of(d);
	struct ask a = { .path = path, .head = true };
	struct http_response out;
	int rc = ask(s, &a, &out);

	*size = 0; /* only a dry run shows it */
	if (rc)
		return rc;
	if (out.status == 404)
		rc = err_set(ERR_NOTFOUND, "%s is not there", path);
	else if (out.status != 200)
		rc = web_refusal(&s->web, &out, "a file is to be looked at");
	buf_release(&out.body);
	return rc;
}

static int s3_get(struct depot *d, const char *path, uint64_t from, depot_put *put, void *arg)
{
	struct depot_s3 *s = s3_of(d);
	char *url = url_of(s, path, NULL), sha[100];
	const char *headers[8];
	struct http_request r = request_of(s, url);
	int rc;

	headers_of(s, headers, sha, EMPTY_SHA, NULL, false);
	rc = web_get(&s->web, &r, headers, from, put, arg);
	free(url);
	return rc;
}

/* ---- large objects in parts ------------------------------------------------------------------ */

struct upload {
	struct depot_s3 *s;
	const char *path;
	char id[1100]; /* of the upload; "": none */
	uint64_t part;
	struct buf done; /* the list that completes it */
};

static void md5_hex(char out[33], const uint8_t *data, size_t len)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	EVP_Digest(data, len, sum, &n, EVP_md5(), NULL);
	for (unsigned i = 0; i < 16 && i < n; i++)
		snprintf(out + (size_t)i * 2, 3, "%02x", sum[i]);
}

/* One of this key that was broken off, if there is one. */
static int find_upload(struct upload *u)
{
	struct buf query = BUF_INIT(4096);
	struct ask a = { 0 };
	struct http_response out;
	char key[1100], id[1100], *want = mem_printf("%s%s", u->s->prefix, u->path);
	const char *at;
	int rc;

	buf_adds(&query, "prefix=");
	web_escape(&query, want);
	buf_adds(&query, "&uploads=");
	a.query = buf_str(&query);
	rc = ask_ok(u->s, &a, "unfinished uploads are to be listed", &out);
	if (!rc) {
		for (at = buf_str(&out.body); xml_next(&at, "Key", key, sizeof(key));)
			if (xml_next(&at, "UploadId", id, sizeof(id)) && !strcmp(key, want))
				snprintf(u->id, sizeof(u->id), "%s", id);
		buf_release(&out.body);
	}
	buf_release(&query);
	free(want);
	return rc;
}

static int start_upload(struct upload *u)
{
	const struct fs_map none = { (const uint8_t *)"", 0 };
	struct ask a = { .method = "POST", .path = u->path, .query = "uploads=", .body = &none, .sha = EMPTY_SHA };
	struct http_response out;
	const char *at;
	int rc = find_upload(u);

	if (rc == ERR_INPUT || rc == ERR_NOTFOUND || rc == ERR_UNAVAILABLE) { /* it may not be allowed to us */
		err_clear();
		rc = 0;
	}
	if (rc || *u->id)
		return rc;
	rc = ask_ok(u->s, &a, "an upload in parts is to begin", &out);
	if (rc)
		return rc;
	at = buf_str(&out.body);
	if (!xml_next(&at, "UploadId", u->id, sizeof(u->id)) || !*u->id)
		rc = err_set(ERR_INPUT, "%s: an upload was begun that has no id", u->s->depot.name);
	buf_release(&out.body);
	return rc;
}

static char *part_query(const struct upload *u, int number)
{
	struct buf query = BUF_INIT(1 << 13);

	if (number)
		buf_addf(&query, "partNumber=%d&", number);
	buf_adds(&query, "uploadId=");
	web_escape(&query, u->id);
	return buf_take(&query);
}

/* What an earlier attempt got through: {number: etag}. */
static json_t *parts_there(const struct upload *u)
{
	json_t *there = json_object();
	char *query = part_query(u, 0), number[32], etag[100];
	struct ask a = { .path = u->path, .query = query };
	struct http_response out;
	const char *at;

	if (!ask_ok(u->s, &a, "parts are to be listed", &out)) {
		for (at = buf_str(&out.body); xml_next(&at, "PartNumber", number, sizeof(number));) {
			const char *tag = at;

			if (xml_next(&tag, "ETag", etag, sizeof(etag))) {
				char *hex = strlen(etag) >= 32 ? strpbrk(etag, "0123456789abcdef") : NULL;

				if (hex && strspn(hex, "0123456789abcdef") >= 32) {
					hex[32] = 0;
					json_object_set_new(there, number, json_string(hex));
				}
			}
		}
		buf_release(&out.body);
	}
	err_clear();
	free(query);
	return there;
}

static int send_part(struct upload *u, int number, const struct fs_map *part, const json_t *there)
{
	char *query = part_query(u, number), md5[33] = "", sha[DIGEST_HEX], key[32], etag[80];
	struct ask a = { .method = "PUT", .path = u->path, .query = query, .body = part, .sha = sha };
	struct http_response out;
	struct digest d;
	int rc = 0;

	md5_hex(md5, part->data, part->len);
	snprintf(key, sizeof(key), "%d", number);
	if (!strcmp(json_get_text(there, key, ""), md5)) {
		snprintf(etag, sizeof(etag), "%s", md5);
	} else {
		d = digest_bytes(part->data, part->len);
		digest_hex(sha, &d);
		rc = ask_ok(u->s, &a, "a part is to be written", &out);
		if (!rc) {
			snprintf(etag, sizeof(etag), "%s", out.etag);
			buf_release(&out.body);
		}
	}
	if (!rc)
		buf_addf(&u->done, "<Part><PartNumber>%d</PartNumber><ETag>\"%s\"</ETag></Part>", number, etag);
	free(query);
	return rc;
}

static int finish_upload(struct upload *u)
{
	char *query = part_query(u, 0), sha[DIGEST_HEX];
	struct fs_map body;
	struct ask a = { .method = "POST", .path = u->path, .query = query, .body = &body, .sha = sha };
	struct http_response out;
	struct digest d;
	uint64_t size;
	int rc;

	buf_adds(&u->done, "</CompleteMultipartUpload>");
	body = (struct fs_map){ (const uint8_t *)buf_str(&u->done), u->done.len };
	d = digest_bytes(body.data, body.len);
	digest_hex(sha, &d);
	rc = ask_ok(u->s, &a, "an upload is to be completed", &out);
	if (rc == ERR_NOTFOUND) /* another has completed it, or the answer to our own got lost */
		rc = s3_size(&u->s->depot, u->path, &size);
	else if (!rc && strstr(buf_str(&out.body), "<Error>"))
		rc = web_refusal(&u->s->web, &out, "an upload is to be completed");
	else if (!rc)
		buf_release(&out.body);
	free(query);
	return rc;
}

static int put_parts(struct depot_s3 *s, const char *path, const struct fs_map *bytes)
{
	struct upload u = { .s = s, .path = path, .part = s->part, .done = BUF_INIT(4 << 20) };
	json_t *there = NULL;
	int number = 1, rc = start_upload(&u);

	while (bytes->len / u.part > PARTS_MAX)
		u.part *= 2;
	if (!rc)
		there = parts_there(&u);
	buf_adds(&u.done, "<CompleteMultipartUpload>");
	for (uint64_t at = 0; !rc && at < bytes->len; at += u.part, number++) {
		const struct fs_map part = { bytes->data + at,
					     (size_t)(bytes->len - at < u.part ? bytes->len - at : u.part) };

		rc = send_part(&u, number, &part, there);
	}
	rc = rc ? rc : finish_upload(&u);
	json_decref(there);
	buf_release(&u.done);
	return rc;
}

/* ---- writing --------------------------------------------------------------------------------- */

static int s3_put(struct depot *d, const char *path, const struct fs_map *bytes, const char *hex)
{
	struct depot_s3 *s = s3_of(d);
	const struct ask a = { .method = "PUT", .path = path, .body = bytes, .sha = hex };

	return bytes->len > s->part ? put_parts(s, path, bytes) : ask_ok(s, &a, "a file is to be written", NULL);
}

/* A PUT if there is nothing of that name: *status 200, or 412. */
static int put_new(struct depot_s3 *s, const char *path, const struct fs_map *bytes, const char *hex, long *status)
{
	const struct ask a = { .method = "PUT", .path = path, .body = bytes, .sha = hex, .more = "If-None-Match: *" };
	struct http_response out;
	int rc;

	for (int i = 0; i < 10; i++) { /* 409: two at a time, and nobody has won yet */
		rc = ask(s, &a, &out);
		if (rc)
			return rc;
		*status = out.status == 204 ? 200 : out.status;
		if (*status != 200 && *status != 412 && *status != 409)
			rc = web_refusal(&s->web, &out, "a claim is to be made");
		buf_release(&out.body);
		if (rc || *status != 409)
			break;
	}
	if (!rc && *status == 409)
		rc = err_set(ERR_UNAVAILABLE, "%s: too many make one claim at a time", s->depot.name);
	return rc;
}

/* Does the service keep the promise that claims rest on? */
static int probe(struct depot_s3 *s)
{
	const struct fs_map mark = { (const uint8_t *)MARK, sizeof(MARK) - 1 };
	struct digest d = digest_bytes(MARK, sizeof(MARK) - 1);
	char hex[DIGEST_HEX];
	long status = 200;
	int rc = 0;

	digest_hex(hex, &d);
	if (s->conditional)
		return 0;
	for (int i = 0; !rc && i < 2 && status == 200; i++)
		rc = put_new(s, "assay-remote", &mark, hex, &status);
	if (!rc && status == 200) {
		rc = err_set(ERR_ENV, "%s ignores If-None-Match: two promotions could both win there", s->depot.name);
		err_hint(rc, "take a service with conditional writes (Amazon S3, Ceph, MinIO), or a folder");
	}
	s->conditional = !rc;
	return rc;
}

static int same_there(struct depot *d, const char *path, const char *hex)
{
	struct buf text = BUF_INIT(RECORD_MAX);
	char found[DIGEST_HEX];
	struct digest sum;
	int rc = depot_read(d, path, &text);

	sum = digest_bytes(buf_str(&text), text.len);
	digest_hex(found, &sum);
	if (!rc && strcmp(found, hex))
		rc = err_set(ERR_EXISTS, "%s is there already", path);
	buf_release(&text);
	return rc;
}

static int s3_claim(struct depot *d, const char *path, const struct fs_map *bytes, const char *hex)
{
	struct depot_s3 *s = s3_of(d);
	long status = 0;
	int rc = probe(s);

	rc = rc ? rc : put_new(s, path, bytes, hex, &status);
	if (!rc && status == 412) /* or it is our own, whose answer got lost */
		rc = same_there(d, path, hex);
	return rc;
}

/* ---- open ------------------------------------------------------------------------------------ */

static void s3_close(struct depot *d)
{
	struct depot_s3 *s = s3_of(d);

	web_close(&s->web);
	free(s->base);
	free(s->prefix);
	free(s->sign);
	if (s->token)
		explicit_bzero(s->token, strlen(s->token));
	free(s->token);
	free(d->name);
	free(s);
}

static const struct depot_ops s3_ops = {
	.list = s3_list,
	.size = s3_size,
	.get = s3_get,
	.put = s3_put,
	.claim = s3_claim,
	.last = s3_last,
	.close = s3_close,
};

/* Names that need no escaping anywhere, and a prefix that is a path. */
static int address_check(const struct depot_place *p, const char *bucket, size_t n, const char *prefix)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";

	if (n < 3 || n > 63 || strspn(bucket, "abcdefghijklmnopqrstuvwxyz0123456789.-") < n)
		return err_set(ERR_INPUT, "%.200s: a bucket's name is 3 to 63 of a-z, 0-9, '.' and '-'", p->url);
	if (strspn(prefix, plain) != strlen(prefix) || strstr(prefix, "//") || strstr(prefix, "..") ||
	    strlen(prefix) > 500)
		return err_set(ERR_INPUT, "%.200s: a prefix is letters, digits, '.', '_', '-' and single slashes",
			       p->url);
	if (p->endpoint && strncmp(p->endpoint, "https://", 8) && strncmp(p->endpoint, "http://", 7))
		return err_set(ERR_INPUT, "%.200s: the endpoint of a service is https://HOST", p->endpoint);
	if (!p->user || !p->secret || !*p->user || !*p->secret) {
		err_set(ERR_ENV, "%.200s: there is no access key", p->url);
		return err_hint(ERR_ENV,
				"set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name other variables in the "
				"location's access_key and secret_key");
	}
	return 0;
}

int depot_s3_open(struct depot **out, const struct depot_place *p)
{
	const char *bucket = p->url + strlen("s3://"), *slash = strchr(bucket, '/');
	const char *region = p->region && *p->region ? p->region : "us-east-1";
	size_t n = slash ? (size_t)(slash - bucket) : strlen(bucket), len;
	struct depot_s3 *s = mem_alloc(sizeof(*s));
	int rc;

	*s = (struct depot_s3){ .depot = { &s3_ops, mem_str(p->url) }, .user = p->user, .secret = p->secret };
	s->prefix = mem_str(slash ? slash + 1 : "");
	for (len = strlen(s->prefix); len && s->prefix[len - 1] == '/'; len--)
		s->prefix[len - 1] = 0;
	rc = address_check(p, bucket, n, s->prefix);
	if (*s->prefix) {
		char *with = mem_printf("%s/", s->prefix);

		free(s->prefix);
		s->prefix = with;
	}
	if (p->endpoint)
		s->base = mem_printf("%.*s/%.*s", (int)(strlen(p->endpoint) - path_has_suffix(p->endpoint, "/")),
				     p->endpoint, (int)n, bucket);
	else
		s->base = mem_printf("https://%.*s.s3.%s.amazonaws.com", (int)n, bucket, region);
	s->sign = mem_printf("aws:amz:%s:s3", region);
	s->token = p->token && *p->token ? mem_printf("x-amz-security-token: %s", p->token) : NULL;
	s->part = p->part_bytes ? p->part_bytes : PART_BYTES;
	rc = rc ? rc : web_open(&s->web, s->depot.name);
	if (rc) {
		s3_close(&s->depot);
		return rc;
	}
	*out = &s->depot;
	return 0;
}
