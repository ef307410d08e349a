/* bom.c: a version as a bill of materials, CycloneDX 1.6 (cyclonedx.org), with a model card.
 *
 * The model is the BOM's component, of type machine-learning-model, with its measured metrics; its files, the data sets
 * it was trained on and its base are what it is made of. A data set carries licence, owner and source as the team states
 * them; a licence is written by name, since CycloneDX refuses an id that its list of SPDX does not have. From records
 * alone: the serial number is derived from the version, and the time is the version's. */
#include "base/base.h"

#include <math.h>

#include "artifacts/attest.h"

static json_t *hash(const char *hex)
{
	return json_pack("[{s:s,s:s}]", "alg", "SHA-256", "content", hex);
}

/* A UUID of version 8 (its bits are ours to choose), the same for the same version. */
static json_t *serial(const struct facts *f)
{
	char *text = mem_printf("cyclonedx %s %lld %s", json_get_text(f->version, "model", ""),
				(long long)json_get_int(f->version, "number", 0), f->object);
	struct digest d = digest_bytes(text, strlen(text));
	const uint8_t *b = d.bytes;
	char uuid[64];

	d.bytes[6] = (uint8_t)((b[6] & 0x0f) | 0x80);
	d.bytes[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	snprintf(uuid, sizeof(uuid), "urn:uuid:%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
		 b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
	free(text);
	return json_string(uuid);
}

static json_t *data_ref(const json_t *data)
{
	char *text = mem_printf("data:%s:%s", json_get_text(data, "digest", ""), json_get_text(data, "path", ""));
	json_t *ref = json_string(text);

	free(text);
	return ref;
}

static json_t *data_component(const json_t *data)
{
	const char *license = json_get_text(data, "license", NULL), *owner = json_get_text(data, "owner", NULL);
	json_t *set = json_pack("{s:s,s:o}", "type", "dataset", "name", json_incref(json_object_get(data, "path")));
	json_t *c = json_pack("{s:s,s:o,s:o,s:o}", "type", "data", "bom-ref", data_ref(data), "name",
			      json_incref(json_object_get(data, "path")), "version",
			      json_incref(json_object_get(data, "digest")));

	if (license)
		json_object_set_new(c, "licenses", json_pack("[{s:{s:s}}]", "license", "name", license));
	if (owner)
		json_object_set_new(set, "governance",
				    json_pack("{s:[{s:{s:s}}]}", "owners", "organization", "name", owner));
	if (json_get_text(data, "source", NULL))
		json_object_set_new(set, "contents", json_pack("{s:s}", "url", json_get_text(data, "source", "")));
	set_text(set, "description", json_get_text(data, "about", NULL));
	json_object_set_new(c, "data", json_pack("[o]", set));
	json_object_set_new(c, "properties",
			    json_pack("[{s:s,s:s},{s:s,s:s}]", "name", "assay:role", "value",
				      json_get_text(data, "role", ""), "name", "assay:digest", "value",
				      json_get_text(data, "digest", "")));
	return c;
}

/* Files and data; refs gets what the model depends on. */
static json_t *components(const struct facts *f, json_t *refs)
{
	json_t *list = json_array(), *data;
	size_t i;

	json_array_foreach(json_object_get(f->made, "data"), i, data)
	{
		json_t *c = data_component(data), *seen;
		size_t k;
		bool twice = false;

		json_array_foreach(refs, k, seen) twice = twice || json_equal(seen, json_object_get(c, "bom-ref"));
		if (!twice) { /* a file that is listed twice is one component */
			json_array_append(refs, json_object_get(c, "bom-ref"));
			json_array_append(list, c);
		}
		json_decref(c);
	}
	for (i = 0; i < f->files.len; i++) {
		const struct tree_file *file = &f->files.items[i];
		char *ref = mem_printf("file:%s", file->path);

		json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:o}", "type", "file", "bom-ref", ref, "name",
						      file->path, "hashes", hash(file->object)));
		json_array_append_new(refs, json_string(ref));
		free(ref);
	}
	return list;
}

/* Values alone: bounds that are worth the name are the gate's, in the record. */
static json_t *metrics(const struct facts *f)
{
	json_t *list = json_array(), *row;
	size_t i;

	json_array_foreach(json_object_get(f->record, "metrics"), i, row)
	{
		double value = json_get_real(row, "value", NAN);
		char *type = mem_printf("%s.%s", json_get_text(row, "task", ""), json_get_text(row, "metric", ""));
		char text[40];

		snprintf(text, sizeof(text), "%.17g", value);
		if (isfinite(value))
			json_array_append_new(list, json_pack("{s:s,s:s,s:s}", "type", type, "value", text, "slice",
							      json_get_text(row, "suite", "")));
		free(type);
	}
	return list;
}

static json_t *model_card(const struct facts *f)
{
	json_t *sets = json_array(), *data;
	size_t i;

	json_array_foreach(json_object_get(f->made, "data"), i, data)
		json_array_append_new(sets, json_pack("{s:o}", "ref", data_ref(data)));
	return json_pack("{s:{s:s,s:s,s:o},s:{s:o}}", "modelParameters", "task", "text-generation",
			 "architectureFamily", "transformer", "datasets", sets, "quantitativeAnalysis",
			 "performanceMetrics", metrics(f));
}

/* The bases, the nearest first, and the commit. */
static json_t *pedigree(const struct facts *f)
{
	json_t *ancestors = json_array(), *out = json_object();

	for (size_t i = 1; i < json_array_size(f->origin); i++) {
		const json_t *row = json_array_get(f->origin, i);
		const char *name = json_string_value(json_array_get(json_object_get(row, "versions"), 0));

		json_array_append_new(ancestors, json_pack("{s:s,s:s,s:o}", "type", "machine-learning-model", "name",
							   name ? name : json_get_text(row, "object", ""), "hashes",
							   hash(json_get_text(row, "object", ""))));
	}
	if (json_array_size(ancestors))
		json_object_set(out, "ancestors", ancestors);
	if (json_get_text(f->made, "commit", NULL))
		json_object_set_new(out, "commits", json_pack("[{s:s}]", "uid", json_get_text(f->made, "commit", "")));
	json_decref(ancestors);
	return out;
}

static json_t *properties(const struct facts *f)
{
	const json_t *tool = json_object_get(f->made, "tool");
	char seed[24] = "";
	const struct {
		const char *name, *value;
	} all[] = {
		{ "assay:object", f->object },
		{ "assay:run", json_get_text(f->made, "run", NULL) },
		{ "assay:verdict", json_get_text(f->record, "verdict", NULL) },
		{ "assay:numerics", json_get_text(tool, "numerics", NULL) },
		{ "assay:seed", seed },
	};
	json_t *list = json_array();

	if (json_object_get(f->made, "seed"))
		snprintf(seed, sizeof(seed), "%lld", (long long)json_get_int(f->made, "seed", 0));
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (all[i].value && *all[i].value)
			json_array_append_new(list, json_pack("{s:s,s:s}", "name", all[i].name, "value", all[i].value));
	return list;
}

json_t *bom_document(const struct facts *f)
{
	char *ref = mem_printf("%s@v%lld", json_get_text(f->version, "model", ""),
			       (long long)json_get_int(f->version, "number", 0));
	json_t *refs = json_array(), *parts = components(f, refs);
	json_t *model = json_pack("{s:s,s:s,s:s,s:s,s:o,s:o,s:o,s:o}", "type", "machine-learning-model", "bom-ref", ref,
				  "name", json_get_text(f->version, "model", ""), "version", strrchr(ref, '@') + 1,
				  "hashes", hash(f->object), "modelCard", model_card(f), "pedigree", pedigree(f),
				  "properties", properties(f));
	json_t *doc = json_pack("{s:s,s:s,s:o,s:i,s:{s:s,s:{s:[{s:s,s:s,s:s}]},s:o},s:o,s:[{s:s,s:o}]}", "bomFormat",
				"CycloneDX", "specVersion", "1.6", "serialNumber", serial(f), "version", 1, "metadata",
				"timestamp", json_get_text(f->version, "created", ""), "tools", "components", "type",
				"application", "name", "assay", "version", ASSAY_VERSION, "component", model,
				"components", parts, "dependencies", "ref", ref, "dependsOn", refs);

	free(ref);
	return doc;
}
