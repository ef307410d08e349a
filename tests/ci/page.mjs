/* page.mjs PAGE… [--shots FOLDER]: the report's page in a real browser (Chromium by puppeteer-core, $CHROMIUM or the usual names).
 *
 * Checked: no request leaves the page and nothing of the hostile texts runs, becomes an element of its own or closes
 * one; the policy stands; tables sort; samples are searched, filtered, ordered, walked by keys and shown with their
 * difference; only the rows in sight exist; the theme can be chosen; a phone needs no sideways scrolling; without scripts
 * and on paper the page still says what broke. With --shots: pictures to look at. Prints how long things took. */
import { existsSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { resolve } from 'node:path';
import puppeteer from 'puppeteer-core';

const args = process.argv.slice(2), at = args.indexOf('--shots');
const shots = at < 0 ? null : args.splice(at, 2)[1];
const chromium = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']
	.find((p) => p && existsSync(p));
if (!chromium) {
	console.log('SKIP no chromium here');
	process.exit(0);
}
let failures = 0;
const check = (name, right, got = '') => {
	if (!right) failures++;
	console.log(`${right ? 'ok' : 'not ok'} - ${name}${right || got === '' ? '' : `: ${JSON.stringify(got)}`}`);
};
const browser = await puppeteer.launch({ executablePath: chromium, args: ['--no-sandbox', '--allow-file-access-from-files'] });

const open = async (path, options = {}) => {
	const page = await browser.newPage();
	page.requests = [];
	page.errors = [];
	page.on('request', (r) => { if (!r.url().startsWith('data:')) page.requests.push(r.url()); });
	page.on('pageerror', (e) => page.errors.push(String(e)));
	page.on('console', (m) => { if (m.type() === 'error') page.errors.push(m.text()); });
	page.on('dialog', (d) => { page.errors.push(`dialog: ${d.message()}`); d.dismiss(); });
	await page.setViewport({ width: options.width ?? 1280, height: options.height ?? 900, deviceScaleFactor: options.scale ?? 1,
		isMobile: Boolean(options.phone), hasTouch: Boolean(options.phone) });
	await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: options.dark ? 'dark' : 'light' }]);
	if (options.scripts === false) await page.setJavaScriptEnabled(false);
	const start = performance.now();
	await page.goto(pathToFileURL(resolve(path)).href, { waitUntil: 'load' });
	page.took = performance.now() - start;
	return page;
};
const wait = (page, test, ...rest) => page.waitForFunction(test, { timeout: 20000 }, ...rest);
const shown = (page) => page.$eval('#list', (e) => Number(e.dataset.shown));
/* The first screen, and each section: what a reader sees at once. */
const shot = async (page, name) => {
	if (!shots) return;
	await page.evaluate(() => {
		document.querySelector('.bar').style.position = '';
		scrollTo(0, 0);
	});
	await page.screenshot({ path: `${shots}/${name}.png` });
	await page.evaluate(() => { document.querySelector('.bar').style.position = 'static'; });
	for (const section of await page.$$('section'))
		await section.screenshot({ path: `${shots}/${name}-${await section.evaluate((e) => e.id)}.png` });
};

for (const path of args) {
	const page = await open(path);
	check(`${path}: one request, its own`, page.requests.length === 1, page.requests);
	check('no error, no dialog', page.errors.length === 0, page.errors);
	check('nothing hostile ran', await page.evaluate(() => window.pwned === undefined), await page.evaluate(() => window.pwned));
	check('scripts: one of ours, one block of data', await page.evaluate(() =>
		[...document.scripts].map((s) => s.type).join() === 'application/json,'));
	check('no foreign elements', await page.evaluate(() => document.querySelectorAll('iframe,img,object,embed,base,form,video,audio').length === 0 &&
		document.querySelectorAll('link').length === 1 && document.querySelectorAll('style').length === 1));
	check('no handlers, no style attributes from the document', await page.evaluate(() => [...document.querySelectorAll('main *')].every((e) =>
		[...e.attributes].every((a) => !a.name.startsWith('on')))));
	check('no control or reordering characters in sight', await page.evaluate(() =>
		!/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/.test(document.querySelector('main').innerText)));
	check('an inline script is refused by the policy', await page.evaluate(() => {
		const s = document.createElement('script');
		s.textContent = 'window.pwned = 99';
		document.body.append(s);
		s.remove();
		return window.pwned === undefined;
	}));
	check('a request is refused by the policy', await page.evaluate(() => fetch('http://127.0.0.1:9/').then(() => false, () => true)));
	check('tables and lists have names for those who do not see', await page.evaluate(() =>
		[...document.querySelectorAll('svg')].every((s) => s.getAttribute('aria-label') || s.getAttribute('aria-hidden')) &&
		[...document.querySelectorAll('select,input')].every((s) => s.getAttribute('aria-label'))));

	/* tables */
	const column = (n) => page.$$eval('.metrics.main tbody tr', (rows, k) => rows.map((r) => r.cells[k].dataset.v), n);
	await page.evaluate(() => document.querySelectorAll('.metrics.main thead button')[2].click());
	const numbers = (await column(2)).filter((v) => v !== '').map(Number);
	check('a table sorts by its heading', numbers.length > 1 && numbers.every((v, i) => !i || numbers[i - 1] <= v), numbers);
	await page.evaluate(() => document.querySelectorAll('.metrics.main thead button')[2].click());
	const turned = (await column(2)).filter((v) => v !== '').map(Number);
	check('and the other way round', turned.every((v, i) => !i || turned[i - 1] >= v), turned);

	/* samples */
	const data = await page.$eval('#pairs', (e) => {
		const d = JSON.parse(e.textContent);
		return { n: d.tasks.reduce((n, t) => n + t.rows.length, 0), tasks: d.tasks.map((t) => t.task),
			worse: d.tasks.reduce((n, t) => n + t.rows.filter((r) => r[6] && r[7] && (r[7][t.key] - r[6][t.key]) * (t.up[t.key] ? 1 : -1) < 0).length, 0),
			ticket: d.tasks.reduce((n, t) => n + t.rows.filter((r) => {
				const all = [t.task, ...r.slice(0, 6)].join('\n').toLowerCase();
				return ['ticket', '12', 'refund'].every((w) => all.includes(w));
			}).length, 0) };
	});
	check('opens with what got worse', await shown(page) === data.worse, [await shown(page), data.worse]);
	await page.click('[data-filter=all]');
	check('all are there', await shown(page) === data.n, await shown(page));
	check('of them only the rows in sight exist', await page.$$eval('.sheet .row', (r) => r.length) < 60);
	let start = performance.now();
	await page.type('#list input[type=search]', 'ticket 12 refund');
	await wait(page, (n) => Number(document.querySelector('#list').dataset.shown) === n, data.ticket);
	const searched = performance.now() - start;
	check('search finds every word, in any order', await shown(page) === data.ticket, data.ticket);
	await page.keyboard.press('Escape');
	await wait(page, (n) => Number(document.querySelector('#list').dataset.shown) === n, data.n);
	await page.select('#list select[aria-label=task]', data.tasks[1]);
	check('by task', await shown(page) < data.n && (await page.$$eval('.sheet .row:not([hidden]) .id', (c) => c.map((e) => e.textContent)))
		.every((t) => t.startsWith(`${data.tasks[1]}/`)));
	await page.select('#list select[aria-label=task]', '');
	start = performance.now();
	await page.evaluate(() => [...document.querySelectorAll('.heads button')].find((b) => b.textContent === 'score').click());
	const sorted = performance.now() - start;
	await page.evaluate(() => [...document.querySelectorAll('.heads button')].find((b) => b.textContent === 'sample').click());
	await page.focus('.sheet');
	await page.keyboard.press('End');
	check('keys reach the end', await page.$eval('.sheet [aria-selected=true]', (e) => Number(e.getAttribute('aria-posinset'))) === data.n);
	await page.keyboard.press('Home');
	await page.keyboard.press('ArrowDown');
	check('and walk', await page.$eval('.sheet [aria-selected=true]', (e) => e.getAttribute('aria-posinset')) === '2');
	await page.keyboard.press('/');
	check('/ searches', await page.evaluate(() => document.activeElement.type === 'search'));
	check('the address names the sample', (await page.evaluate(() => location.hash)).startsWith('#sample='));
	await page.click('[data-filter=worse]');
	await page.evaluate(() => document.querySelector('.sheet .row').click());
	const [before, after, marks] = await page.$$eval('.detail', ([d]) => [d.querySelector('pre.a').textContent, d.querySelector('pre.b').textContent,
		d.querySelectorAll('del,ins').length]);
	check('the difference of the two answers is marked', marks > 0 && before !== after);
	check('words(): the parts are the answers', await page.evaluate(() => {
		const texts = ['', 'a b c', 'a c', 'Übung macht 12,5 % 日本', 'x\ny  z', 'a b x c d', 'the same the same'];
		return texts.every((a) => texts.every((b) => {
			const parts = words(a, b);
			const side = (skip) => parts.filter(([w]) => w !== skip).map(([, t]) => t).join('');
			return side('new') === a && side('gone') === b && (a !== b || parts.every(([w]) => w === 'same'));
		})) && JSON.stringify(words('it is 1969 now', 'it is 1996 now')) ===
			'[["same","it is "],["gone","1969"],["new","1996"],["same"," now"]]';
	}));
	start = performance.now();
	await page.evaluate(async () => {
		const w = document.querySelector('.window');
		for (let i = 0; i < 60; i++) {
			w.scrollTop = i * w.scrollHeight / 60;
			await new Promise(requestAnimationFrame);
		}
	});
	const scrolled = (performance.now() - start) / 60;
	check('still inert after all of it', await page.evaluate(() => window.pwned === undefined) && page.requests.length <= 2, page.requests);

	/* the looks */
	await page.evaluate(() => { document.querySelector('.window').scrollTop = 0; scrollTo(0, 0); });
	const colour = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
	const light = await colour();
	await page.click('#theme');
	await page.click('#theme');
	check('dark can be chosen', light !== await colour());
	await page.click('#theme');
	const fresh = await open(path);
	await shot(fresh, 'light');
	await fresh.close();
	const dark = await open(path, { dark: true });
	check('dark where the system is', light !== await dark.evaluate(() => getComputedStyle(document.body).backgroundColor));
	await shot(dark, 'dark');
	await dark.close();
	const phone = await open(path, { width: 390, height: 844, phone: true, scale: 2 });
	check('a phone, which has no headings, names its numbers', await phone.evaluate(() =>
		[...document.querySelectorAll('table:not(.printed):not(.steps) td.num')].every((c) => c.dataset.label)));
	check('a phone scrolls one way only', await phone.evaluate(() => document.documentElement.scrollWidth <= innerWidth),
		await phone.evaluate(() => [document.documentElement.scrollWidth, innerWidth]));
	check('a phone reads the lineage as a list, and nothing is cut off', await phone.evaluate(() => {
		const list = document.querySelector('#lineage .edges'), edges = document.querySelectorAll('#lineage .edge').length;
		const cut = [...document.querySelectorAll('.scroll, .edges li')].filter((e) => e.offsetParent && e.scrollWidth > e.clientWidth);
		return !list || (list.offsetHeight > 0 && list.children.length === edges && cut.length === 0);
	}));
	await shot(phone, 'phone');
	const night = await open(path, { width: 390, height: 844, phone: true, scale: 2, dark: true });
	await shot(night, 'phone-dark');
	await night.close();
	await phone.close();
	const plain = await open(path, { scripts: false });
	await shot(plain, 'plain');
	check('without scripts: the samples that broke stand there', await plain.$eval('.printed', (e) => e.rows.length) > 1);
	await plain.emulateMediaType('print');
	await shot(plain, 'print');
	await plain.close();
	console.log(`# ${data.n} samples: loaded in ${page.took.toFixed(0)} ms, searched in ${searched.toFixed(0)} ms (16 keys typed), ` +
		`ordered in ${sorted.toFixed(0)} ms, ${scrolled.toFixed(1)} ms a frame when scrolling, ` +
		`${(await page.metrics()).JSHeapUsedSize / 1e6 | 0} MB of heap`);
	await page.close();
}
await browser.close();
process.exit(failures ? 1 : 0);
