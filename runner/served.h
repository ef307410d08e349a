/* served.h: the model of a run that stands behind a server: base: LOCATION. */
#ifndef RUNNER_SERVED_H
#define RUNNER_SERVED_H

#include "runner/runner.h"

/* Is the base the name of a location? Fills run->location then. ERR_INPUT: it is neither that nor a folder. */
int served_find(struct run *run);
/* Puts what is known of the model into the store, as run->object. */
int served_object(struct run *run);
/* Is this object such a model? model: as its server calls it; yours; may be NULL. */
bool served_is(struct store *s, const char *object, char **model);
void served_release(struct run *run);

#endif
