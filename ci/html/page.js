/* page.js: what every page of a report has: light or dark, and tables that sort by their headings. Without it the page
 * says the same. The scripts of a page share one scope; nothing here is global. */
'use strict';
(() => {
	const root = document.documentElement;
	root.classList.add('scripts');

	/* Light or dark: as the system has it, until the reader says otherwise. A page opened from a file may have no
	 * storage; then the choice lasts as long as the page. */
	const button = document.getElementById('theme');
	const choices = ['auto', 'light', 'dark'];
	let choice = 'auto';
	const show = () => {
		if (choice === 'auto') delete root.dataset.theme;
		else root.dataset.theme = choice;
		button.textContent = { auto: '◐ auto', light: '☀ light', dark: '☾ dark' }[choice];
		button.setAttribute('aria-label', `colours: ${choice}`);
	};
	try {
		const kept = localStorage.getItem('assay-theme');
		if (choices.includes(kept)) choice = kept;
	} catch { /* no storage */ }
	button.hidden = false;
	show();
	button.addEventListener('click', () => {
		choice = choices[(choices.indexOf(choice) + 1) % choices.length];
		try {
			localStorage.setItem('assay-theme', choice);
		} catch { /* no storage */ }
		show();
	});

	/* Tables: a click on a heading sorts by it, another turns it round. Numbers stand in data-v; what has none is last. */
	const value = (row, column) => {
		const cell = row.cells[column];
		if (cell.dataset.v !== undefined) return cell.dataset.v === '' ? null : Number(cell.dataset.v);
		const text = cell.textContent.trim();
		return text !== '' && !Number.isNaN(Number(text)) ? Number(text) : text.toLowerCase();
	};
	const compare = (a, b) => {
		if (a === null || b === null) return (a === null) - (b === null);
		return typeof a === 'number' && typeof b === 'number' ? a - b : String(a).localeCompare(String(b), 'en', { numeric: true });
	};
	const sort = (head) => {
		const table = head.closest('table'), column = head.cellIndex;
		const down = head.getAttribute('aria-sort') === 'ascending';
		for (const h of table.tHead.rows[0].cells) h.removeAttribute('aria-sort');
		head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
		const rows = [...table.tBodies[0].rows].map((row, i) => ({ row, i, v: value(row, column) }));
		rows.sort((x, y) => {
			const gap = compare(x.v, y.v);
			return (x.v === null || y.v === null || !down ? gap : -gap) || x.i - y.i;
		});
		table.tBodies[0].append(...rows.map((r) => r.row));
	};
	for (const head of document.querySelectorAll('th[data-sort]')) {
		const b = document.createElement('button');
		b.type = 'button';
		b.textContent = head.textContent;
		b.addEventListener('click', () => sort(head));
		head.replaceChildren(b);
	}

	/* On paper nothing is folded. */
	let folded = [];
	addEventListener('beforeprint', () => {
		folded = [...document.querySelectorAll('details:not([open])')];
		for (const d of folded) d.open = true;
	});
	addEventListener('afterprint', () => {
		for (const d of folded) d.open = false;
	});
})();
