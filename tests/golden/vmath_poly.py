#!/usr/bin/env python3
"""Coefficients of kernels/vmath_int.h and vmath.c: minimax polynomials by Remez exchange in 60 digits.

Run: python3 tests/golden/vmath_poly.py   (needs mpmath). Prints C initialisers, lowest power first, with the largest
relative error of the whole approximation before rounding to the machine type."""
from mpmath import mp, mpf, matrix, lu_solve, exp, sin, cos, atanh, log, pi, taylor, cos as mcos

mp.dps = 60


def remez(f, w, a, b, n):
    """Polynomial p of degree n that minimises max |w(x) (p(x) - f(x))| on [a, b]."""
    a, b = mpf(a), mpf(b)
    xs = [(a + b) / 2 + (b - a) / 2 * mcos(pi * (n + 1 - i) / (n + 1)) for i in range(n + 2)]
    for _ in range(12):
        m = matrix(n + 2, n + 2)
        y = matrix(n + 2, 1)
        for i, x in enumerate(xs):
            for j in range(n + 1):
                m[i, j] = x**j
            m[i, n + 1] = (-1) ** i / w(x)
            y[i] = f(x)
        s = lu_solve(m, y)
        c = [s[j] for j in range(n + 1)]

        def err(x):
            return w(x) * (sum(cj * x**j for j, cj in enumerate(c)) - f(x))

        grid = [a + (b - a) * i / 2000 for i in range(2001)]
        e = [err(x) for x in grid]
        new, i = [], 0
        while i < len(grid):  # the largest error of each run of one sign
            k = i
            best = i
            while k < len(grid) and (e[k] > 0) == (e[i] > 0):
                if abs(e[k]) > abs(e[best]):
                    best = k
                k += 1
            new.append(grid[best])
            i = k
        if len(new) < n + 2:
            break
        while len(new) > n + 2:
            new.pop(0 if abs(err(new[0])) < abs(err(new[-1])) else -1)
        xs = new
    return c, max(abs(v) for v in e)


def show(name, c, e, digits):
    print(f"/* {name}: relative error {mp.nstr(e, 3)} */")
    for v in c:
        print("\t" + (float(v).hex() if digits == 64 else mp.nstr(v, 12)) + "  /* " + mp.nstr(v, 20) + " */")


def split(v, bits):
    """v as a sum of parts with so many significant bits each, the last a plain double."""
    parts = []
    for b in bits:
        e = int(mp.floor(mp.log(abs(v), 2)))
        q = mpf(2) ** (e - b + 1)
        p = mp.nint(v / q) * q
        parts.append(p)
        v -= p
    parts.append(v)
    return [float(p).hex() for p in parts]


eps = mpf(10) ** -25
h = log(mpf(2)) / 2 * mpf("1.001")
fexp = lambda x: (exp(x) - 1 - x) / x**2 if abs(x) > eps else mpf(1) / 2 + x / 6
show("exp, float: e^r = 1 + r + r^2 Q(r)", *remez(fexp, lambda x: x**2 / exp(x) + mpf(10) ** -12, -h, h, 4), 32)
show("exp, double: e^r = 1 + r + r^2 Q(r)", *remez(fexp, lambda x: x**2 / exp(x) + mpf(10) ** -12, -h, h, 9), 64)
# log m = 2 atanh s, s = (m-1)/(m+1), z = s^2: log m = 2 s (1 + z/3 + z^2 (1/5 + z/7 + ...)) : P(z) behind z^2
zmax = ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2 * mpf("1.001")


def flog(z):
    if z < mpf(10) ** -12:
        return mpf(1) / 5 + z / 7
    s = mp.sqrt(z)
    return (atanh(s) / s - 1 - z / 3) / z**2


show("log: atanh(s)/s = 1 + z/3 + z^2 P(z)", *remez(flog, lambda z: z**2 + mpf(10) ** -12, 0, zmax, 6), 64)
q = (pi / 4 * mpf("1.001")) ** 2


def fsin(z):
    if z < mpf(10) ** -12:
        return -mpf(1) / 6 + z / 120
    x = mp.sqrt(z)
    return (sin(x) / x - 1) / z


def fcos(z):
    if z < mpf(10) ** -10:
        return mpf(1) / 24 - z / 720
    return (cos(mp.sqrt(z)) - 1 + z / 2) / z**2


show("sin x = x + x^3 S(x^2)", *remez(fsin, lambda z: z + mpf(10) ** -12, 0, q, 5), 64)
show("cos x = 1 - x^2/2 + x^4 C(x^2)", *remez(fcos, lambda z: z**2 + mpf(10) ** -12, 0, q, 5), 64)
print("ln2 float", split(log(mpf(2)), [15]), "ln2 double", split(log(mpf(2)), [41]))
print("pi/2", split(pi / 2, [33, 33]), "2/pi", float(2 / pi).hex(), "log2e", float(1 / log(mpf(2))).hex())
third = mpf(1) / 3
print("1/3", split(third, [53]))
