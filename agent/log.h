
/*
 * The agent's log: JSON lines {"time","level","event",fields...}.  A call
 * takes an event's name and typed fields; there is no formatter for secrets
 * and none for free text of libraries or targets.
 */

#ifndef VMOPS_LOG_H
#define VMOPS_LOG_H


#include "vmops_bytes.h"


typedef enum {
    LOG_INFO = 0,
    LOG_WARN,
    LOG_ERROR
} log_level_t;

typedef enum {
    LOG_F_END = 0,
    LOG_F_CODE,             /* a constant of ours, or a stable code */
    LOG_F_NUMBER,
    LOG_F_UUID,
    LOG_F_REF
} log_field_type_t;

typedef struct {
    log_field_type_t         type;
    const char              *key;
    union {
        const char          *code;
        int64_t              number;
        const vmops_uuid_t  *uuid;
    } u;
} log_field_t;

#define LOG_CODE(k, v)  { LOG_F_CODE, k, { .code = (v) } }
#define LOG_NUM(k, v)   { LOG_F_NUMBER, k, { .number = (int64_t) (v) } }
#define LOG_UUID(k, v)  { LOG_F_UUID, k, { .uuid = (v) } }
#define LOG_REF(k, v)   { LOG_F_REF, k, { .uuid = (v) } }

#define log_event(level, event, ...)                                          \
    log_write(level, event,                                                   \
              (const log_field_t[]) { __VA_OPT__(__VA_ARGS__,)                \
                                      { LOG_F_END, NULL, { 0 } } })

/*
 * Lines go to the file (made bigger than LOG_FILE_MAX it is renamed to
 * .1, that to .2, ...) and, if wanted, to standard error.  Before the first
 * call nothing is written.  0, or -1.
 */

#define LOG_FILE_MAX   (1024 * 1024)
#define LOG_FILES      3

int log_open(const char *path, int to_stderr);
void log_close(void);

void log_write(log_level_t level, const char *event,
    const log_field_t *fields);


#endif /* VMOPS_LOG_H */
