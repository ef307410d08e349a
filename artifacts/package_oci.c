/* package_oci.c: a package as an OCI image layout, for any registry of containers.
 *
 *	oci-layout                    {"imageLayoutVersion":"1.0.0"}
 *	index.json                    names the manifest, tagged vN
 *	blobs/sha256/HEX              manifest, configuration, and every file of the model as it is
 *
 * One layer a file, neither archived nor compressed: a blob's digest is the file's name in the store, so two versions
 * that share a tokenizer share its blob in the registry too, and pulling gives the bytes that were judged. Media types
 * and configuration are those of the CNCF's ModelPack specification, version 1 (github.com/modelpack/model-spec); the
 * manifest is OCI image-spec 1.1's, which registries of 1.0 take as well. */
#include "base/base.h"

#include "artifacts/package.h"

#define TYPE_INDEX "application/vnd.oci.image.index.v1+json"
#define TYPE_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define TYPE_ARTIFACT "application/vnd.cncf.model.manifest.v1+json"
#define TYPE_CONFIG "application/vnd.cncf.model.config.v1+json"
#define TYPE_WEIGHT "application/vnd.cncf.model.weight.v1.raw"
#define TYPE_SIDE "application/vnd.cncf.model.weight.config.v1.raw"
#define TYPE_DOC "application/vnd.cncf.model.doc.v1.raw"
#define TYPE_CODE "application/vnd.cncf.model.code.v1.raw"

static const char *layer_type(const char *path)
{
	static const struct {
		const char *suffix, *type;
	} types[] = {
		{ ".safetensors", TYPE_WEIGHT }, { ".gguf", TYPE_WEIGHT }, { ".bin", TYPE_WEIGHT }, { ".md", TYPE_DOC },
		{ "LICENSE", TYPE_DOC },         { ".py", TYPE_CODE },
	};

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (path_has_suffix(path, types[i].suffix))
			return types[i].type;
	return TYPE_SIDE;
}

static json_t *digest_text_json(const char *hex)
{
	char *text = mem_printf("sha256:%s", hex);
	json_t *out = json_string(text);

	free(text);
	return out;
}

static json_t *descriptor(const char *type, const char *hex, uint64_t size)
{
	return json_pack("{s:s,s:o,s:I}", "mediaType", type, "digest", digest_text_json(hex), "size", (json_int_t)size);
}

/* A document of ours as a blob. */
static int put_blob(const char *blobs, const json_t *doc, char hex[DIGEST_HEX], uint64_t *size)
{
	struct buf text = BUF_INIT((size_t)64 << 20);
	struct digest d;
	char *path;
	int rc;

	json_add(&text, doc);
	d = digest_bytes(buf_str(&text), text.len);
	digest_hex(hex, &d);
	*size = text.len;
	path = path_join(blobs, hex);
	rc = fs_write(path, buf_str(&text), text.len);
	free(path);
	buf_release(&text);
	return rc;
}

static json_t *config_json(const struct package *p)
{
	json_t *ids = json_array(), *about = json_object(), *model = json_object();
	bool safetensors = false;
	char version[16];

	snprintf(version, sizeof(version), "v%d", p->o->version);
	for (size_t i = 0; i < p->n; i++) {
		json_array_append_new(ids, digest_text_json(p->members[i].file.object));
		safetensors = safetensors || path_has_suffix(p->members[i].file.path, ".safetensors");
	}
	json_object_set_new(about, "name", json_string(p->o->model));
	json_object_set_new(about, "version", json_string(version));
	if (p->o->created)
		json_object_set_new(about, "createdAt", json_string(p->o->created));
	if (p->o->commit)
		json_object_set_new(about, "revision", json_string(p->o->commit));
	json_object_set_new(model, "architecture", json_string("transformer"));
	if (safetensors)
		json_object_set_new(model, "format", json_string("safetensors"));
	return json_pack("{s:o,s:{s:s,s:o},s:o}", "descriptor", about, "modelfs", "type", "layers", "diffIds", ids,
			 "config", model);
}

static json_t *annotations_json(const struct package *p)
{
	const struct {
		const char *key, *value;
	} all[] = {
		{ "org.opencontainers.image.title", p->o->model },
		{ "org.opencontainers.image.created", p->o->created },
		{ "org.opencontainers.image.revision", p->o->commit },
		{ "assay.run", p->o->run },
		{ "assay.object", p->o->object },
	};
	json_t *out = json_object();
	char version[16];

	snprintf(version, sizeof(version), "v%d", p->o->version);
	json_object_set_new(out, "org.opencontainers.image.version", json_string(version));
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (all[i].value)
			json_object_set_new(out, all[i].key, json_string(all[i].value));
	return out;
}

/* Two files of equal bytes are one blob and two layers. */
static int put_layers(struct package *p, const char *blobs, json_t *layers)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < p->n; i++) {
		const struct package_member *m = &p->members[i];
		struct tree_file blob = m->file;
		char *path = path_join(blobs, blob.object);
		json_t *layer = descriptor(layer_type(m->file.path), blob.object, blob.size);

		json_object_set_new(layer, "annotations", json_pack("{s:s}", "org.cncf.model.filepath", m->file.path));
		json_array_append_new(layers, layer);
		blob.path = blob.object;
		if (!fs_exists(path))
			rc = m->text ? fs_write(path, m->text, strlen(m->text))
				     : store_file_out(p->store, &blob, blobs, p->o->as_links);
		free(path);
	}
	return rc;
}

static int put_document(const char *dir, const char *name, json_t *doc)
{
	struct buf text = BUF_INIT(1 << 20);
	char *path = path_join(dir, name);
	int rc;

	json_add(&text, doc);
	rc = fs_write(path, buf_str(&text), text.len);
	buf_release(&text);
	free(path);
	json_decref(doc);
	return rc;
}

int package_write_oci(struct package *p, const char *dir)
{
	char *blobs = path_join(dir, "blobs/sha256"), hex[DIGEST_HEX], version[16];
	json_t *layers = json_array(), *config = config_json(p), *manifest = NULL, *entry = NULL;
	uint64_t size = 0;
	int rc = p->n ? fs_mkdirs(blobs) : err_set(ERR_INPUT, "a folder without files is no package");

	snprintf(version, sizeof(version), "v%d", p->o->version);
	rc = rc ? rc : put_layers(p, blobs, layers);
	rc = rc ? rc : put_blob(blobs, config, hex, &size);
	if (!rc) {
		manifest = json_pack("{s:i,s:s,s:s,s:o,s:O,s:o}", "schemaVersion", 2, "mediaType", TYPE_MANIFEST,
				     "artifactType", TYPE_ARTIFACT, "config", descriptor(TYPE_CONFIG, hex, size),
				     "layers", layers, "annotations", annotations_json(p));
		rc = put_blob(blobs, manifest, hex, &size);
	}
	if (!rc) {
		entry = descriptor(TYPE_MANIFEST, hex, size);
		json_object_set_new(entry, "artifactType", json_string(TYPE_ARTIFACT));
		json_object_set_new(entry, "annotations",
				    json_pack("{s:s}", "org.opencontainers.image.ref.name", version));
		rc = put_document(
			dir, "index.json",
			json_pack("{s:i,s:s,s:[o]}", "schemaVersion", 2, "mediaType", TYPE_INDEX, "manifests", entry));
	}
	rc = rc ? rc : put_document(dir, "oci-layout", json_pack("{s:s}", "imageLayoutVersion", "1.0.0"));
	json_decref(layers);
	json_decref(config);
	json_decref(manifest);
	free(blobs);
	return rc;
}
