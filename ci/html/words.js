/* words.js: the difference of two answers, word by word.
 *
 * words(before, after) gives [[what, text], …] in reading order, what being 'same', 'gone' or 'new'. Words, runs of
 * blanks and single signs are the tokens. Equal ends are taken off first; of the middle the longest common subsequence is
 * found by the plain table, as long as that has at most four million cells; beyond, the middle counts as rewritten. */
const words = (() => {
	const split = (text) => text.match(/[\p{L}\p{M}\p{N}_]+|\s+|[^\p{L}\p{M}\p{N}_\s]/gu) || [];
	const CELLS = 4e6;

	const middle = (a, b) => {
		const n = a.length, m = b.length;
		if (!n || !m || n * m > CELLS) return [...a.map((w) => ['gone', w]), ...b.map((w) => ['new', w])];
		const width = m + 1, longest = new Uint16Array((n + 1) * width);
		for (let i = n - 1; i >= 0; i--)
			for (let k = m - 1; k >= 0; k--)
				longest[i * width + k] = a[i] === b[k]
					? longest[(i + 1) * width + k + 1] + 1
					: Math.max(longest[(i + 1) * width + k], longest[i * width + k + 1]);
		const out = [];
		let i = 0, k = 0;
		while (i < n && k < m) {
			if (a[i] === b[k]) {
				out.push(['same', a[i]]);
				i++;
				k++;
			} else if (longest[(i + 1) * width + k] >= longest[i * width + k + 1]) {
				out.push(['gone', a[i++]]);
			} else {
				out.push(['new', b[k++]]);
			}
		}
		while (i < n) out.push(['gone', a[i++]]);
		while (k < m) out.push(['new', b[k++]]);
		return out;
	};

	return (before, after) => {
		const a = split(before), b = split(after);
		let head = 0, tail = 0;
		while (head < a.length && head < b.length && a[head] === b[head]) head++;
		while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
		const parts = [
			...a.slice(0, head).map((w) => ['same', w]),
			...middle(a.slice(head, a.length - tail), b.slice(head, b.length - tail)),
			...a.slice(a.length - tail).map((w) => ['same', w]),
		];
		/* Between what stayed, all that went stands before all that came; a blank between two changes is a change too. */
		const out = [];
		let gone = '', come = '';
		const flush = () => {
			if (gone) out.push(['gone', gone]);
			if (come) out.push(['new', come]);
			gone = come = '';
		};
		parts.forEach(([what, text], i) => {
			const inside = what === 'same' && /^\s+$/.test(text) && (gone || come) && parts[i + 1] && parts[i + 1][0] !== 'same';
			if (what === 'gone' || inside) gone += text;
			if (what === 'new' || inside) come += text;
			if (what !== 'same' || inside) return;
			flush();
			if (out.length && out[out.length - 1][0] === 'same') out[out.length - 1][1] += text;
			else out.push(['same', text]);
		});
		flush();
		return out;
	};
})();
