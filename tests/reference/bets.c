/* bets.c: the wealth of the gate's two bettors, for another implementation to be laid beside it (check_confseq.py).
 *
 * Reads games: level, supposed mean, size of the suite (0: draws), number of scores, the scores. Writes for each score, one a
 * line, the logarithms of both wealths after it. */
#include "base/base.h"

#include "evals/stats_int.h"

int main(void)
{
	double alpha, mean, x;
	size_t size, n;

	while (scanf("%lf %lf %zu %zu", &alpha, &mean, &size, &n) == 4) {
		struct stats_bet b;

		stats_bet_init(&b, alpha, mean, size);
		for (size_t i = 0; i < n && scanf("%lf", &x) == 1; i++) {
			stats_bet_add(&b, x);
			printf("%.17g %.17g\n", b.log_above, b.log_below);
		}
	}
	return 0;
}
