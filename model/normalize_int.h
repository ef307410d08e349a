/* normalize_int.h: the tables of normalize_table.c. Stays inside model/. */
#ifndef MODEL_NORMALIZE_INT_H
#define MODEL_NORMALIZE_INT_H

#include "base/base.h"

struct normalize_class {
	uint32_t from, to;
	uint8_t class;
};
struct normalize_range {
	uint32_t from, to;
};
struct normalize_run {
	uint32_t from, to;
	int step, delta;
};
extern const char normalize_canonical[], normalize_compatible[];
extern const struct normalize_class normalize_classes[];
extern const struct normalize_range normalize_marks[];
extern const struct normalize_run normalize_lower[];
extern const size_t normalize_n_classes, normalize_n_marks, normalize_n_lower;

#endif
