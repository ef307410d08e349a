/* base.h: the ground floor. Included first by every .c file of the project.
 *
 * Everything pulled in here needs the C library and nothing else, so that the numeric half of the project (kernels/,
 * the transformer, the CUDA plugin) builds on a bare machine. Wrappers of other libraries (json.h, digest.h) are
 * included by name where they are needed.
 *
 * Memory law: mem_* never return NULL. A failed small allocation ends the process with exit code 69 after one line;
 * that is safe at any instruction, because nothing on disk is ever half-written (see fs.h). Tensors and arenas, whose
 * size comes from input, go through mem_try_aligned() and are handled. */
#ifndef ASSAY_BASE_H
#define ASSAY_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASSAY_VERSION "0.1.0"

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#if defined(__GNUC__)
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define PRINTF_LIKE(fmt, args)
#endif

#ifdef __cplusplus
extern "C" {
#endif

#include "base/err.h"
#include "base/mem.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/path.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/clock.h"
#include "base/opt.h"
#include "base/proc.h"
#include "base/real.h"
#include "base/rng.h"
#include "base/utf8.h"

#ifdef __cplusplus
}
#endif
#endif
