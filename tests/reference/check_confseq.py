#!/usr/bin/env python3
"""The gate's bets, and the sequences it does not use, against confseq (Howard, Waudby-Smith; make check-reference).

usage: check_confseq.py BETS CONFSEQ [SEED]: the program of bets.c, and a folder with the package confseq (its Python files;
with its compiled module, boundaries, the normal mixture is compared, too)"""
import math
import subprocess
import sys
import types

import numpy as np

sys.path.insert(0, sys.argv[2])
for name in ("matplotlib", "matplotlib.pyplot"):  # it draws, too; nothing of that is wanted
    try:
        __import__(name)
    except ImportError:
        sys.modules[name] = types.ModuleType(name)
if not hasattr(np, "float_"):  # it was written for numpy 1
    np.float_ = np.float64
from confseq import betting, predmix  # noqa: E402

rng = np.random.default_rng(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
checks = 0


def close(what, got, want, within):
    global checks
    checks += 1
    if not abs(got - want) <= within * max(1, abs(want)):
        sys.exit(f"{what}: got {got!r}, want {want!r}")


# ---- the wealth of both bettors: of draws and without replacement, of drops, shares and real scores ---------------------------
games = []
for mean in (0.49, 0.475, 0.3, 0.8, 0.97):
    for alpha in (0.05, 0.01, 0.1):
        for n in (1, 50, 400):
            flips = rng.choice([0, 0.5, 1], n, p=[0.05, 0.9, 0.05])
            for x in (flips, (rng.random(n) < mean).astype(float), rng.beta(2, 1, n), np.full(n, 0.5)):
                games.append((alpha, mean, 0, x))
                # the suite is larger than what is seen, so that its mean stays within reach
                games.append((alpha, mean, 3 * n + 200, x))
lines = "".join(f"{a!r} {m!r} {size} {len(x)} {' '.join(repr(float(v)) for v in x)}\n" for a, m, size, x in games)
run = subprocess.run([sys.argv[1]], input=lines, capture_output=True, text=True, check=True)
ours = np.array([[float(v) for v in line.split()] for line in run.stdout.splitlines()])
at = 0
for alpha, mean, size, x in games:
    for side, theta in ((0, 1), (1, 0)):
        theirs = betting.betting_mart(x, mean, alpha=alpha, N=size or None, theta=theta, trunc_scale=1 / 2, m_trunc=True)
        for t in sorted({0, len(x) // 2, len(x) - 1}):
            close(f"wealth {side} of mean {mean}, level {alpha}, suite {size}, at {t + 1}", ours[at + t][side],
                  math.log(theirs[t]), 1e-11)
    at += len(x)

# ---- the closed forms ----------------------------------------------------------------------------------------------------------
x = (np.array([0, 0, 1, 0, 0, 0, 0, 1, 0, -1] * 10) + 1) / 2


def lower(x):  # the spread about the running mean that begins at 1/2, as the bets have it; the release begins at 0
    before = (0.5 + np.append(0, np.cumsum(x)[:-1])) / np.arange(1, len(x) + 1)
    return predmix.predmix_lower_cs(x, v=(x - before) ** 2, alpha=0.025, psi_fn=lambda bet: -np.log1p(-bet) - bet,
                                    lambdas_fn=lambda y: betting.lambda_predmix_eb(y, truncation=0.5, alpha=0.025))


lo, hi = lower(x), 1 - lower(1 - x)
for t, centre, half in ((50, 0.55, 0.17734843765094968), (100, 0.5501630012338166, 0.10288777292798282)):
    close("empirical Bernstein, centre", (lo[t - 1] + hi[t - 1]) / 2, centre, 1e-12)
    close("empirical Bernstein, half width", (hi[t - 1] - lo[t - 1]) / 2, half, 1e-12)
try:
    from confseq import boundaries
except ImportError:
    print("confseq: without its compiled module; the normal mixture is not compared")
else:
    v_opt = 50 * (-2 * math.log(0.05) + math.log1p(-2 * math.log(0.05)))  # at which it takes r = 50
    close("normal mixture", float(boundaries.normal_mixture_bound(250, 0.05, v_opt, 0.05, False)), 48.32149837185113, 1e-9)
print(f"confseq: {checks} checks agree")
