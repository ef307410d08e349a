/* devices.h: the devices that --device names, one a rank. */
#ifndef RUNNER_DEVICES_H
#define RUNNER_DEVICES_H

#include "base/base.h"

struct devices {
	char **items; /* each as backend_open() takes it */
	size_t n;
};
/* text: one device as backend_open() takes it; several, with a comma between them, of which one that is only a number is a CUDA
 * device ("cuda:0,1/f32"); or "cuda:all". A class behind the last one is that of all. ERR_USAGE, and what kernels/ says where
 * all CUDA devices are asked for and there is none. The caller releases it, whatever came of it. */
int devices_parse(struct devices *out, const char *text);
void devices_release(struct devices *d);
/* That of a rank which has so many neighbours before it on its machine: of one that is not numbered ("auto", "cuda") or of
 * several the one in this place. The caller's. */
char *devices_local(const struct devices *d, int local);

#endif
