/* crew_int.h: what crew.c, crew_job.c and crew_slurm.c share. */
#ifndef RUNNER_CREW_INT_H
#define RUNNER_CREW_INT_H

#include "runner/crew.h"

/* crew_job.c: a job as bytes; and on the other side, all of it: load, train, forget. link is ranks_tell()'s. */
int crew_job_put(struct buf *out, const struct crew_job *job);
int crew_job_run(const struct buf *text, struct ranks *link, const char *device, int threads);
/* Does what rank 0 says, until it bids farewell. Gives the exit code. */
int crew_work(struct ranks *link, const char *device, int threads);

/* crew_slurm.c */
struct crew_step { /* of Slurm; n is 1 where there is none, or it has one task */
	int rank, n, local;
};
struct crew_step crew_slurm_step(void);
/* Rank 0: waits for all others; fds[1 .. n - 1] are the caller's to close. */
int crew_slurm_meet(int *fds, const struct crew_step *s, const char *dir);
/* The others: the socket to rank 0. */
int crew_slurm_find(int *fd, const struct crew_step *s, const char *dir);

#endif
