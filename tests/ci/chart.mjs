// chart.mjs FILE…  Parses every mermaid block of Markdown files with mermaid (10.7.0: the one that GitLab has).
import fs from "node:fs";
import { JSDOM } from "jsdom";

const dom = new JSDOM("");
globalThis.window = dom.window;
globalThis.document = dom.window.document;
const { default: mermaid } = await import("mermaid");
let blocks = 0;
for (const file of process.argv.slice(2))
	for (const [, text] of fs.readFileSync(file, "utf8").matchAll(/^```mermaid\n(.*?)^```/gms)) {
		if (text.length >= 2000) throw new Error(`${file}: ${text.length} characters`);
		await mermaid.parse(text);
		blocks++;
	}
console.log(`${blocks} charts parsed`);
process.exit(blocks ? 0 : 1);
