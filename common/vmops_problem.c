/*
 * Problems of the REST API and error codes of commands.
 */

#include "vmops_problem.h"
#include "vmops_banned.h"


static const vmops_problem_info_t  problems[] = {
#define VMOPS_PROBLEM(code, status, title, cause, todo)                       \
    { #code, status, title, cause " " todo },
#include "vmops_problems.def"
#undef VMOPS_PROBLEM
};


static const vmops_command_error_info_t  command_errors[] = {
#define VMOPS_COMMAND_ERROR(code, title, next)  { #code, title, next },
#include "vmops_command_errors.def"
#undef VMOPS_COMMAND_ERROR
};


const vmops_problem_info_t *
vmops_problem_info(unsigned problem)
{
    return &problems[problem < VMOPS_PROBLEM_MAX_
                     ? problem : VMOPS_PROBLEM_internal_error];
}


const vmops_command_error_info_t *
vmops_command_error_info(unsigned error)
{
    return &command_errors[error < VMOPS_CMDERR_MAX_
                           ? error : VMOPS_CMDERR_internal];
}


int
vmops_problem_find(vmops_span_t code)
{
    int  i;

    for (i = 0; i < VMOPS_PROBLEM_MAX_; i++) {
        if (vmops_span_is(code, problems[i].code)) {
            return i;
        }
    }

    return -1;
}


int
vmops_command_error_find(vmops_span_t code)
{
    int  i;

    for (i = 0; i < VMOPS_CMDERR_MAX_; i++) {
        if (vmops_span_is(code, command_errors[i].code)) {
            return i;
        }
    }

    return -1;
}


vmops_problem_t
vmops_problem_for_status(unsigned status)
{
    unsigned  i;

    switch (status) {

    case 501:       /* a Transfer-Encoding that nginx does not know */
    case 505:
        return VMOPS_PROBLEM_bad_request;

    case 503:       /* a limit of nginx's: it does not ask the store */
        return VMOPS_PROBLEM_internal_error;

    default:
        break;
    }

    for (i = 0; i < VMOPS_PROBLEM_MAX_; i++) {
        if (problems[i].status == status) {
            return i;
        }
    }

    return status >= 400 && status < 500 ? VMOPS_PROBLEM_bad_request
                                         : VMOPS_PROBLEM_internal_error;
}


void
vmops_problem_write(vmops_jw_t *w, vmops_problem_t problem, unsigned status,
    vmops_span_t instance, const vmops_problem_field_t *fields, size_t n)
{
    size_t                       i;
    uint8_t                      type[128];
    vmops_buf_t                  b;
    const vmops_problem_info_t  *info;

    info = vmops_problem_info(problem);

    vmops_buf_init(&b, type, sizeof(type));
    vmops_buf_str(&b, "urn:vmops:problem:");
    vmops_buf_str(&b, info->code);

    vmops_jw_obj(w);
    vmops_jw_kstr(w, "type", vmops_span(b.p, b.n));
    vmops_jw_kcstr(w, "title", info->title);
    vmops_jw_kint(w, "status", status != 0 ? status : info->status);
    vmops_jw_kcstr(w, "code", info->code);
    vmops_jw_kcstr(w, "detail", info->detail);
    vmops_jw_kstr(w, "instance", instance);

    if (n > 0) {
        vmops_jw_key(w, "errors");
        vmops_jw_arr(w);

        for (i = 0; i < n; i++) {
            vmops_jw_obj(w);
            vmops_jw_kcstr(w, "pointer", fields[i].pointer);
            vmops_jw_kcstr(w, "code", fields[i].code);
            vmops_jw_obj_end(w);
        }

        vmops_jw_arr_end(w);
    }

    vmops_jw_obj_end(w);
}


void
vmops_command_error_write(vmops_jw_t *w, vmops_span_t code, vmops_span_t stage)
{
    int                                i;
    const vmops_command_error_info_t  *info;

    i = vmops_command_error_find(code);
    info = vmops_command_error_info(i < 0 ? VMOPS_CMDERR_internal
                                          : (unsigned) i);

    vmops_jw_obj(w);
    vmops_jw_kcstr(w, "code", info->code);
    vmops_jw_kcstr(w, "title", info->title);

    if (stage.p != NULL) {
        vmops_jw_kstr(w, "stage", stage);
    }

    vmops_jw_kcstr(w, "next_action", info->next_action);
    vmops_jw_obj_end(w);
}
