/* html_lineage.c: what went into the model and what came of it, as a small graph from left to right, and the data sets as
 * a table.
 *
 * Nodes are the ends of the record's edges ("commit:…", "data:…", "model:…"), then the version that was made. A node stands
 * one column right of everything that leads to it (relaxed as often as there are nodes, so a circle in a forged document
 * ends too). The graph is small by nature: above 40 nodes only the table is shown. */
#include "base/base.h"
#include "ci/html_int.h"

enum { NODES_MAX = 40, NODE_W = 186, NODE_H = 44, GAP_X = 84, GAP_Y = 14 };

struct node {
	char *name; /* "data:ab12…" */
	int column, row;
};
struct graph {
	struct node nodes[NODES_MAX];
	struct {
		size_t from, to;
		const char *relation;
	} edges[4 * NODES_MAX];
	size_t n, n_edges;
	bool full;
};

static size_t node_find(struct graph *g, const char *name)
{
	for (size_t i = 0; i < g->n; i++)
		if (!strcmp(g->nodes[i].name, name))
			return i;
	if (g->n == NODES_MAX) {
		g->full = true;
		return 0;
	}
	g->nodes[g->n].name = mem_str(name);
	return g->n++;
}

static void edge_add(struct graph *g, const char *from, const char *to, const char *relation)
{
	size_t a = node_find(g, from), b = node_find(g, to);

	if (g->n_edges == ARRAY_LEN(g->edges))
		g->full = true;
	for (size_t i = 0; i < g->n_edges; i++) /* two files of one content */
		if (g->edges[i].from == a && g->edges[i].to == b && !strcmp(g->edges[i].relation, relation))
			return;
	if (g->full || a == b)
		return;
	g->edges[g->n_edges].from = a;
	g->edges[g->n_edges].to = b;
	g->edges[g->n_edges++].relation = relation;
}

static void graph_make(struct graph *g, const json_t *report)
{
	const json_t *edges = json_object_get(report, "edges"), *e, *v = json_object_get(report, "version");
	const char *model = NULL;
	size_t i;

	*g = (struct graph){ 0 };
	json_array_foreach(edges, i, e)
	{
		edge_add(g, json_get_text(e, "from", "?"), json_get_text(e, "to", "?"),
			 json_get_text(e, "relation", ""));
		model = json_get_text(e, "to", "?");
	}
	if (model && json_is_object(v)) {
		char *name = mem_printf("version:%s@v%lld", json_get_text(v, "model", "model"),
					(long long)json_get_int(v, "number", 0));

		edge_add(g, model, name, "became");
		free(name);
	}
	for (size_t k = 0; k < g->n; k++)
		for (i = 0; i < g->n_edges; i++) {
			int column = g->nodes[g->edges[i].from].column + 1;

			if (g->nodes[g->edges[i].to].column < column && column < NODES_MAX)
				g->nodes[g->edges[i].to].column = column;
		}
}

/* Rows from the top in each column; gives the number of columns and the most rows. */
static void graph_place(struct graph *g, int *columns, int *rows)
{
	int used[NODES_MAX] = { 0 };

	*columns = *rows = 1;
	for (size_t i = 0; i < g->n; i++) {
		struct node *n = &g->nodes[i];

		n->row = used[n->column]++;
		*columns = n->column + 1 > *columns ? n->column + 1 : *columns;
		*rows = used[n->column] > *rows ? used[n->column] : *rows;
	}
	for (size_t i = 0; i < g->n; i++) /* a short column stands in the middle: rows in halves */
		g->nodes[i].row = 2 * g->nodes[i].row + *rows - used[g->nodes[i].column];
}

static int node_x(const struct node *n)
{
	return n->column * (NODE_W + GAP_X) + 1;
}

static int node_y(const struct node *n)
{
	return n->row * (NODE_H + GAP_Y) / 2 + 1;
}

/* One file may be used twice. */
static bool is_named_before(const json_t *list, size_t i)
{
	const json_t *d = json_array_get(list, i);

	for (size_t k = 0; k < i; k++)
		if (json_equal(json_object_get(json_array_get(list, k), "digest"), json_object_get(d, "digest")) &&
		    json_equal(json_object_get(json_array_get(list, k), "path"), json_object_get(d, "path")))
			return true;
	return false;
}

/* What a data set is called, for the digest that the edge names: its path, or both, or how many more there are: files of one content
 * are one node. Yours; "": not known. */
static char *dataset_name(const json_t *report, const char *digest)
{
	const json_t *list = json_object_get(report, "datasets"), *d;
	const char *paths[2] = { "", "" };
	size_t i, n = 0;

	json_array_foreach(list, i, d)
	{
		const char *path = json_get_text(d, "path", "");

		if (strcmp(json_get_text(d, "digest", ""), digest) || is_named_before(list, i))
			continue;
		if (n < ARRAY_LEN(paths))
			paths[n] = path;
		n++;
	}
	return n > 2    ? mem_printf("%s, and %zu more", paths[0], n - 1)
	       : n == 2 ? mem_printf("%s = %s", paths[0], paths[1])
			: mem_str(paths[0]);
}

static void add_kind(struct buf *out, const struct node *n)
{
	const char *colon = strchr(n->name, ':');
	char *kind = mem_strn(n->name, colon ? (size_t)(colon - n->name) : 0);

	html_text(out, kind, 20);
	free(kind);
}

/* What a node is called: a path, or the first digits of a digest. */
static void add_name(struct buf *out, const json_t *report, const struct node *n, size_t points)
{
	const char *colon = strchr(n->name, ':'), *rest = colon ? colon + 1 : n->name;
	bool digest = strlen(rest) >= 40 && strspn(rest, "0123456789abcdef") == strlen(rest);
	char *data = !strncmp(n->name, "data:", 5) ? dataset_name(report, rest) : mem_str("");
	char *shown = digest && !*data ? mem_printf("%.12s", rest) : mem_str(*data ? data : rest);

	html_text(out, shown, points);
	free(shown);
	free(data);
}

static void add_node(struct buf *out, const json_t *report, const struct node *n)
{
	buf_addf(out, "<g class=\"node\"><title>");
	html_text(out, n->name, 200);
	buf_addf(out,
		 "</title><rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"8\"/><text class=\"kind\" x=\"%d\" "
		 "y=\"%d\">",
		 node_x(n), node_y(n), NODE_W, NODE_H, node_x(n) + 12, node_y(n) + 17);
	add_kind(out, n);
	buf_addf(out, "</text><text class=\"what\" x=\"%d\" y=\"%d\">", node_x(n) + 12, node_y(n) + 34);
	add_name(out, report, n, 24);
	buf_adds(out, "</text></g>");
}

static void add_end(struct buf *out, const json_t *report, const struct node *n)
{
	buf_adds(out, "<small>");
	add_kind(out, n);
	buf_adds(out, "</small> <bdi>");
	add_name(out, report, n, 80);
	buf_adds(out, "</bdi>");
}

/* The same as a list, for a phone, where the graph would be cut off. */
static void add_edges(struct buf *out, const json_t *report, const struct graph *g)
{
	buf_adds(out, "<ul class=\"edges\">\n");
	for (size_t i = 0; i < g->n_edges; i++) {
		buf_adds(out, "<li>");
		add_end(out, report, &g->nodes[g->edges[i].from]);
		buf_adds(out, " <i>");
		html_text(out, g->edges[i].relation, 14);
		buf_adds(out, " \xe2\x86\x92</i> ");
		add_end(out, report, &g->nodes[g->edges[i].to]);
		buf_adds(out, "</li>\n");
	}
	buf_adds(out, "</ul>\n");
}

static void add_graph(struct buf *out, const json_t *report, struct graph *g)
{
	int columns, rows;

	graph_place(g, &columns, &rows);
	buf_addf(out,
		 "<div class=\"scroll\"><svg class=\"lineage\" viewBox=\"0 0 %d %d\" width=\"%d\" role=\"img\" "
		 "aria-label=\"lineage\">",
		 columns * (NODE_W + GAP_X) - GAP_X + 2, rows * (NODE_H + GAP_Y) - GAP_Y + 2,
		 columns * (NODE_W + GAP_X) - GAP_X + 2);
	for (size_t i = 0; i < g->n_edges; i++) {
		const struct node *a = &g->nodes[g->edges[i].from], *b = &g->nodes[g->edges[i].to];
		int x0 = node_x(a) + NODE_W, x1 = node_x(b), y0 = node_y(a) + NODE_H / 2, y1 = node_y(b) + NODE_H / 2;

		buf_addf(out, "<path class=\"edge\" d=\"M%d %dC%d %d %d %d %d %d\"/>", x0, y0, x0 + GAP_X / 2, y0,
			 x1 - GAP_X / 2, y1, x1, y1);
	}
	for (size_t i = 0; i < g->n_edges; i++) { /* above all lines */
		const struct node *a = &g->nodes[g->edges[i].from];

		buf_addf(out, "<text class=\"relation mid\" x=\"%d\" y=\"%d\">", node_x(a) + NODE_W + 34,
			 node_y(a) + NODE_H / 2 - 5);
		html_text(out, g->edges[i].relation, 14);
		buf_adds(out, "</text>");
	}
	for (size_t i = 0; i < g->n; i++)
		add_node(out, report, &g->nodes[i]);
	buf_adds(out, "</svg></div>\n");
}

static void add_datasets(struct buf *out, const json_t *list)
{
	const json_t *d;
	size_t i;

	if (!json_array_size(list))
		return;
	buf_adds(out,
		 "<table class=\"plain\"><thead><tr><th scope=\"col\" data-sort>data</th><th scope=\"col\" "
		 "data-sort>used for</th><th scope=\"col\" data-sort>rows</th><th scope=\"col\" data-sort>bytes</th>"
		 "<th scope=\"col\">digest</th></tr></thead><tbody>\n");
	json_array_foreach(list, i, d)
	{
		buf_adds(out, "<tr><th scope=\"row\"><bdi>");
		html_text(out, json_get_text(d, "path", ""), 200);
		buf_adds(out, "</bdi></th><td data-label=\"used for\">");
		html_text(out, json_get_text(d, "role", ""), 20);
		buf_addf(out, "</td><td class=\"num\" data-label=\"rows\" data-v=\"%lld\">",
			 (long long)json_get_int(d, "rows", -1));
		if (json_is_integer(json_object_get(d, "rows")))
			buf_addf(out, "%lld", (long long)json_get_int(d, "rows", 0));
		else
			buf_adds(out, "\xe2\x80\x93");
		buf_addf(out, "</td><td class=\"num\" data-label=\"bytes\">%lld</td><td data-label=\"digest\">",
			 (long long)json_get_int(d, "bytes", 0));
		html_commit(out, json_get_text(d, "digest", ""));
		buf_adds(out, "</td></tr>\n");
	}
	buf_adds(out, "</tbody></table>\n");
}

void html_lineage(struct buf *out, const json_t *report)
{
	const json_t *datasets = json_object_get(report, "datasets");
	struct graph g;

	graph_make(&g, report);
	if (g.n || json_array_size(datasets)) {
		buf_adds(out, "<section id=\"lineage\"><h2>Lineage</h2>\n");
		if (g.n && !g.full) {
			add_graph(out, report, &g);
			add_edges(out, report, &g);
		}
		add_datasets(out, datasets);
		buf_adds(out, "</section>\n");
	}
	for (size_t i = 0; i < g.n; i++)
		free(g.nodes[i].name);
}
