
/* The local policy: presets, file, decision. */

#include <string.h>

#include "policy.h"
#include "vmops_banned.h"


#define POLICY_FILE      "policy.json"
#define POLICY_FILE_MAX  8192

typedef struct {
    const char  *name;
    unsigned     bit;
} class_t;

static const class_t  classes[POLICY_CLASSES] = {
#define VMOPS_X(id, name, bit)  { name, bit },
    VMOPS_CLASSES(VMOPS_X)
#undef VMOPS_X
};

static const char *const  verdict_names[] = { "deny", "ask", "allow", NULL };

typedef struct {
    const char  *name;
    unsigned     allow;
    unsigned     ask;
} preset_t;

#define ASK                                                                   \
    (VMOPS_CLASS_DELETE | VMOPS_CLASS_ROLLBACK | VMOPS_CLASS_RESTORE          \
     | VMOPS_CLASS_EXEC)

static const preset_t  presets[] = {
    { "full", VMOPS_CLASSES_ALL, 0 },
    { "standard", VMOPS_CLASSES_ALL & ~ASK, ASK },
    { "read-only", VMOPS_CLASS_READ, 0 },
};


const char *
policy_verdict_name(policy_verdict_t verdict)
{
    return verdict_names[verdict];
}


int
policy_preset(policy_t *policy, const char *name)
{
    size_t  i, n;

    for (n = 0; n < sizeof(presets) / sizeof(presets[0]); n++) {
        if (strcmp(presets[n].name, name) != 0) {
            continue;
        }

        for (i = 0; i < POLICY_CLASSES; i++) {
            policy->verdicts[i] =
                presets[n].allow & classes[i].bit ? POLICY_ALLOW
                : presets[n].ask & classes[i].bit ? POLICY_ASK : POLICY_DENY;
        }

        return 0;
    }

    return -1;
}


int
policy_set(policy_t *policy, vmops_span_t class, vmops_span_t verdict)
{
    int     v;
    size_t  i;

    for (v = POLICY_ALLOW; v >= 0; v--) {
        if (vmops_span_is(verdict, verdict_names[v])) {
            break;
        }
    }

    for (i = 0; v >= 0 && i < POLICY_CLASSES; i++) {
        if (vmops_span_is(class, classes[i].name)) {
            policy->verdicts[i] = (policy_verdict_t) v;
            return 0;
        }
    }

    return -1;
}


static const vmops_json_field_t  vmid_field =
    { .type = VMOPS_FT_INT, .min = VMOPS_VMID_MIN, .max = VMOPS_VMID_MAX };

static const vmops_json_field_t  pair_field =
    { .type = VMOPS_FT_ARRAY, .of = &vmid_field, .of_n = 1, .min = 2,
      .max = 2 };

static const vmops_json_field_t  policy_fields[] = {
    { .name = "classes", .type = VMOPS_FT_OBJECT, .min = 0,
      .max = POLICY_CLASSES },
    { .name = "vmids", .type = VMOPS_FT_ARRAY, .flags = VMOPS_F_OPTIONAL,
      .of = &pair_field, .of_n = 1, .min = 0, .max = POLICY_VMIDS_MAX },
};


static int
parse(policy_t *policy, vmops_span_t text)
{
    uint8_t              memory[16 * POLICY_FILE_MAX];
    uint32_t            *pair;
    vmops_arena_t        arena;
    vmops_json_error_t   err;
    const vmops_json_t  *root, *e;

    vmops_arena_init(&arena, memory, sizeof(memory));
    vmops_json_error_init(&err, "");

    if (vmops_json_parse(&root, &arena, text) != VMOPS_JSON_OK
        || vmops_json_check(root, policy_fields, 2, 0, &err) != 0)
    {
        return -1;
    }

    /* a class that the file does not name is denied */
    for (e = vmops_json_get(root, "classes")->child; e; e = e->next) {
        if (policy_set(policy, e->key, e->str) != 0) {
            return -1;
        }
    }

    e = vmops_json_get(root, "vmids");

    for (e = e != NULL ? e->child : NULL; e != NULL; e = e->next) {
        pair = policy->vmids[policy->vmids_n++];
        pair[0] = (uint32_t) e->child->i;
        pair[1] = (uint32_t) e->child->next->i;
        if (pair[0] > pair[1]) {
            return -1;
        }
    }

    return 0;
}


policy_rc_t
policy_load(policy_t *policy, const home_t *home)
{
    int      rc;
    char     path[PLAT_PATH_MAX];
    size_t   len;
    uint8_t  text[POLICY_FILE_MAX];

    memset(policy, 0, sizeof(*policy));

    if (plat_look_dir(home->config) == PLAT_EOPEN) {
        return POLICY_HOME_OPEN;
    }

    if (home_path(path, home->config, POLICY_FILE) != 0) {
        return POLICY_BAD;
    }

    rc = plat_read_trusted(path, text, sizeof(text), &len);
    if (rc == PLAT_ENOENT) {
        policy_preset(policy, "standard");
        return POLICY_OK;
    }
    if (rc == PLAT_EOPEN) {
        return POLICY_OPEN;
    }

    if (rc != 0 || parse(policy, vmops_span(text, len)) != 0) {
        memset(policy, 0, sizeof(*policy));
        return POLICY_BAD;
    }

    return POLICY_OK;
}


void
policy_write(vmops_jw_t *w, const policy_t *policy)
{
    size_t  i;

    vmops_jw_obj(w);
    vmops_jw_key(w, "classes");
    vmops_jw_obj(w);
    for (i = 0; i < POLICY_CLASSES; i++) {
        vmops_jw_kcstr(w, classes[i].name,
                       verdict_names[policy->verdicts[i]]);
    }
    vmops_jw_obj_end(w);

    vmops_jw_key(w, "vmids");
    vmops_jw_arr(w);
    for (i = 0; i < policy->vmids_n; i++) {
        vmops_jw_arr(w);
        vmops_jw_uint(w, policy->vmids[i][0]);
        vmops_jw_uint(w, policy->vmids[i][1]);
        vmops_jw_arr_end(w);
    }
    vmops_jw_arr_end(w);
    vmops_jw_obj_end(w);
}


int
policy_save(const policy_t *policy, const home_t *home)
{
    char          path[PLAT_PATH_MAX];
    uint8_t       text[POLICY_FILE_MAX];
    vmops_jw_t    w;
    vmops_span_t  out;

    vmops_jw_init(&w, text, sizeof(text));
    policy_write(&w, policy);

    if (vmops_jw_done(&w, &out) != 0
        || home_path(path, home->config, POLICY_FILE) != 0)
    {
        return -1;
    }

    return plat_write_file(path, out.p, out.n);
}


policy_verdict_t
policy_decide(const policy_t *policy, unsigned class_bit, uint32_t vmid)
{
    size_t            i;
    policy_verdict_t  verdict = POLICY_DENY;

    for (i = 0; i < POLICY_CLASSES; i++) {
        if (classes[i].bit == class_bit) {
            verdict = policy->verdicts[i];
        }
    }

    if (vmid == 0 || policy->vmids_n == 0) {
        return verdict;
    }

    for (i = 0; i < policy->vmids_n; i++) {
        if (vmid >= policy->vmids[i][0] && vmid <= policy->vmids[i][1]) {
            return verdict;
        }
    }

    return POLICY_DENY;
}
