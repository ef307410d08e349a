// action.mjs ACTION WORK STATE [KEY=VALUE…]  Runs the script steps of our composite action as a runner would: bash -eo
// pipefail, expressions filled in from inputs, steps, github and runner, GITHUB_OUTPUT and GITHUB_STEP_SUMMARY as
// files, actions/cache as a copy of the folder to STATE/cache and back. Prints {"exit", "outputs"}.
//
// It knows just the expressions that our action uses, and stops at one that it does not know.
import fs from "node:fs";
import path from "node:path";
import { spawnSync } from "node:child_process";
import yaml from "js-yaml";

const [file, work, state, ...settings] = process.argv.slice(2);
const action = yaml.load(fs.readFileSync(file, "utf8"));
const inputs = {}, github = {}, steps = {};
let environment = "github-hosted";
for (const [name, input] of Object.entries(action.inputs)) inputs[name] = input.default;
for (const s of settings) {
	const [name, value] = [s.slice(0, s.indexOf("=")), s.slice(s.indexOf("=") + 1)];
	if (name.startsWith("github.")) github[name.slice(7)] = value;
	else if (name === "runner.environment") environment = value;
	else inputs[name] = value;
}
const temp = path.join(state, "temp");
fs.rmSync(temp, { recursive: true, force: true });
fs.mkdirSync(temp, { recursive: true });
const runner = { os: "Linux", arch: "X64", temp };

const ISFORK = "startsWith(github.event_name, 'pull_request') && github.event.pull_request.head.repo.full_name != github.repository";
const fork = () => (github.event_name ?? "").startsWith("pull_request") && github["event.pull_request.head.repo.full_name"] !== github.repository;

function value(expression) {
	const e = expression.trim();
	if (e === ISFORK) return String(fork());
	const [root, ...rest] = e.split(".");
	if (root === "inputs") return inputs[rest.join(".")];
	if (root === "runner") return runner[rest[0]];
	if (root === "github") return github[rest.join(".")] ?? "";
	if (root === "steps" && rest[1] === "outputs") return steps[rest[0]]?.[rest[2]] ?? "";
	throw new Error(`unknown expression: ${e}`);
}
const fill = (text) => String(text).replace(/\$\{\{(.*?)\}\}/gs, (_, e) => value(e));

// The conditions that the action has, as the runner would decide them.
function wanted(step, failed) {
	if (!step.if) return !failed;
	const c = step.if.replace(/\s+/g, " ").trim();
	if (c === "inputs.self-hosted-forks != 'true' && runner.environment == 'self-hosted' && " + ISFORK)
		return !failed && inputs["self-hosted-forks"] !== "true" && environment === "self-hosted" && fork();
	if (c === "inputs.cache == 'true'") return !failed && inputs.cache === "true";
	if (c === "always() && inputs.cache == 'true' && steps.run.outputs.exit != '' && github.event_name == 'push' && " +
		"github.ref == format('refs/heads/{0}', github.event.repository.default_branch)")
		return inputs.cache === "true" && (steps.run?.exit ?? "") !== "" && github.event_name === "push" &&
			github.ref === `refs/heads/${github["event.repository.default_branch"]}`;
	if (c === "always() && steps.run.outputs.report-dir != '' && (inputs.status == 'true' || " +
		"(inputs.comment == 'true' && github.event_name == 'pull_request'))")
		return (steps.run?.["report-dir"] ?? "") !== "" &&
			(inputs.status === "true" || (inputs.comment === "true" && github.event_name === "pull_request"));
	if (c === "inputs.remote != ''") return !failed && inputs.remote !== "";
	if (c === "always() && inputs.remote != '' && steps.run.outputs.exit != '' && (!startsWith(github.event_name, 'pull_request') || " +
		"github.event.pull_request.head.repo.full_name == github.repository)")
		return inputs.remote !== "" && (steps.run?.exit ?? "") !== "" && !fork();
	if (c === "always() && steps.run.outputs.exit != ''") return (steps.run?.exit ?? "") !== "";
	throw new Error(`unknown condition: ${c}`);
}

function cache(step) {
	const kept = path.join(state, "cache"), folder = fill(step.with.path);
	const restore = step.uses.startsWith("actions/cache/restore@");
	if (!restore && !step.uses.startsWith("actions/cache/save@")) throw new Error(`unknown action: ${step.uses}`);
	const prefix = fill(restore ? step.with["restore-keys"] : step.with.key).trim();
	if (restore) {
		const found = fs.existsSync(kept) ? fs.readdirSync(kept).filter((k) => k.startsWith(prefix)) : [];
		found.sort((a, b) => fs.statSync(path.join(kept, a)).mtimeMs - fs.statSync(path.join(kept, b)).mtimeMs);
		if (found.length) fs.cpSync(path.join(kept, found.at(-1)), folder, { recursive: true });
		console.error(`cache: ${found.at(-1) ?? "nothing"} restored for ${prefix}`);
	} else {
		fs.cpSync(folder, path.join(kept, prefix), { recursive: true });
		console.error(`cache: saved as ${prefix}`);
	}
}

function script(step) {
	const output = path.join(temp, `output-${Object.keys(steps).length}`);
	fs.writeFileSync(output, "");
	const env = {
		...process.env, GITHUB_ACTIONS: "true", CI: "true", RUNNER_TEMP: temp, GITHUB_OUTPUT: output,
		GITHUB_STEP_SUMMARY: path.join(state, "summary.md"), GITHUB_ACTION_PATH: path.dirname(path.resolve(file)),
		GITHUB_EVENT_NAME: github.event_name ?? "", GITHUB_EVENT_PATH: github.event_path ?? "", GITHUB_REF: github.ref ?? "",
		GITHUB_API_URL: "http://127.0.0.1:9", GITHUB_SERVER_URL: "https://forge.example", GITHUB_REPOSITORY: "team/sums",
		GITHUB_RUN_ID: github.run_id ?? "", GITHUB_RUN_ATTEMPT: github.run_attempt ?? "",
		GITHUB_REF_PROTECTED: github.ref_protected ?? "false", GITHUB_SHA: github.sha ?? "",
	};
	for (const [k, v] of Object.entries(step.env ?? {})) env[k] = fill(v);
	const cwd = path.resolve(work, step["working-directory"] ? fill(step["working-directory"]) : ".");
	const done = spawnSync("bash", ["--noprofile", "--norc", "-eo", "pipefail", "-c", step.run], {
		cwd, env, stdio: ["ignore", 2, 2],
	});
	const out = {};
	for (const line of fs.readFileSync(output, "utf8").split("\n"))
		if (line.includes("=")) out[line.slice(0, line.indexOf("="))] = line.slice(line.indexOf("=") + 1);
	if (step.id) steps[step.id] = out;
	return done.status ?? 255;
}

let failed = 0;
for (const step of action.runs.steps) {
	if (!wanted(step, failed)) continue;
	console.error(`step: ${step.name}`);
	if (step.uses) cache(step);
	else if (!step.shell) throw new Error(`no shell: ${step.name}`);
	else failed = script(step) || failed;
}
const outputs = {};
for (const [name, o] of Object.entries(action.outputs)) outputs[name] = fill(o.value);
console.log(JSON.stringify({ exit: failed, outputs }));
