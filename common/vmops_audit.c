/*
 * The lines of an export of the audit, by table.
 */

#include "vmops_audit.h"
#include "vmops_codec.h"
#include "vmops_banned.h"


static const vmops_codec_field_t  begin[] = {
    VMOPS_C_LINE("audit", U64, vmops_audit_begin_t, version, .min = 1,
                 .max = 1),
    VMOPS_C_LINE("tenant", STR, vmops_audit_begin_t, tenant,
                 .max = VMOPS_TENANT_MAX, .pattern = VMOPS_P_TENANT),
    VMOPS_C_LINE("command_key_id", STR, vmops_audit_begin_t, command_key_id,
                 .max = VMOPS_KEY_ID_TEXT, .pattern = VMOPS_P_COMMAND_KEY_ID),
    VMOPS_C_LINE("start", OBJ, vmops_audit_begin_t, start,
                 .of = vmops_codec_seal,
                 .flags = VMOPS_C_NULLABLE | VMOPS_C_HAS,
                 VMOPS_C_AUX(vmops_audit_begin_t, has_start)),
    VMOPS_C_END
};

static const vmops_codec_field_t  entry[] = {
    VMOPS_C_LINE("n", U64, vmops_audit_entry_t, n, .min = 1),
    VMOPS_C_PLAIN("ms", U64, vmops_audit_entry_t, ms),
    VMOPS_C_LINE("entry", STR, vmops_audit_entry_t, entry, .min = 1,
                 .max = VMOPS_AUDIT_ENTRY_MAX),
    VMOPS_C_LINE("h", FIXED, vmops_audit_entry_t, h, .max = VMOPS_HASH),
    VMOPS_C_END
};

static const vmops_codec_field_t  seal[] = {
    { .name = "seal", .kind = VMOPS_C_OBJ, .of = vmops_codec_seal },
    VMOPS_C_END
};

static const vmops_codec_field_t  end[] = {
    { .name = "end", .kind = VMOPS_C_U64 },
    VMOPS_C_END
};

/* the member that only this line has, in the order of the types */

static const struct {
    const char                 *name;
    const vmops_codec_field_t  *fields;
} types[] = {
    { "audit", begin }, { "entry", entry }, { "seal", seal }, { "end", end }
};


void
vmops_audit_write(vmops_jw_t *w, const vmops_audit_line_t *line)
{
    w->comma = 0;
    vmops_jw_obj(w);

    if (vmops_codec_write(w, types[line->type].fields, &line->u) != 0) {
        w->bad = 1;
    }

    vmops_jw_obj_end(w);
    vmops_buf_u8(&w->buf, '\n');
}


int
vmops_audit_parse(vmops_audit_line_t *line, vmops_arena_t *a,
    vmops_span_t text)
{
    size_t               i;
    const vmops_json_t  *root;

    memset(line, 0, sizeof(*line));

    if (text.n > VMOPS_AUDIT_LINE_MAX
        || vmops_json_parse(&root, a, text) != VMOPS_JSON_OK)
    {
        return -1;
    }

    for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {

        if (vmops_json_get(root, types[i].name) != NULL) {
            line->type = (vmops_audit_type_t) i;

            return vmops_codec_read(&line->u, types[i].fields, root, a, 1);
        }
    }

    return -1;
}
