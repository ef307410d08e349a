/* ci_template.c: the CI files that `assay init` writes: one a forge, kept as plain files in ci/templates/ so that they
 * can be read, checked (tests/ci/run) and pasted without assay; the build embeds them. */
#include "base/base.h"
#include "base/embed.h"
#include "ci/ci.h"

static const struct {
	const char *forge, *path, *file;
} templates[] = {
	{ "github", ".github/workflows/assay.yml", "ci/templates/github.yml" },
	{ "gitlab", ".gitlab-ci.yml", "ci/templates/gitlab.yml" },
	{ "gitea", ".gitea/workflows/assay.yml", "ci/templates/gitea.yml" },
	{ "forgejo", ".forgejo/workflows/assay.yml", "ci/templates/gitea.yml" },
};

const char *ci_template(const char *forge, const char **path)
{
	for (size_t i = 0; i < ARRAY_LEN(templates); i++) {
		size_t len;

		if (strcmp(forge, templates[i].forge))
			continue;
		if (path)
			*path = templates[i].path;
		return embed_file(templates[i].file, &len);
	}
	return NULL;
}
