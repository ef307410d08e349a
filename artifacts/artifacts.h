/* artifacts.h: the memory of the house: objects, records, the registry, leases.
 *
 * Everything lives in one folder, the home ($ASSAY_HOME, else <git common dir>/assay):
 *
 *	objects/ab/cdef…   what was made, named by the SHA-256 of its bytes; written once
 *	recipes/ deltas/   such objects in parts, where they share much with others (store_add.c)
 *	records/ab/cdef…   what happened: canonical JSON named by its SHA-256; written once
 *	registry.db        SQLite, derived from the records alone: `assay registry rebuild` makes it again
 *	leases/ work/ tmp/
 *
 * Order of writes: objects are durable before the record that names them, the record before the transaction that
 * derives its rows commits. Records not yet in the database (a crash between the two) are taken in at the next open.
 * Nothing here knows of models, suites or gates: rows are plain. */
#ifndef ASSAY_ARTIFACTS_H
#define ASSAY_ARTIFACTS_H

#include "base/base.h"
#include "base/digest.h"
#include "base/json.h"

/* ---- store ---------------------------------------------------------------------------------------------------------- */

struct store;
int store_open(struct store **out, const char *home); /* makes the folders */
void store_close(struct store *s);
const char *store_home(const struct store *s);
/* On a full disk: gives up the room that the home has for a collection; false: the disk is not full, or there is none. */
bool store_spend_reserve(struct store *s);
int store_put(struct store *s, const void *data, size_t len, char hex[DIGEST_HEX]);
int store_put_file(struct store *s, const char *path, char hex[DIGEST_HEX], uint64_t *size);
/* The object into a file of its own, verified: whole or not at all, over what was there. */
int store_get_file(struct store *s, const char *hex, const char *path, uint64_t *size);
bool store_has(const struct store *s, const char *hex);
/* Verified against its name on every read; a damaged object is moved to bad/ and is ERR_IO, an absent ERR_NOTFOUND. */
int store_get(struct store *s, const char *hex, struct buf *out, size_t max);
/* Where the object's file is if it is whole; borrowed until the next call. Not verified; need not be there: see
 * store_view_open(). */
const char *store_path(struct store *s, const char *hex);
/* A folder as one object: a manifest {"files":[{"path","object","size"}]} in path order; hex names the manifest. */
int store_put_tree(struct store *s, const char *dir, char hex[DIGEST_HEX], uint64_t *size);
/* The files of a manifest into dir (made, or empty: else ERR_EXISTS), hard-linked read-only where it can be, else
 * copied; verified. Of ERR_NOTFOUND the text names the file alone. */
int store_get_tree(struct store *s, const char *hex, const char *dir);
bool store_has_tree(struct store *s, const char *hex); /* the manifest and all that it names are there */
/* The bytes of an object in pieces; their digest is known behind the last: a failure takes back what put() did. */
int store_stream(struct store *s, const char *hex, int (*put)(const void *data, size_t len, void *arg), void *arg);
int store_size(struct store *s, const char *hex, uint64_t *size); /* of its content; ERR_NOTFOUND */
/* A file with the object's content, to be mapped or read in place: the store's own, which is not verified, or a verified
 * copy that goes with the view. */
struct store_view {
	char *path;
	bool temporary;
};
int store_view_open(struct store_view *v, struct store *s, const char *hex);
void store_view_close(struct store_view *v);
/* Content that comes in pieces, from a remote, say: store_in_add() is a put() of store_stream(). Nothing is in the store
 * before the end, where it must have the digest hex: else ERR_IO, and nothing is kept. */
struct store_in;
int store_in_open(struct store_in **out, struct store *s);
int store_in_add(const void *data, size_t len, void *in);
int store_in_end(struct store_in *in, const char *hex); /* frees it, as does */
void store_in_drop(struct store_in *in);
/* Reads all objects and records; bad() gets each damaged one (moved to bad/; a record as "records/HEX") and each stray name; its
 * non-zero result ends it. */
int store_verify(struct store *s, int (*bad)(const char *hex, const char *why, void *arg), void *arg,
		 uint64_t *checked);
/* What was moved to bad/ and has not come back: each(vault, hex, arg) of an object, recipe, difference or record, once; a non-zero
 * result ends it. */
int store_damaged(const struct store *s, int (*each)(const char *vault, const char *hex, void *arg), void *arg);
/* Every object, by name: what it is, how it is kept, and what its own files take here. A non-zero result ends it. */
struct store_row {
	const char *object, *form; /* whole, parts, difference */
	uint64_t size, stored;
	int64_t parts;                      /* of one in parts; of them, those that are */
	int64_t whole, differences, inside; /* files of their own, differences, inside a whole object */
};
int store_each(struct store *s, int (*each)(const struct store_row *row, void *arg), void *arg);
/* Where content that is lost or damaged here may be had: another store, or a remote. fetch() hands the bytes of an object (vault
 * "objects") or a record ("records") to put(); ERR_NOTFOUND: it has none. What it says is believed of nothing: the digest decides. */
struct store_source {
	const char *name;
	int (*fetch)(const char *vault, const char *hex, int (*put)(const void *data, size_t len, void *to), void *to,
		     void *arg);
	void *arg;
};
struct store_source store_source_of(struct store *other, const char *name); /* borrows both */
struct depot;
struct store_source store_source_remote(struct depot *d); /* borrows it */
/* One object that is not here, from the source, compared with its name. */
int store_bring(struct store *s, const struct store_source *from, const char *hex);
/* Verifies as store_verify() does, and puts back what is bad from the source (NULL: only what can be made again from what is
 * here). each() is told of every object that was bad and whether it is whole again; why: the damage, or why it stays. */
int store_repair(struct store *s, const struct store_source *from,
		 int (*each)(const char *hex, const char *why, bool repaired, void *arg), void *arg, uint64_t *checked);

/* ---- packages ------------------------------------------------------------------------------------------------------- */

enum package_format { PACKAGE_DIR, PACKAGE_TAR, PACKAGE_OCI, PACKAGE_TRITON };
int package_parse(enum package_format *out,
		  const char *name); /* "dir", "tar.zst", "oci", "triton"; else ERR_NOTFOUND */
struct package_text {
	const char *path, *text;
};
struct package_options {
	const char *object; /* the manifest of the folder */
	const char *model;
	int version;
	const char *created, *commit, *run; /* may be NULL */
	const struct package_text *texts;   /* files that are put beside the model's */
	size_t n_texts;
	bool as_links;     /* read-only links into the store instead of copies, where they can be */
	const char *mount; /* triton: the repository's path as the server sees it; NULL: out */
};
/* A stored folder in a form that others load, verified while it is written: out is made, whole or not at all
 * (ERR_EXISTS). The same bytes for the same options. */
int package_export(struct store *s, enum package_format format, const struct package_options *o, const char *out);

/* ---- registry ------------------------------------------------------------------------------------------------------- */

/* Trust classes, weakest first: a run reuses only what its own class or a stronger one wrote. */
enum trust { TRUST_FORK, TRUST_BRANCH, TRUST_PROTECTED };
const char *trust_name(enum trust t);
int trust_parse(enum trust *out, const char *name);

struct registry;
/* Opens or makes registry.db beside the store: WAL, foreign keys, busy timeout; migrates after a backup; a registry
 * from a newer version is ERR_ENV. Takes in records that are not in it. */
int registry_open(struct registry **out, struct store *store);
void registry_close(struct registry *r);
/* For who is waited for: from here on what is appended is durable as its record alone. Its rows may be lost by a power cut,
 * and then whoever opens the registry next makes them again; the write-ahead log is left for them to fold in. No change
 * where the home is on a network file system. */
int registry_make_haste(struct registry *r);

/* Stores a run. record: the document described in artifacts/record.c, "format":"assay-run/1". Its member
 * "version":{"model","object"} gets "number" here, inside the transaction: that of the same object if the model has it
 * already, else the next; "seq", "created" and "created_ns" are set, and an edge from its object to
 * "version:MODEL@vN" is added if there is none ("version:MODEL" in an edge gets its number). id: the record's name.
 * ERR_INPUT: a member has a wrong type, or an object that it names is not in the store. */
int registry_add_run(struct registry *r, json_t *record, char id[DIGEST_HEX]);

struct promotion {
	const char *model, *alias;
	int version;
	int expect;      /* the version the alias must point at now; 0: must not exist yet; PROMOTE_ANY */
	const char *run; /* whose gate passed; NULL for a person's decision */
	const char *actor, *reason;
	bool forced;
	bool rollback; /* goes back to what the alias stood for before; with forced, to any older version */
	bool rebind;   /* the alias has this version, and shall stand for another run of it (another prompt) */
};
enum { PROMOTE_ANY = -1 };
/* Appends a promotion record and moves the alias, in one transaction. ERR_CONFLICT: the alias no longer points at
 * expect, or version is older than what it points at (and not a rollback); the text says which. ERR_NOTFOUND: no such
 * version or run. ERR_INPUT, unless forced: the gate did not pass, or not whole, or a later run FAILed it; a rollback (which
 * asks no gate) to what the alias never stood for. If it points at version already, nothing is appended and id names the promotion that stands; with rebind
 * a promotion from the version to itself is appended. */
int registry_promote(struct registry *r, const struct promotion *p, char id[DIGEST_HEX]);
/* What an alias stood for before it came to what it stands for now: the version, and the run that was promoted ("": a person's
 * decision). What rollbacks left does not count. ERR_NOTFOUND: there was nothing. */
int registry_before(struct registry *r, const char *model, const char *alias, int *version, char run[DIGEST_HEX]);
/* The version an alias points at: ERR_NOTFOUND. */
int registry_alias(struct registry *r, const char *model, const char *alias, int *version);
/* Does every alias (of a model; NULL: of all) point where the record of its newest promotion says? ERR_IO names the first that
 * does not. registry_alias() asks this of the one that it reads. */
int registry_aliases_check(struct registry *r, const char *model);
/* A version's row: {"model","number","object","run","commit","created","aliases":[…]}; yours. ERR_NOTFOUND. */
int registry_version(struct registry *r, const char *model, int number, json_t **out);
/* The run a name stands for: an id or its prefix (6 or more digits), a commit (prefix), "latest", "MODEL@v7",
 * "MODEL@ALIAS", a branch. Gives the newest that fits; ERR_NOTFOUND; ERR_INPUT if an id prefix is ambiguous. */
int registry_find_run(struct registry *r, const char *name, char id[DIGEST_HEX]);
int registry_run(struct registry *r, const char *id, json_t **record); /* the whole record; yours */
/* The newest output of a stage with this key, of trust or stronger: {"run":…, and what the record's stage said}. */
int registry_stage(struct registry *r, const char *step, const char *key, enum trust trust, json_t **out);
/* All that stages of this key gave, newest first, what two gave alike once; yours. */
int registry_stages(struct registry *r, const char *step, const char *key, enum trust trust, json_t **rows);
/* The run that made an object as its model: the newest whose train stage gave it. ERR_NOTFOUND. */
int registry_maker(struct registry *r, const char *object, char id[DIGEST_HEX]);
/* Proposals made by hook runs and neither settled nor overtaken: [{"run","model","alias","version","expect","commit",
 * "remote","ref"}] oldest first; yours. A promotion that names the run settles it; registry_drop_proposal records that
 * it came to nothing. */
int registry_proposals(struct registry *r, json_t **rows);
/* ERR_NOTFOUND: the run never proposed. One that is settled already is left alone. */
int registry_drop_proposal(struct registry *r, const char *run, const char *reason);
/* The strongest trust that speaks for a version: of the runs that made it; protected, if it was ever under an alias. */
int registry_version_trust(struct registry *r, const char *model, int number, enum trust *out);
/* The newest promotion that put a version under an alias (by_run: by a run's gate), a row of "history"; ERR_NOTFOUND. */
int registry_promotion(struct registry *r, const char *model, const char *alias, int version, bool by_run,
		       json_t **out);
/* Lists, newest first, as arrays of flat objects; yours. what: "runs", "models", "versions", "history", "datasets",
 * "edges"; filter: a model (or NULL). Or "aliases", by name; or "curves", by step; filter: a run's id. limit 0: all. */
int registry_list(struct registry *r, const char *what, const char *filter, int64_t limit, json_t **rows);
/* The same as a text, what json_add_pretty() makes of it, piece by piece and without a tree of values in between: for tens of
 * thousands of rows. put() ends it by a failure, which is then the result. */
int registry_list_text(struct registry *r, const char *what, const char *filter, int64_t limit,
		       int (*put)(const void *data, size_t len, void *arg), void *arg);
/* "versions" or "history" as they stood at a time (nanoseconds since 1970): what was made later is left out, and aliases are what
 * they were. Otherwise as registry_list(). */
int registry_list_at(struct registry *r, const char *what, const char *filter, int64_t limit, int64_t unix_ns,
		     json_t **rows);
/* The runs of an id or a commit (or what it begins with), a branch, a model, a baseline (a run's id, or a model), newest first:
 * rows of "runs", borrowed. A non-zero result of each() ends it, and is no failure. */
enum runs_by {
	RUNS_BY_ID,
	RUNS_BY_COMMIT,
	RUNS_BY_BRANCH,
	RUNS_BY_MODEL,
	RUNS_BY_BASELINE,
	RUNS_BY_BASELINE_MODEL,
};
int registry_runs(struct registry *r, enum runs_by by, const char *key, int (*each)(json_t *row, void *arg), void *arg);
/* A metric's history on a branch, oldest first: the newest run of each commit that measured it, the newest `limit` of them:
 * [{"run","commit","created","verdict","value","stderr","n","higher_is_better","model","version"}]; yours. filter NULL: the
 * first by name. */
int registry_trend(struct registry *r, const char *branch, const char *task, const char *metric, const char *filter,
		   int64_t limit, json_t **rows);
/* The same, each point as pretty JSON text that begins `depth` levels deep (borrowed), without its values in between. each()
 * ends it by a result that is not 0, which is then that of the call. */
int registry_trend_text(struct registry *r, const char *branch, const char *task, const char *metric,
			const char *filter, int64_t limit, int depth,
			int (*each)(const char *row, size_t len, void *arg), void *arg);

/* ---- lineage (lineage.c) ---- */

/* Versions of data sets, newest first: {"path","number","digest","rows","bytes","role","schema","license","owner","source",
 * "about","runs","created","commit","run"}, of the last run that read it, but for created, commit and run, which are of
 * the first. name: a path, "PATH@v2", a digest or 6 digits of it; NULL: all. */
int registry_data(struct registry *r, const char *name, json_t **rows);
/* Every version that a content reached, by training or holding out, itself or through a base: {"model","version","role",
 * "depth","aliases":[now],"held":[ever],"object","run","commit","created"}, newest first. depth 0: it was trained on. */
int registry_reached(struct registry *r, const char *digest, json_t **rows);
/* Where an object came from: a row for it and each base beneath it, {"object","versions":["MODEL@v1"],"run","commit","branch",
 * "created","actor","tool","seed","key","data":[…],"base"}. One whose run is not known has "object" and "versions" alone. */
int registry_origin(struct registry *r, const char *object, json_t **rows);
const char *record_base(const json_t *record); /* the object of a run's base; NULL: none; borrowed */

/* What is known of a version in forms that others read: a CycloneDX bill of materials, in-toto statements of SLSA provenance
 * and of the gate's result. From records alone: the same bytes for the same version. */
enum attestation { ATTEST_BOM, ATTEST_PROVENANCE, ATTEST_RESULT };
int attest(struct registry *r, enum attestation what, const char *model, int number, json_t **out);

/* Into a new file, then renamed over the old. ERR_BUSY while anybody (this process too) has the registry open. */
int registry_rebuild(struct store *store, uint64_t *records);
/* Where the history of an alias is no single chain: one line a promotion that follows none that is there, or follows what another
 * follows. model NULL: of all. A non-zero result of each() ends it. */
int registry_chain(struct registry *r, const char *model, int (*each)(const char *text, void *arg), void *arg);
/* The records that were found damaged, lie in bad/ of the home, and have not come back: each(id, arg), once; a non-zero result ends it. */
int registry_damaged(const struct store *store, int (*each)(const char *id, void *arg), void *arg);
/* The same by log_warn, a line each with the way out: what they said is not in the registry. Cannot fail. */
void registry_damaged_warn(const struct store *store);
/* Every object that records need, once, a folder's files (where it is here) before it: samples, what runs made, all versions; not what
 * was collected. what: for messages. A non-zero result of each() ends it. */
int registry_needs(struct registry *r, int (*each)(const char *object, const char *what, void *arg), void *arg);
/* Compares database and records, and checks that what they name is there: one line a fault. 0 if it ran to its end,
 * faults or not; a non-zero result of fault() ends it. */
int registry_check(struct registry *r, int (*fault)(const char *text, void *arg), void *arg);

/* ---- signatures (envelope.c, signed.c) --------------------------------------------------------------------------------- */

#define ENVELOPE_STATEMENT "application/vnd.in-toto+json"
#define ENVELOPE_BOM "application/vnd.cyclonedx+json"

/* An Ed25519 key from a PEM file, as `openssl genpkey -algorithm ed25519` (private) and `openssl pkey -pubout` write it.
 * ERR_NOTFOUND, ERR_INPUT. */
struct signing_key;
int signing_key_private(struct signing_key **out, const char *path);
int signing_key_public(struct signing_key **out, const char *path); /* a private one will do, too */
void signing_key_free(struct signing_key *k);
const char *signing_key_id(
	const struct signing_key *k); /* SHA-256 of the public key (SubjectPublicKeyInfo), hex; borrowed */

/* body, of that type, signed: {"payload","payloadType","signatures":[{"keyid","sig"}]}; yours. */
int envelope_sign(json_t **out, const struct signing_key *k, const char *type, const char *body, size_t len);
/* The body of an envelope of that type, if the key has signed it; else ERR_INPUT, and body stays as it was. What a file says
 * of keys is believed of nothing: only this key counts. name is for errors. */
int envelope_open(struct buf *body, const json_t *envelope, const struct signing_key *k, const char *type,
		  const char *name);

/* A folder as `artifact export --sign` wrote it: all files that the key has signed are there with their content, and no other; the
 * three statements are each of its kind, and about these files.
 * ERR_INPUT names what differs. *n_files: the model's; *result: the gate's, PASSED, WARNED or FAILED; yours. */
int signed_folder_check(const char *dir, const struct signing_key *k, size_t *n_files, char **result);

/* ---- garbage --------------------------------------------------------------------------------------------------------- */

struct gc_row {
	const char *object, *reason;
	uint64_t size;
	bool kept;
};
struct gc_options {
	bool dry_run;
	int64_t keep_runs;   /* weights of the last so many models that runs made */
	uint64_t keep_bytes; /* and those before them that fit into so many bytes, the newest first */
	const char *actor;
	int (*row)(const struct gc_row *row,
		   void *arg); /* for every object; a non-zero result ends it, before anything goes */
	void *arg;
};
struct gc_totals {
	uint64_t kept, kept_bytes, gone, gone_bytes;
};
/* Removes objects that nothing needs (gc.c). ERR_BUSY while anybody (this process too) has the registry open, unless
 * dry_run. ERR_IO, and nothing is removed, if a record cannot be read: it may name anything. */
int registry_gc(struct store *store, const struct gc_options *o, struct gc_totals *totals);

/* ---- remotes (depot.h, sync.c) ----------------------------------------------------------------------------------------- */

/* Where records and objects of many homes come together. Secrets are values, borrowed until depot_close(). */
struct depot_place {
	const char *url;           /* file:///FOLDER, s3://BUCKET/PREFIX, gitlab+https://HOST/api/v4/projects/ID */
	const char *endpoint;      /* s3: "https://HOST[:PORT]"; NULL: Amazon's */
	const char *region;        /* s3; NULL: us-east-1 */
	const char *user, *secret; /* s3: the access key's id and the key; gitlab: the header's name and the token */
	const char *token;         /* s3: of a session; NULL: none */
	const char *package;       /* gitlab; NULL: assay */
	uint64_t part_bytes;       /* s3: of a large object; 0: 64 MiB */
};
int depot_open(struct depot **out, const struct depot_place *p); /* ERR_INPUT, ERR_UNAVAILABLE */
void depot_close(struct depot *d);
const char *depot_name(const struct depot *d); /* for messages; borrowed */

struct sync_options {
	bool dry_run;
	bool records_only; /* pull: objects come when they are needed */
	bool begins;       /* a place that is not there yet holds nothing; else ERR_INPUT */
};
/* New names of models and aliases: they stand in MODEL@ALIAS, where v7 and 7 are no alias. ERR_INPUT says the rule; what stands in
 * records already is not held to it. */
int record_check_model(const char *name);
int record_check_alias(const char *name);
struct sync_counts {
	uint64_t records, objects, bytes; /* that moved, or would */
	uint64_t known;                   /* records that both sides had */
	uint64_t absent;                  /* objects that records name and that are on neither side; said by log_warn */
	uint64_t refused;          /* records and objects there that are not what they say, and stayed there; too */
	uint64_t renumbered, lost; /* versions that have another number now; moves of aliases that did not come true */
	uint64_t unseen;           /* of a dry pull: models whose list of files is not here; these are in no count */
};
/* The records that are there and not here, and what they name; each proved before it is seen. Where one contradicts what only
 * this home says, the remote was first: a version made here gets the next number, a promotion made here is set aside; both are
 * said by log_warn and counted. ERR_INPUT: something there is not what it says; each was left out, and all else was taken over. */
int registry_pull(struct registry *r, struct depot *d, const struct sync_options *o, struct sync_counts *n);
/* The other way round, after a pull of the records (counted in *pulled). ERR_CONFLICT: an alias was moved there meanwhile, and not
 * by this home; all else was pushed. What the remote has lost of what it had is sent again; ERR_IO: neither side has some object.
 * ERR_INPUT: as for a pull, and all was pushed; or the claims of an alias there are at fault, and all but its moves was. */
int registry_push(struct registry *r, struct depot *d, const struct sync_options *o, struct sync_counts *n,
		  struct sync_counts *pulled);
/* An object and, if it is a folder, the files of it, if they are not in the store yet; bytes (may be NULL) grows by what came.
 * ERR_NOTFOUND: the remote has not got it either. */
int depot_fetch(struct depot *d, struct store *s, const char *hex, uint64_t *bytes);
bool depot_has(struct depot *d, const char *hex);
/* Who brings an object that is not here: fetch() puts it into the store, or cannot; has() says whether it could. */
struct store_elsewhere {
	void (*fetch)(const char *hex, void *arg);
	bool (*has)(const char *hex, void *arg);
	void *arg;
};
void store_on_absent(struct store *s, const struct store_elsewhere *e);
/* Is it here or there? */
bool store_known(struct store *s, const char *hex);
/* Are it and all its files, if it is a folder, here or there? Only a list that is not here is asked for. */
bool store_known_tree(struct store *s, const char *hex);
/* Is it here, with all its files if it is a folder; after asking for it, if need be? */
bool store_need(struct store *s, const char *hex);

/* ---- a mirror for others (mirror.c) ------------------------------------------------------------------------------------ */

#define MIRROR_SCHEME "mlflow+"
struct mirror_counts {
	uint64_t models, versions, aliases; /* that were made or moved there */
};
/* Tells an MLflow-compatible server of all versions, and where their aliases point. p->url: mlflow+https://HOST[/PATH]; p->secret: a
 * bearer's token, or NULL. ERR_INPUT: no such URL; ERR_UNAVAILABLE: it does not answer, or refuses. */
int registry_mirror(struct registry *r, const struct depot_place *p, struct mirror_counts *n);

/* ---- leases ---------------------------------------------------------------------------------------------------------- */

/* Held by a kernel lock; the file names pid, boot id and start time, for the message. Dies with the process. */
struct lease;
/* name: letters, digits, '.', '-', '_'. wait_s: how long to wait for another holder (said once on standard error);
 * then ERR_BUSY with who holds it. */
int lease_take(struct lease **out, const struct store *s, const char *name, double wait_s);
void lease_drop(struct lease *l);

#endif
