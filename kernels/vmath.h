/* vmath.h: exp, log, sin, cos and friends with the same bits on every machine of a numerics class.
 *
 * Results of the C library differ between versions of it, so no scored or trained number passes through one. */
#ifndef KERNELS_VMATH_H
#define KERNELS_VMATH_H

float vm_expf(float x);
double vm_exp(double x);
double vm_log(double x);
void vm_sincos(double x, double *s, double *c); /* any finite x below 2^20 in size */
double vm_pow(double base, double e);           /* base > 0 */

#endif
