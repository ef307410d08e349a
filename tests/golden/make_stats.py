#!/usr/bin/env python3
"""Makes tests/golden/stats_golden.h: quantiles, tails and Tango intervals in 50-digit arithmetic (mpmath).

Tango's statistic is not copied from its closed form: the nuisance parameter is found by maximising the multinomial
likelihood, and the ends of the interval by root finding on that. Run: python3 make_stats.py > stats_golden.h"""
from mpmath import mp, mpf, betainc, sqrt, erfinv, binomial

mp.dps = 50


def t_upper(t, df):
    return betainc(mpf(df) / 2, mpf(1) / 2, 0, df / (df + t * t), regularized=True) / 2


def bisect(f, lo, hi):
    lo, hi = mpf(lo), mpf(hi)
    flo = f(lo)
    for _ in range(160):
        mid = (lo + hi) / 2
        if (f(mid) > 0) == (flo > 0):
            lo = mid
        else:
            hi = mid
    return (lo + hi) / 2


def beta_cdf(x, a, b):
    x = mpf(x)
    if a == int(a) and b == int(b):  # a binomial tail, summed
        n = int(a) + int(b) - 1
        return sum(binomial(n, j) * x ** j * (1 - x) ** (n - j) for j in range(int(a), n + 1))
    return betainc(mpf(a), mpf(b), 0, x, regularized=True)


def t_quantile(p, df):
    hi = mpf(1)
    while t_upper(hi, df) > 1 - p:
        hi *= 2
    return bisect(lambda t: t_upper(t, df) - (1 - p), 0, hi)


def normal_quantile(p):
    return sqrt(mpf(2)) * erfinv(2 * mpf(p) - 1)


def tango_z(n, b, c, d):
    """b lost, c won, d the supposed drop; q = P(only the candidate right) by direct maximisation."""
    if d < 0:
        return -tango_z(n, c, b, -d)
    if d == 0 and b + c == 0:
        return mpf(0)

    def slope(q):  # derivative of the log-likelihood in q; falls in q
        s = -2 * (n - b - c) / (1 - 2 * q - d)
        if b:
            s += b / (q + d)
        if c:
            s += c / q
        return s

    top = (1 - d) / 2
    eps = mpf(10) ** -45
    q = mpf(0) if slope(eps) <= 0 else (top if n == b + c and slope(top - eps) > 0 else bisect(slope, eps, top - eps))
    return (b - c - n * d) / sqrt(n * (2 * q + d * (1 - d)))


def tango(n, b, c, conf):
    z = normal_quantile(conf)
    drop = mpf(b - c) / n
    e = mpf(10) ** -30
    hi = mpf(1) if b == n else bisect(lambda d: tango_z(n, b, c, d) + z, drop + e, 1 - e)
    lo = mpf(-1) if c == n else bisect(lambda d: tango_z(n, b, c, d) - z, -1 + e, drop - e)
    return -hi, -lo


def num(x):
    return mp.nstr(x, 20)


print("/* Made by tests/golden/make_stats.py in 50-digit arithmetic. Do not edit. */")
print("static const struct { double p, df, t; } golden_t[] = {")
for df in (1, 2, 3, 5, 10, 29, 99, 499, 9999, 1000000):
    for p in ("0.6", "0.9", "0.95", "0.99", "0.9995"):
        print("\t{ %s, %d, %s }," % (p, df, num(t_quantile(mpf(p), df))))
print("};")
print("static const struct { double x, a, b, p; } golden_beta[] = {")
for a, b, x in ((0.5, 0.5, 0.25), (2, 3, 0.4), (870, 131, 0.88), (164, 37, 0.77), (5000, 0.5, 0.9999), (30, 1, 0.9),
                (1, 30, 0.01), (4000, 6000, 0.41), (0.5, 5000, 0.00001)):
    print("\t{ %r, %r, %r, %s }," % (x, a, b, num(beta_cdf(x, a, b))))
print("};")
print("static const struct { double p, z; } golden_normal[] = {")
for p in ("0.5000001", "0.75", "0.9", "0.95", "0.975", "0.99", "0.999999", "0.05", "1e-12"):
    print("\t{ %s, %s }," % (p, num(normal_quantile(mpf(p)))))
print("};")
print("static const struct { int n, lost, won; double confidence, lo, hi; } golden_tango[] = {")
for n, b, c in ((1, 0, 0), (10, 0, 0), (20, 0, 0), (30, 3, 1), (59, 0, 0), (100, 1, 3), (300, 5, 6), (500, 12, 6),
                (1000, 45, 30), (1000, 22, 20), (7, 7, 0), (7, 0, 7), (12, 5, 7), (200, 0, 9), (200, 9, 0)):
    for conf in ("0.95", "0.99"):
        lo, hi = tango(n, b, c, mpf(conf))
        print("\t{ %d, %d, %d, %s, %s, %s }," % (n, b, c, conf, num(lo), num(hi)))
print("};")
