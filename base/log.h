/* log.h: what goes to standard error. Colours only on a terminal, and never with NO_COLOR. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level { LOG_QUIET = -1, LOG_WARN = 0, LOG_INFO = 1, LOG_DEBUG = 2 };

void log_set_level(enum log_level level);
enum log_level log_level(void);
bool log_is_terminal(void); /* standard error is a terminal */
bool log_has_colour(void);
void log_error(const char *fmt, ...) PRINTF_LIKE(1, 2); /* "error: …" */
void log_warn(const char *fmt, ...) PRINTF_LIKE(1, 2);  /* "warning: …" */
void log_info(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_debug(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* Writes s with every control byte but \n and \t shown as \xNN: for text from a commit, a data set or a model. */
void log_safe(FILE *f, const char *s, size_t len);

#endif
