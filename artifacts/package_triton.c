/* package_triton.c: a package as a model repository of Triton Inference Server, served by its vLLM back end.
 *
 *	MODEL/config.pbtxt        which back end; batching and devices are left to vLLM
 *	MODEL/N/model.json        vLLM's engine arguments: the path of the weights
 *	MODEL/N/weights/…         the Hugging Face folder
 *
 * The back end hands model.json's "model" to vLLM as it stands, so it must be the path that the server sees: an absolute
 * one. That is the place where the repository is written, unless the server will see it elsewhere (--mount /models). */
#include "base/base.h"

#include <limits.h>
#include <unistd.h>

#include "artifacts/package.h"

static const char config_text[] =
	"name: \"%s\"\n"
	"backend: \"vllm\"\n"
	"max_batch_size: 0\n"
	"model_transaction_policy { decoupled: true }\n"
	"version_policy: { latest { num_versions: 1 } }\n"
	"input [\n"
	"  { name: \"text_input\" data_type: TYPE_STRING dims: [ 1 ] },\n"
	"  { name: \"stream\" data_type: TYPE_BOOL dims: [ 1 ] optional: true },\n"
	"  { name: \"sampling_parameters\" data_type: TYPE_STRING dims: [ 1 ] optional: true }\n"
	"]\n"
	"output [ { name: \"text_output\" data_type: TYPE_STRING dims: [ -1 ] } ]\n"
	"instance_group [ { count: 1 kind: KIND_MODEL } ]\n";

/* It becomes a folder's name, and stands in quotes. */
static int name_check(const char *name)
{
	size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");

	if (n && !name[n] && name[0] != '.')
		return 0;
	return err_set(ERR_INPUT, "'%s' is no name that Triton takes: letters, digits, '.', '_' and '-'", name);
}

static int mount_of(const struct package *p, const char *final, char **out)
{
	char cwd[PATH_MAX];

	if (p->o->mount && p->o->mount[0] != '/')
		return err_set(ERR_USAGE, "--mount %s: an absolute path, as the server sees it", p->o->mount);
	if (!p->o->mount && final[0] != '/' && !getcwd(cwd, sizeof(cwd)))
		return err_errno(ERR_ENV, "the working directory");
	*out = p->o->mount ? mem_str(p->o->mount) : final[0] == '/' ? mem_str(final) : path_join(cwd, final);
	return 0;
}

int package_write_triton(struct package *p, const char *dir, const char *final)
{
	const char *name = p->o->model;
	char *mount = NULL, *path;
	struct buf text = BUF_INIT(1 << 16);
	json_t *arguments;
	int rc = name_check(name);

	rc = rc ? rc : mount_of(p, final, &mount);
	if (rc)
		return rc;
	for (size_t i = 0; i < p->n; i++) {
		path = mem_printf("%s/%d/weights/%s", name, p->o->version, p->members[i].file.path);
		free(p->members[i].file.path);
		p->members[i].file.path = path;
	}
	path = mem_printf("%s/%s/%d/weights", mount, name, p->o->version);
	arguments = json_pack("{s:s}", "model", path);
	json_add_pretty(&text, arguments);
	package_add_text(p, mem_printf("%s/%d/model.json", name, p->o->version), mem_str(buf_str(&text)));
	package_add_text(p, mem_printf("%s/config.pbtxt", name), mem_printf(config_text, name));
	package_sort(p);
	json_decref(arguments);
	buf_release(&text);
	free(path);
	free(mount);
	return package_write_files(p, dir);
}
