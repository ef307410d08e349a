#!/usr/bin/env python3
"""The gate's numbers against scipy, statsmodels and the definitions (make check-reference).

Random pairs of score files go through `assay gate --json`; its intervals and verdicts are made again here:
  suite, 0/1         Tango's interval by maximising the likelihood over q, and root finding
  suite, real        Student's t of the differences (scipy)
  population, 0/1    the exact test as a sum over all outcomes on a fine grid of q (scipy's binomial), and McNemar's sign
  min, 0/1           Clopper-Pearson (statsmodels) and the exact binomial test (scipy)
  min, real          betting, from its definition
And two kinds of sequences that the gate does not use, against the numbers that are stated of them: the beta mixture on
discordant pairs, and closed-form confidence sequences (empirical Bernstein, normal mixture, asymptotic).
usage: check_statistics.py ASSAY [SEED]"""
import json
import math
import os
import subprocess
import sys
import tempfile

import numpy as np
from scipy import optimize, special, stats
from statsmodels.stats.proportion import proportion_confint

ASSAY = sys.argv[1]
rng = np.random.default_rng(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
work = tempfile.mkdtemp()
checks = 0


def gate(base, cand, policy):
    for name, scores in (("a.jsonl", base), ("b.jsonl", cand)):
        with open(os.path.join(work, name), "w") as f:
            for i, s in enumerate(scores):
                f.write(json.dumps({"id": i, "score": float(s) if s % 1 else int(s)}) + "\n")
    with open(os.path.join(work, "p.yaml"), "w") as f:
        f.write(policy)
    run = subprocess.run([ASSAY, "gate", "a.jsonl", "b.jsonl", "--policy", "p.yaml", "--json"], cwd=work,
                         capture_output=True, text=True)
    if run.returncode not in (0, 1, 2):
        sys.exit(run.stderr)
    return json.loads(run.stdout)["rules"][0]


def close(what, got, want, within):
    global checks
    checks += 1
    if not abs(got - want) <= within:
        sys.exit(f"{what}: got {got!r}, want {want!r}")


def same(what, got, want):
    global checks
    checks += 1
    if got != want:
        sys.exit(f"{what}: got {got}, want {want}")


def tango_z(n, b, c, d):
    if d < 0:
        return -tango_z(n, c, b, -d)
    if d == 0 and b + c == 0:
        return 0.0

    def slope(q):
        return (b / (q + d) if b else 0) + (c / q if c else 0) - 2 * (n - b - c) / (1 - 2 * q - d)

    top, eps = (1 - d) / 2, 1e-15
    if slope(eps) <= 0:
        q = 0.0
    elif n == b + c and slope(top - eps) > 0:
        q = top
    else:
        q = optimize.brentq(slope, eps, top - 1e-15, xtol=1e-16, rtol=1e-14)
    return (b - c - n * d) / math.sqrt(n * (2 * q + d * (1 - d)))


def exact_p(n, b, c, d):
    """The largest probability over q of the outcomes that Tango's statistic puts no higher than this one."""
    z = tango_z(n, b, c, d) + 1e-9
    limit = []
    k = -1
    for won in range(n + 1):
        k = min(k, n - won)
        while k < n - won and tango_z(n, k + 1, won, d) <= z:
            k += 1
        limit.append(k)
    limit = np.array(limit)
    won = np.arange(n + 1)
    best = 0.0
    lo, hi = max(0.0, -d), (1 - d) / 2
    u = np.linspace(0, 1, 2001)
    for q in np.concatenate([lo + (hi - lo) * u ** 2, lo + (hi - lo) * u ** 4]):
        p = min(1.0, (q + d) / (1 - q))
        best = max(best, float(np.sum(stats.binom.pmf(won, n, q) * stats.binom.cdf(limit, n - won, p))))
    return best


def pair(n, flips, tilt):
    base = (rng.random(n) < 0.7).astype(int)
    cand = base.copy()
    cand[(rng.random(n) < flips) & (base == 1)] = 0
    cand[(rng.random(n) < flips * tilt) & (base == 0)] = 1
    return base, cand


def betting_p(x, m, upward):
    """1 / the largest wealth; the bets are those of the essay of evals/stats_sequence.c."""
    log_k = most = total = squares = 0.0
    for t, v in enumerate(x, 1):
        bet = math.sqrt(2 * math.log(20) / ((0.25 + squares) / t * t * math.log(1 + t)))
        log_k += math.log1p(min(bet, 0.5 / m) * (v - m)) if upward else math.log1p(-min(bet, 0.5 / (1 - m)) * (v - m))
        most = max(most, log_k)
        total += v
        squares += (v - (0.5 + total) / (t + 1)) ** 2
    return math.exp(-most)


z95 = stats.norm.ppf(0.95)
for n in (12, 60, 150, 400):
    for flips, tilt in ((0.0, 0.0), (0.05, 1.0), (0.1, 3.0), (0.2, 0.5)):
        base, cand = pair(n, flips, tilt)
        b, c = int(np.sum(base > cand)), int(np.sum(cand > base))
        row = gate(base, cand, "require: {scores.score: {max_drop: 0.03}}\n")
        drop = (b - c) / n
        hi = optimize.brentq(lambda d: tango_z(n, b, c, d) + z95, drop + 1e-12, 1 - 1e-9)
        lo = optimize.brentq(lambda d: tango_z(n, b, c, d) - z95, -1 + 1e-9, drop - 1e-12)
        close("Tango, lower", row["interval"][0], -hi, 1e-9)
        close("Tango, upper", row["interval"][1], -lo, 1e-9)
        same("suite", row["verdict"], "PASS" if b - c <= math.floor(0.03 * n + 1e-9) else "FAIL")
        for limit in (0.02, 0.05, 0.1):
            row = gate(base, cand, f"target: population\nrequire: {{scores.score: {{max_drop: {limit}}}}}\n")
            passes, fails = exact_p(n, b, c, limit), exact_p(n, c, b, -limit)
            if min(abs(passes - 0.05), abs(fails - 0.05)) > 1e-5:  # the grid may miss the top by a little
                same(f"population {n} {b} {c} {limit}: {passes} {fails}", row["verdict"],
                     "PASS" if passes <= 0.05 else "FAIL" if fails <= 0.05 else "INCONCLUSIVE")
            if n <= 60 and row["interval"][0] > -1:  # the bound is one that the test refutes, and not by much
                close("exact bound", min(exact_p(n, b, c, -row["interval"][0]), 0.05), 0.05, 0.01)
        k = int(cand.sum())
        row = gate(base, cand, "target: population\nrequire: {scores.score: {min: 0.6}}\n")
        want = proportion_confint(k, n, alpha=0.1, method="beta")
        close("Clopper-Pearson, lower", row["interval"][0], 0 if k == 0 else want[0], 1e-9)
        close("Clopper-Pearson, upper", row["interval"][1], 1 if k == n else want[1], 1e-9)
        same("floor", row["verdict"], "PASS" if stats.binomtest(k, n, 0.6, "greater").pvalue <= 0.05 else
             "FAIL" if stats.binomtest(k, n, 0.6, "less").pvalue <= 0.05 else "INCONCLUSIVE")

        base = rng.beta(2, 1, n)
        cand = np.clip(base + rng.normal(-flips / 10, 0.1, n), 0, 1)
        d = cand - base
        row = gate(base, cand, "require: {scores.score: {max_drop: 0.03}}\n")
        t = stats.t.ppf(0.95, n - 1) * d.std(ddof=1) / math.sqrt(n)
        close("t, lower", row["interval"][0], d.mean() - t, 1e-9)
        close("t, upper", row["interval"][1], d.mean() + t, 1e-9)
        for limit in (0.02, 0.05):
            row = gate(base, cand, f"target: population\nrequire: {{scores.score: {{max_drop: {limit}}}}}\n")
            se = math.sqrt(max(d.var(ddof=1), limit * (1 - limit)) / n)
            passes = stats.t.sf((d.mean() + limit) / se, n - 1)
            same("floored t", row["verdict"],
                 "PASS" if passes <= 0.05 else "FAIL" if 1 - passes <= 0.05 else "INCONCLUSIVE")
        row = gate(base, cand, "target: population\nrequire: {scores.score: {min: 0.6}}\n")
        above, below = betting_p(cand, 0.6, True), betting_p(cand, 0.6, False)
        same("betting", row["verdict"], "PASS" if above <= 0.05 else "FAIL" if below <= 0.05 else "INCONCLUSIVE")
        close("betting, lower bound", max(betting_p(cand, max(row["interval"][0], 1e-9), True), 0), 0.05,
              1 if row["interval"][0] <= 0 else 0.0500001)

# by hand: McNemar's statistic is Tango's at a drop of 0
for b, c in ((5, 2), (30, 45), (9, 0)):
    close("McNemar", tango_z(200, b, c, 0), (b - c) / math.sqrt(b + c), 1e-12)

# not used by the gate: the beta mixture on discordant pairs, one-sided
for won, lost, want in ((1, 0, 1.5), (5, 0, 10.5), (10, 2, 9.44055944055941), (20, 8, 5.884463373818698),
                        (45, 30, 1.2177140766634396)):
    n = won + lost + 1
    log_e = n * math.log(2) + special.betaln(won + 1, lost + 1) + stats.binom.logcdf(won, n, 0.5)
    close("beta mixture", math.exp(log_e), want, 1e-12 * want)

# nor these: empirical Bernstein with predictable bets, the normal mixture, the asymptotic sequence
weight = centre = spread = total = squares = 0.0
for t, d in enumerate([0, 0, 1, 0, 0, 0, 0, 1, 0, -1] * 10, 1):
    x = (d + 1) / 2
    bet = min(math.sqrt(2 * math.log(40) / ((0.25 + squares) / t * t * math.log(1 + t))), 0.5)
    weight += bet
    centre += bet * x
    spread += (x - (0.5 + total) / t) ** 2 * (-math.log1p(-bet) - bet)
    total += x
    squares += (x - (0.5 + total) / (t + 1)) ** 2
    if t in (50, 100):
        close("empirical Bernstein, centre", centre / weight, 0.55 if t == 50 else 0.5501630012338166, 1e-12)
        close("empirical Bernstein, half width", (math.log(40) + spread) / weight,
              0.17734843765094968 if t == 50 else 0.10288777292798282, 1e-12)
close("normal mixture", math.sqrt(300 * math.log(300 / (50 * 0.05 ** 2))), 48.32149837185113, 1e-11)
r = math.sqrt((-2 * math.log(0.05) + math.log(-2 * math.log(0.05) + 1)) / 1000)
close("asymptotic sequence, r", r, 0.08908509752892212, 1e-12)
close("asymptotic sequence, half width",
      math.sqrt(2 * (1000 * r * r + 1) / (1000 * r) ** 2 * math.log(math.sqrt(1000 * r * r + 1) / 0.05)),
      0.09598173584209048, 1e-12)
print(f"statistics: {checks} checks agree")
