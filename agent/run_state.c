
/* run.json and the instance's lock. */

#include <string.h>

#include "run_state.h"
#include "vmops_banned.h"


#define RUN_FILE      "run.json"
#define RUN_FILE_MAX  1024

static const char *const  names[RUN_MAX_] = {
    "stopped", "connecting", "online", "pending_approval", "waiting",
    "locked", "revoked", "damaged"
};


const char *
run_state_name(run_state_t state)
{
    return names[state];
}


void
run_state_set(const home_t *home, run_state_t state, const char *code)
{
    static const char   *last_code;
    static run_state_t   last = RUN_MAX_;

    char          path[PLAT_PATH_MAX];
    uint8_t       text[RUN_FILE_MAX];
    vmops_jw_t    w;
    vmops_span_t  out;

    if (state == last && code == last_code) {
        return;
    }

    last = state;
    last_code = code;

    vmops_jw_init(&w, text, sizeof(text));
    vmops_jw_obj(&w);
    vmops_jw_kcstr(&w, "state", names[state]);
    vmops_jw_kcstr(&w, "code", code);
    vmops_jw_ktime(&w, "since", (int64_t) plat_wall_ms());
    vmops_jw_kint(&w, "pid", (int64_t) plat_process_id());
    vmops_jw_obj_end(&w);

    if (vmops_jw_done(&w, &out) == 0
        && home_path(path, home->state, RUN_FILE) == 0)
    {
        plat_write_file(path, out.p, out.n);
    }
}


int
run_lock(const home_t *home, plat_lock_t **lock)
{
    char  path[PLAT_PATH_MAX];

    return home_path(path, home->state, "lock") == 0 ? plat_lock(path, lock)
                                                     : PLAT_E;
}


static int
is_running(const home_t *home)
{
    int           rc;
    plat_lock_t  *lock = NULL;

    rc = run_lock(home, &lock);
    plat_unlock(lock);

    return rc == PLAT_EBUSY;
}


static const vmops_json_t *
run_read(const home_t *home, vmops_arena_t *arena, uint8_t text[RUN_FILE_MAX])
{
    char                 path[PLAT_PATH_MAX];
    size_t               len;
    const vmops_json_t  *root;

    if (home_path(path, home->state, RUN_FILE) != 0
        || plat_read_file(path, text, RUN_FILE_MAX, &len) != 0
        || vmops_json_parse(&root, arena, vmops_span(text, len))
           != VMOPS_JSON_OK)
    {
        return NULL;
    }

    return root;
}


void
run_state_write(vmops_jw_t *w, const home_t *home, char state[32],
    char why[VMOPS_CODE_MAX + 1])
{
    uint8_t              text[RUN_FILE_MAX], memory[16384];
    vmops_span_t         s;
    vmops_arena_t        arena;
    const vmops_json_t  *root, *code, *since, *pid;

    vmops_arena_init(&arena, memory, sizeof(memory));
    root = run_read(home, &arena, text);
    code = vmops_json_get(root, "code");
    since = vmops_json_get(root, "since");
    pid = vmops_json_get(root, "pid");

    if (!is_running(home)) {
        pid = NULL;
    }

    if (vmops_json_str(vmops_json_get(root, "state"), &s) != 0
        || text_copy(state, 32, s) != 0
        || (pid == NULL && !vmops_span_is(s, names[RUN_LOCKED])
            && !vmops_span_is(s, names[RUN_REVOKED])
            && !vmops_span_is(s, names[RUN_DAMAGED])))
    {
        text_copy(state, 32, vmops_span_str(names[RUN_STOPPED]));
        code = since = NULL;
    }

    text_copy(why, VMOPS_CODE_MAX + 1, vmops_json_is(code, VMOPS_JSON_STRING)
                                       ? code->str : vmops_span(NULL, 0));

    vmops_jw_kcstr(w, "state", state);
    vmops_jw_kcstr(w, "code", why[0] != '\0' ? why : NULL);
    vmops_jw_key(w, "since");
    vmops_jw_str(w, vmops_json_is(since, VMOPS_JSON_STRING)
                    ? since->str : vmops_span(NULL, 0));
    vmops_jw_key(w, "pid");
    if (vmops_json_is(pid, VMOPS_JSON_NUMBER)) {
        vmops_jw_int(w, pid->i);
    } else {
        vmops_jw_null(w);
    }
}
