/* progress_int.h: what log.c asks of progress.c: take the bar away before a line is written. Only inside base/. */
#ifndef BASE_PROGRESS_INT_H
#define BASE_PROGRESS_INT_H

void progress_hide(void);

#endif
