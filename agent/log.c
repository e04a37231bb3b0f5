
/* The log: bounded lines, searched for open secrets, rotated by size. */

#include <stdio.h>
#include <string.h>

#include "agent.h"
#include "log.h"
#include "redact.h"
#include "vmops_json.h"
#include "vmops_banned.h"


#define LOG_LINE_MAX  2048

static plat_mutex_t  *mutex;
static FILE          *file;
static char           file_path[PLAT_PATH_MAX];
static int            also_stderr;

static const char *const  level_names[] = { "info", "warn", "error" };


int
log_open(const char *path, int to_stderr)
{
    mutex = plat_mutex_new();
    if (mutex == NULL
        || text_copy(file_path, sizeof(file_path), vmops_span_str(path)) != 0)
    {
        return -1;
    }

    also_stderr = to_stderr;
    file = fopen(file_path, "ab");

    return file != NULL ? 0 : -1;
}


void
log_close(void)
{
    if (file != NULL) {
        fclose(file);
        file = NULL;
    }

    plat_mutex_free(mutex);
    mutex = NULL;
}


static void
rotate(void)
{
    int   i;
    char  from[PLAT_PATH_MAX + 8], to[PLAT_PATH_MAX + 8];

    fclose(file);

    for (i = LOG_FILES - 1; i >= 0; i--) {
        snprintf(from, sizeof(from), i > 0 ? "%s.%d" : "%s", file_path, i);
        snprintf(to, sizeof(to), "%s.%d", file_path, i + 1);
        plat_rename(from, to);
    }

    file = fopen(file_path, "ab");
}


static void
field_write(vmops_jw_t *w, const log_field_t *f)
{
    vmops_jw_key(w, f->key);

    switch (f->type) {

    case LOG_F_CODE:
        vmops_jw_cstr(w, f->u.code);
        break;

    case LOG_F_NUMBER:
        vmops_jw_int(w, f->u.number);
        break;

    case LOG_F_UUID:
        vmops_jw_uuid(w, f->u.uuid);
        break;

    case LOG_F_REF:
        vmops_jw_secret_ref(w, f->u.uuid);
        break;

    case LOG_F_END:
        break;
    }
}


static int
line_make(uint8_t line[LOG_LINE_MAX], vmops_span_t *out, log_level_t level,
    const char *event, const log_field_t *fields)
{
    vmops_jw_t  w;

    vmops_jw_init(&w, line, LOG_LINE_MAX - 1);
    vmops_jw_obj(&w);
    vmops_jw_ktime(&w, "time", (int64_t) plat_wall_ms());
    vmops_jw_kcstr(&w, "level", level_names[level]);
    vmops_jw_kcstr(&w, "event", event);

    for ( ; fields != NULL && fields->type != LOG_F_END; fields++) {
        field_write(&w, fields);
    }

    vmops_jw_obj_end(&w);

    return vmops_jw_done(&w, out);
}


void
log_write(log_level_t level, const char *event, const log_field_t *fields)
{
    uint8_t       line[LOG_LINE_MAX];
    vmops_span_t  out;

    if (mutex == NULL) {
        return;
    }

    if (line_make(line, &out, level, event, fields) != 0
        && line_make(line, &out, level, event, NULL) != 0)
    {
        return;
    }

    if (redact_found(out)
        && line_make(line, &out, LOG_ERROR, "leak_blocked", NULL) != 0)
    {
        return;
    }

    line[out.n] = '\n';

    plat_mutex_lock(mutex);

    /* it could not be made anew then; perhaps it can be now */
    if (file == NULL) {
        file = fopen(file_path, "ab");
    }

    if (file != NULL) {
        if (ftell(file) > LOG_FILE_MAX) {
            rotate();
        }
        if (file != NULL) {
            fwrite(line, 1, out.n + 1, file);
            fflush(file);
        }
    }

    if (also_stderr) {
        fwrite(line, 1, out.n + 1, stderr);
    }

    plat_mutex_unlock(mutex);
}
