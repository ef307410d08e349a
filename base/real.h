/* real.h: doubles as decimals. */
#ifndef BASE_REAL_H
#define BASE_REAL_H

/* The fewest digits that read back to x (finite, not negative), without zeros at the end, and the power of ten of the first.
 * Where several of that length do, the nearest to x. Gives their number; no NUL. */
enum { REAL_DIGITS = 20 };
int real_shortest(char digits[REAL_DIGITS], int *exponent, double x);

#endif
