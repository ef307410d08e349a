/* crew.h: the other ranks of a training: processes of this program, started here or by Slurm.
 *
 *	crew_open()		rank 0: names the devices; in a Slurm step of several tasks it waits for the others here
 *	crew_train()		train_run() on all of them
 *	crew_close()		sends them home
 *
 * The others are nothing but hands: they get what to train from rank 0 (crew_job.c) and write nothing. */
#ifndef RUNNER_CREW_H
#define RUNNER_CREW_H

#include "model/model.h"
#include "runner/devices.h"

struct crew;
/* ERR_UNAVAILABLE: a task of the Slurm step has not come. dir: a folder that all tasks of a step see, for a file by which they
 * find one another. */
int crew_open(struct crew **out, const char *device, const char *dir);
const char *crew_device(const struct crew *c); /* rank 0's, as backend_open() takes it */
int crew_n(const struct crew *c);              /* how many ranks */
void crew_close(struct crew *c, bool farewell);

/* What rank 0 trains, so that the others can load it: */
struct crew_job {
	const char *model, *adapter; /* folders that all ranks see; adapter may be NULL */
	bool lora;
	struct lora_options factors; /* with lora */
	const struct train_data *data;
	const struct train_options *options; /* validation data included */
	const char *checkpoint_dir;          /* or NULL */
};
/* As train_run(), on rank 0's model; hooks->ranks is set here. With one rank it is train_run(). */
int crew_train(struct crew *c, struct model *m, struct backend *be, const struct crew_job *job,
	       const struct train_hooks *hooks, struct train_result *result);

/* ---- the other side ------------------------------------------------------------------------------------------------ */

/* Is this process a rank other than 0 of a Slurm step? */
bool crew_is_hand(void);
/* Then this is its whole life; gives the exit code. Errors are rank 0's to print, once both have met. */
int crew_serve(const char *device, int threads, const char *dir);
int cmd_rank(int argc, char **argv); /* a process that rank 0 has started */

#endif
