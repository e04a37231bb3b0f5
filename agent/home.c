
/* Folders and settings. */

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "vmops_json.h"
#include "vmops_keys.h"
#include "vmops_banned.h"


#define SETTINGS_MAX  4096
#define HOME_ROOM     65536     /* more than any change writes at once */


void *
mem_new(size_t n)
{
    return calloc(1, n);
}


int
text_copy(char *dst, size_t size, vmops_span_t text)
{
    if (text.n >= size) {
        dst[0] = '\0';
        return -1;
    }

    if (text.n > 0) {
        memcpy(dst, text.p, text.n);
    }
    dst[text.n] = '\0';

    return 0;
}


int
home_path(char path[PLAT_PATH_MAX], const char *folder, const char *name)
{
    int  n;

    n = snprintf(path, PLAT_PATH_MAX, "%s/%s", folder, name);

    return n > 0 && n < PLAT_PATH_MAX ? 0 : -1;
}


int
home_open(home_t *home, const char *dir)
{
    if (dir == NULL) {
        return plat_default_dirs(home->config, home->state, PLAT_PATH_MAX) == 0
               ? 0 : -1;
    }

    if (text_copy(home->config, sizeof(home->config), vmops_span_str(dir))
        != 0)
    {
        return -1;
    }

    memcpy(home->state, home->config, sizeof(home->state));

    return 0;
}


static int
has_room(const char *folder)
{
    int       rc = -1;
    char      path[PLAT_PATH_MAX];
    uint8_t  *bytes;

    /* what a file system cannot make smaller */
    bytes = malloc(HOME_ROOM);
    if (bytes != NULL && home_path(path, folder, "room") == 0) {
        randombytes_buf(bytes, HOME_ROOM);
        rc = plat_write_file(path, bytes, HOME_ROOM);
        plat_remove(path);
    }

    free(bytes);

    return rc;
}


int
home_room(const home_t *home)
{
    return has_room(home->config) == 0
           && (strcmp(home->config, home->state) == 0
               || has_room(home->state) == 0) ? 0 : -1;
}


static const char *const  bindings[] = { "none", "tls-exporter", NULL };

static const vmops_json_field_t  settings_fields[] = {
    { .name = "proxy", .type = VMOPS_FT_STRING, .flags = VMOPS_F_OPTIONAL,
      .min = 1, .max = 255, .pattern = VMOPS_P_TEXT },
    { .name = "channel_binding", .type = VMOPS_FT_STRING,
      .flags = VMOPS_F_OPTIONAL, .values = bindings },
};


static int
settings_parse(settings_t *settings, vmops_span_t text,
    vmops_json_error_t *err)
{
    uint8_t              memory[16 * SETTINGS_MAX];
    vmops_span_t         s;
    vmops_arena_t        arena;
    const vmops_json_t  *root;

    vmops_arena_init(&arena, memory, sizeof(memory));

    if (vmops_json_parse(&root, &arena, text) != VMOPS_JSON_OK
        || vmops_json_check(root, settings_fields, 2, 0, err) != 0)
    {
        return -1;
    }

    if (vmops_json_str(vmops_json_get(root, "proxy"), &s) == 0
        && text_copy(settings->proxy, sizeof(settings->proxy), s) != 0)
    {
        return -1;
    }

    if (vmops_json_str(vmops_json_get(root, "channel_binding"), &s) == 0
        && vmops_span_is(s, "tls-exporter"))
    {
        settings->channel_binding = VMOPS_CB_TLS_EXPORTER;
    }

    return 0;
}


int
settings_load(settings_t *settings, const home_t *home,
    char fault[VMOPS_JSON_POINTER_MAX + 1])
{
    int                 rc;
    char                path[PLAT_PATH_MAX];
    uint8_t             text[SETTINGS_MAX];
    size_t              len;
    vmops_json_error_t  err;

    memset(settings, 0, sizeof(*settings));
    vmops_json_error_init(&err, "");
    fault[0] = '\0';

    if (home_path(path, home->config, "config.json") != 0) {
        return -1;
    }

    rc = plat_read_file(path, text, sizeof(text), &len);
    if (rc == PLAT_ENOENT) {
        return 0;
    }

    if (rc == 0
        && settings_parse(settings, vmops_span(text, len), &err) == 0)
    {
        return 0;
    }

    memcpy(fault, err.pointer, sizeof(err.pointer));

    return -1;
}
