/* samples.js: the list of samples: search, filters, order, and the two answers of one sample side by side.
 *
 * The data is the JSON in #pairs (described in html_samples.c). Everything in it came from strangers: it enters the page
 * as text nodes and never as markup. Of a list of any length only the rows in sight exist; they are moved by a transform
 * and filled again as the list scrolls. */
(() => {
	const data = JSON.parse(document.getElementById('pairs').textContent);
	const host = document.getElementById('list');

	/* ---- the rows ---------------------------------------------------------------------------------------------------- */

	const samples = [];
	for (const task of data.tasks) {
		const sign = task.up[task.key] ? 1 : -1;
		for (const [id, slice, prompt, target, before, after, was, is, cost] of task.rows) {
			const a = was ? was[task.key] : null, b = is ? is[task.key] : null;
			const gain = a === null || b === null ? 0 : sign * (b - a);
			samples.push({
				task, id, slice, prompt, target, before, after, was, is, a, b, gain, cost: cost ?? [0, 0], at: samples.length,
				state: after === null || before === null ? 'alone'
					: gain < 0 ? 'worse' : gain > 0 ? 'better' : before !== after ? 'other' : 'same',
				wrong: task.binary && b === 0,
				low: null,
			});
		}
	}
	const compared = samples.some((s) => s.before !== null);
	const signs = { worse: '▼ worse', better: '▲ better', other: '≠ text', same: '= same', alone: '○ one side' };
	const signOf = (s) => (compared ? signs[s.state] : s.task.binary ? (s.wrong ? '✕ wrong' : '✓ right') : '');
	const haystack = (s) => {
		if (s.low === null)
			s.low = [s.task.task, s.id, s.slice, s.prompt, s.target, s.before, s.after].join('\n').toLowerCase();
		return s.low;
	};

	const filters = [
		['all', 'All', () => true],
		['worse', 'Worse', (s) => s.state === 'worse'],
		['better', 'Better', (s) => s.state === 'better'],
		['other', 'Other text, same score', (s) => s.state === 'other'],
		['wrong', 'Wrong now', (s) => s.wrong],
		['alone', 'On one side only', (s) => compared && s.state === 'alone'],
	].map(([key, name, test]) => ({ key, name, test, n: samples.filter(test).length }))
		.filter((f) => f.key === 'all' || f.n > 0);

	const text = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
	const names = new Intl.Collator('en', { numeric: true });
	const low = (v) => (v === null ? -Infinity : v);
	const orders = {
		/* what got worse first; right and wrong before scores of other kinds, whose size says nothing across tasks */
		state: (x, y) => Math.sign(x.gain) - Math.sign(y.gain) || y.task.binary - x.task.binary || x.gain - y.gain ||
			(y.state === 'other') - (x.state === 'other'),
		id: (x, y) => text(x.task.task, y.task.task) || names.compare(x.id, y.id),
		target: (x, y) => text(x.target ?? '', y.target ?? ''),
		before: (x, y) => text(x.before ?? '', y.before ?? ''),
		after: (x, y) => text(x.after ?? '', y.after ?? ''),
		score: (x, y) => low(x.b) - low(y.b) || low(x.a) - low(y.a),
	};
	const heads = [['state', compared ? 'change' : 'score'], ['id', 'sample'], ['target', 'expected'], ['before', 'baseline'],
		['after', 'candidate'], ['score', 'score']];

	/* ---- the page ------------------------------------------------------------------------------------------------------ */

	const make = (tag, attributes = {}, ...children) => {
		const e = document.createElement(tag);
		for (const [k, v] of Object.entries(attributes)) {
			if (k === 'class') e.className = v;
			else if (k.startsWith('on')) e.addEventListener(k.slice(2), v);
			else e.setAttribute(k, v);
		}
		e.append(...children.filter((c) => c !== null));
		return e;
	};
	const chooser = (label, first, values, change) => {
		const e = make('select', { 'aria-label': label }, make('option', { value: '' }, first));
		for (const v of values) e.append(make('option', { value: v }, v));
		e.addEventListener('change', () => change(e.value));
		return e;
	};

	const view = { filter: 'all', task: '', slice: '', terms: [], order: 'state', down: false };
	let shown = samples, chosen = null;

	const search = make('input', { type: 'search', placeholder: 'Search ids, prompts and answers', 'aria-label': 'search samples',
		autocomplete: 'off', spellcheck: 'false' });
	let waiting = 0;
	search.addEventListener('input', () => {
		clearTimeout(waiting);
		waiting = setTimeout(() => {
			view.terms = search.value.toLowerCase().split(/\s+/).filter(Boolean);
			refresh();
		}, 80);
	});
	const tasks = [...new Set(data.tasks.map((t) => t.task))];
	const slices = [...new Set(samples.map((s) => s.slice).filter((s) => s !== null))].sort(names.compare);
	const buttons = filters.map((f) => make('button', { type: 'button', 'data-filter': f.key, 'aria-pressed': String(f.key === 'all'),
		onclick: () => {
			view.filter = f.key;
			for (const b of buttons) b.setAttribute('aria-pressed', String(b.dataset.filter === f.key));
			refresh();
		} }, `${f.name} `, make('b', {}, f.n.toLocaleString('en'))));
	const order = make('select', { class: 'order', 'aria-label': 'order' },
		...heads.map(([key, name]) => make('option', { value: key }, `by ${name}`)));
	order.addEventListener('change', () => sortBy(order.value, false));
	const tools = make('div', { class: 'tools' }, search,
		tasks.length > 1 ? chooser('task', 'all tasks', tasks, (v) => { view.task = v; refresh(); }) : null,
		slices.length > 1 ? chooser('slice', 'all slices', slices, (v) => { view.slice = v; refresh(); }) : null,
		order, make('div', { class: 'filters', role: 'group', 'aria-label': 'which samples' }, ...buttons));
	const headCells = heads.map(([key, name]) => make('span', { class: `cell ${key}`, role: 'columnheader' },
		make('button', { type: 'button', onclick: () => sortBy(key, view.order === key && !view.down) }, name)));
	const headRow = make('div', { class: 'row heads', role: 'row' }, ...headCells);
	const sheet = make('div', { class: 'sheet', tabindex: '0', role: 'listbox', 'aria-label': 'samples' });
	const pane = make('div', { class: 'window' }, headRow, sheet);
	const detail = make('div', { class: 'detail', 'aria-live': 'polite' });
	host.append(tools, make('div', { class: 'rows' }, pane),
		make('p', { class: 'hint' }, make('kbd', {}, '/'), ' search  ', make('kbd', {}, '↑'), ' ', make('kbd', {}, '↓'),
			' next sample  ', make('kbd', {}, 'Home'), ' ', make('kbd', {}, 'End')), detail);
	host.hidden = false;

	/* ---- what is shown -------------------------------------------------------------------------------------------------- */

	const sortBy = (key, down) => {
		view.order = key;
		view.down = down;
		refresh();
	};
	const refresh = () => {
		const test = filters.find((f) => f.key === view.filter).test;
		shown = samples.filter((s) => test(s) && (!view.task || s.task.task === view.task) &&
			(!view.slice || s.slice === view.slice) && view.terms.every((t) => haystack(s).includes(t)));
		const by = orders[view.order], turn = view.down ? -1 : 1;
		shown.sort((x, y) => turn * by(x, y) || x.at - y.at);
		headCells.forEach((cell, i) => {
			if (heads[i][0] === view.order) cell.setAttribute('aria-sort', view.down ? 'descending' : 'ascending');
			else cell.removeAttribute('aria-sort');
		});
		order.value = view.order;
		pane.scrollTop = 0;
		paint(true);
		host.dataset.shown = shown.length;
	};

	/* Of a row: an answer on one line, from where it gets interesting. */
	const brief = (value) => (value === null ? '–' : value.slice(0, 200).replace(/\s+/g, ' ') || '∅');
	const number = (v) => (v === null ? '–' : Number.isInteger(v) ? String(v) : v.toPrecision(3));
	const scoreText = (s) => (s.was && s.is && compared ? `${number(s.a)} → ${number(s.b)}` : number(s.b ?? s.a));

	const pool = [];
	const rowAt = (k) => {
		while (pool.length <= k) {
			const cells = ['state', 'id', 'target text', 'before text', 'after text', 'score num'].map((c) => make('span', { class: `cell ${c}` }));
			const row = make('div', { class: 'row', role: 'option', id: `row${pool.length}` }, ...cells);
			row.cells = cells;
			row.addEventListener('click', () => choose(row.sample));
			sheet.append(row);
			pool.push(row);
		}
		return pool[k];
	};
	const fill = (row, s, place) => {
		const cells = row.cells;
		cells[0].className = `cell state ${compared ? s.state : s.wrong ? 'worse' : ''}`;
		cells[0].textContent = signOf(s);
		cells[1].textContent = tasks.length > 1 ? `${s.task.task}/${s.id}` : s.id;
		cells[2].textContent = brief(s.target);
		cells[3].textContent = brief(s.before);
		cells[4].textContent = brief(s.after);
		cells[5].textContent = scoreText(s);
		row.setAttribute('aria-setsize', shown.length);
		row.setAttribute('aria-posinset', place + 1);
		row.sample = s;
	};
	let height = 0;
	const paint = (anew) => {
		if (anew || !height) height = rowAt(0).offsetHeight || 40;
		const first = Math.max(0, Math.floor(pane.scrollTop / height) - 3);
		const n = Math.min(shown.length - first, Math.ceil(pane.clientHeight / height) + 7);
		sheet.style.height = `${Math.max(shown.length * height, 1)}px`;
		sheet.removeAttribute('aria-activedescendant');
		for (let k = 0; k < Math.max(n, pool.length); k++) {
			const row = rowAt(k);
			row.hidden = k >= n;
			row.style.display = k >= n ? 'none' : '';
			if (k >= n) continue;
			const s = shown[first + k];
			if (anew || row.sample !== s) fill(row, s, first + k);
			row.style.transform = `translateY(${(first + k) * height}px)`;
			row.setAttribute('aria-selected', String(s === chosen));
			if (s === chosen) sheet.setAttribute('aria-activedescendant', row.id);
		}
		nothing.hidden = shown.length > 0;
	};
	const nothing = make('p', { class: 'nothing', hidden: '' }, 'No sample fits.');
	pane.append(nothing);
	let asked = false;
	pane.addEventListener('scroll', () => {
		if (asked) return;
		asked = true;
		requestAnimationFrame(() => {
			asked = false;
			paint(false);
		});
	}, { passive: true });
	addEventListener('resize', () => paint(true));

	/* ---- one sample ------------------------------------------------------------------------------------------------------- */

	const answer = (side, name, value, parts, skip, tag) => {
		const pre = make('pre', { class: side });
		if (value === null) pre.append(make('em', {}, 'not there'));
		else if (value === '') pre.append(make('em', {}, 'empty'));
		else for (const [what, part] of parts) {
			if (what === skip) continue;
			pre.append(what === 'same' ? part : make(tag, {}, part.replace(/\n/g, '⏎\n')));
		}
		return make('div', {}, make('h4', {}, name), pre);
	};
	const block = (name, value) => make('div', { class: 'wide' }, make('h4', {}, name),
		make('pre', {}, value === '' ? make('em', {}, 'empty') : value));
	/* Numbers that come as such: anything else is not shown. */
	const costText = ([tokens, seconds]) => [tokens > 0 ? `${Number(tokens)} ${Number(tokens) === 1 ? 'token' : 'tokens'}` : '',
		seconds > 0 ? `${Number(seconds).toPrecision(2)} s` : ''].filter(Boolean).join(', ');
	const present = (s) => {
		const parts = s.before !== null && s.after !== null ? words(s.before, s.after) : null;
		const scores = s.task.metrics.map((name, m) => {
			const a = s.was ? s.was[m] : null, b = s.is ? s.is[m] : null;
			return make('span', {}, `${name} `, make('b', {}, compared && s.was ? `${number(a)} → ${number(b)}` : number(b)));
		});
		detail.replaceChildren(
			make('h3', {}, `${s.task.task}/${s.id}`, s.slice === null ? '' : ` · ${s.slice}`),
			make('div', { class: 'wide scores' }, make('span', { class: `state ${s.state}` }, signOf(s)), ...scores,
				costText(s.cost) ? make('span', {}, costText(s.cost)) : null),
			block('prompt', s.prompt ?? ''), block('expected', s.target ?? ''),
			...(compared ? [answer('a', 'baseline', s.before, parts ?? [['same', s.before]], 'new', 'del')] : []),
			answer('b', compared ? 'candidate' : 'answer', s.after, parts ?? [['same', s.after]], 'gone', 'ins'));
	};
	const choose = (s) => {
		if (!s) return;
		chosen = s;
		present(s);
		paint(false);
		try {
			history.replaceState(null, '', `#sample=${encodeURIComponent(`${s.task.task}/${s.id}`)}`);
		} catch { /* a page that may not change its address */ }
	};

	/* ---- keys, and the address ------------------------------------------------------------------------------------------------ */

	const reveal = (at) => {
		const top = at * height;
		if (top < pane.scrollTop) pane.scrollTop = top;
		const room = pane.clientHeight - headRow.offsetHeight; /* the headings stay on top */
		if (top + height > pane.scrollTop + room) pane.scrollTop = top + height - room;
		choose(shown[at]);
	};
	sheet.addEventListener('keydown', (event) => {
		const page = Math.max(1, Math.floor(pane.clientHeight / height) - 1);
		const at = chosen ? shown.indexOf(chosen) : -1;
		const to = { ArrowDown: at + 1, j: at + 1, ArrowUp: at - 1, k: at - 1, PageDown: at + page, PageUp: at - page,
			Home: 0, End: shown.length - 1 }[event.key];
		if (to === undefined || !shown.length || event.ctrlKey || event.metaKey || event.altKey) return;
		event.preventDefault();
		reveal(Math.min(Math.max(to, 0), shown.length - 1));
	});
	addEventListener('keydown', (event) => {
		const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName ?? '');
		if (event.key === '/' && !typing && !event.ctrlKey && !event.metaKey) {
			event.preventDefault();
			search.focus();
			search.scrollIntoView({ block: 'center' });
		}
		if (event.key === 'Escape' && document.activeElement === search) {
			search.value = '';
			search.dispatchEvent(new Event('input'));
			sheet.focus({ preventScroll: true });
		}
	});

	if (filters.some((f) => f.key === 'worse')) buttons.find((b) => b.dataset.filter === 'worse').click();
	else refresh();
	const wanted = /^#sample=(.*)$/.exec(location.hash);
	let target = null;
	if (wanted) {
		try {
			const name = decodeURIComponent(wanted[1]);
			target = samples.find((s) => `${s.task.task}/${s.id}` === name) ?? null;
		} catch { /* not a name of ours */ }
	}
	if (target) {
		buttons[0].click();
		reveal(shown.indexOf(target));
		host.scrollIntoView();
	} else if (shown.length) {
		chosen = shown[0];
		present(chosen);
		paint(false);
	}
})();
