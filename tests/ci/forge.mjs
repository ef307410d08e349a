// forge.mjs LOG…  The exchanges of tests/unit/test_forge.c (ASSAY_TEST_FORGE_LOG) against GitHub's own OpenAPI description
// (@octokit/openapi): every request of ours is one that GitHub describes (path, method, query, body), and the fake GitHub
// answers with nothing that GitHub would not: a described status, members that exist, of the type they have. A fake's answer
// may leave members out, but for those that assay reads, which the description must promise.
import fs from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const Ajv = require("ajv");
const formats = require("ajv-formats");
const api = JSON.parse(fs.readFileSync(require.resolve("@octokit/openapi/generated/api.github.com.deref.json")));
const ajv = new Ajv({ strict: false, allErrors: false });
formats(ajv);

// OpenAPI 3.0 says nullable where JSON Schema has a type; exact: no other members; partly: none is required
function schema(s, exact, partly) {
	if (Array.isArray(s)) return s.map((x) => schema(x, exact, partly));
	if (!s || typeof s !== "object") return s;
	const out = {};
	for (const [k, v] of Object.entries(s)) {
		if (k === "example" || k === "examples" || k === "description" || (k === "required" && partly && Array.isArray(v))) continue;
		if (k === "properties") {
			out[k] = Object.fromEntries(Object.entries(v).map(([name, x]) => [name, schema(x, exact, partly)]));
			continue;
		}
		out[k] = k === "enum" || k === "default" ? v : schema(v, exact, partly);
	}
	if (s.nullable && typeof s.type === "string") out.type = [s.type, "null"];
	if (exact && s.properties && typeof s.type === "string" && s.additionalProperties === undefined) out.additionalProperties = false;
	return out;
}
const compiled = new Map();
function check(key, s, exact, partly, value) {
	if (!compiled.has(key)) compiled.set(key, ajv.compile(schema(s, exact, partly)));
	const validate = compiled.get(key);
	return validate(value) ? null : ajv.errorsText(validate.errors);
}

function find(path) {
	// GitHub's own links to further pages name the repository by its number
	const parts = path.replace(/^\/repositories\/\d+\//, "/repos/o/r/").split("/");
	for (const [template, item] of Object.entries(api.paths)) {
		const t = template.split("/");
		if (t.length === parts.length && t.every((x, i) => x === parts[i] || (x.startsWith("{") && parts[i] !== ""))) return [template, item];
	}
	return [null, null];
}

// what forge.c reads of an answer, by operation
const read = {
	"issues/list-comments": ["id", "user"],
	"issues/create-comment": ["id", "user"],
	"pulls/list": ["number", "head", "merge_commit_sha"],
	"pulls/get": ["number", "head"],
	"users/get-authenticated": ["login", "id"],
};

function promised(op, s) {
	const one = s.type === "array" ? s.items : s;
	const all = [one, ...(one.oneOf || []), ...(one.anyOf || []), ...(one.allOf || [])];
	return (read[op] || []).filter((m) => !all.some((x) => (x.required || []).includes(m)));
}

export function judge(e) {
	const [path, query] = e.path.split("?");
	const [template, item] = find(path);
	if (!item) return `${path}: GitHub has no such path`;
	const op = item[e.method.toLowerCase()];
	if (!op) return `${e.method} ${template}: no such method`;
	const where = `${e.method} ${template}`;
	for (const [name, value] of new URLSearchParams(query || "")) {
		const p = (op.parameters || []).find((q) => q.in === "query" && q.name === name);
		if (!p) return `${where}: no parameter ${name}`;
		const bad = check(`${where} ?${name}`, p.schema, false, false, p.schema.type === "integer" ? Number(value) : value);
		if (bad) return `${where}: ${name}=${value}: ${bad}`;
	}
	const wants = op.requestBody?.content?.["application/json"]?.schema;
	if (e.request && !wants) return `${where}: takes no body`;
	// the doctor's question whether a token may comment: a comment without a text, which is to be refused
	const probe = e.method === "POST" && [403, 422, 502].includes(e.status) && JSON.stringify(e.request) === "{}";
	if (wants && !probe && (e.request || op.requestBody.required)) {
		const bad = check(`${where} body`, wants, true, false, e.request ?? null);
		if (bad) return `${where}: our body: ${bad}`;
	}
	const answer = op.responses[e.status];
	if (!answer) {
		// refusals that hold for every operation are not in each one's list (a bad token, rate limits, a proxy's 502)
		if ([401, 403, 404, 422, 429, 502].includes(e.status)) return null;
		return `${where}: GitHub does not answer ${e.status}`;
	}
	const gives = answer.content?.["application/json"]?.schema;
	if (!gives || e.reply === null || e.reply === undefined) return null;
	const missing = e.status < 300 ? promised(op.operationId, gives) : [];
	if (missing.length) return `${where}: GitHub does not promise ${missing}`;
	const bad = check(`${where} ${e.status}`, gives, true, true, e.reply);
	return bad ? `${where}: the fake's answer ${e.status}: ${bad}` : null;
}

const seen = {};
let failed = 0;
for (const file of process.argv.slice(2))
	for (const line of fs.readFileSync(file, "utf8").split("\n").filter(Boolean)) {
		const e = JSON.parse(line);
		const bad = judge(e);
		const key = `${e.method} ${find(e.path.split("?")[0])[0]} ${e.status}`;
		seen[key] = (seen[key] || 0) + 1;
		if (bad) {
			failed++;
			console.log(bad);
		}
	}
for (const [k, n] of Object.entries(seen).sort()) console.log(`# ${k}: ${n}`);
if (!Object.keys(seen).length) failed++;
process.exit(failed ? 1 : 0);
