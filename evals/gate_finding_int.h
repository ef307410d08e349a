/* gate_finding_int.h: what a test of target population found (gate_population.c), to be put into words (gate_explain.c). */
#ifndef EVALS_GATE_FINDING_INT_H
#define EVALS_GATE_FINDING_INT_H

#include "evals/gate_int.h"

/* What the samples say about a quantity with a limit above it: harm, or for min and max how far the value is off. */
struct finding {
	double lo, hi;         /* one-sided bounds of the quantity; NaN: none */
	double p_pass, p_fail; /* of "it is at least the limit", "at most" */
	double samples;        /* about how many in all would decide; INFINITY: none do; NaN: not known */
	const char *method, *assumes;
	char *refused;   /* why there is no sound test, or NULL */
	bool bounds;     /* decided by lo and hi: there is no p to show */
	size_t clusters; /* 0: of samples */
	double effective;
};

enum verdict finding_verdict(const struct finding *f, double alpha);

/* Sets the row's explanation; its verdict is known. */
void finding_explain(struct gate_result_rule *row, const struct finding *f, const struct judge *j, double limit,
		     bool relative);

#endif
