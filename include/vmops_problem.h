/*
 * Problem codes of the REST API and error codes of commands, and their
 * application/problem+json (RFC 9457).
 */

#ifndef VMOPS_PROBLEM_H
#define VMOPS_PROBLEM_H

#include "vmops_json.h"

#pragma GCC visibility push(hidden)

/* VMOPS_PROBLEM_agent_offline, … */

typedef enum {
#define VMOPS_PROBLEM(code, status, title, cause, todo)  VMOPS_PROBLEM_##code,
#include "vmops_problems.def"
#undef VMOPS_PROBLEM
    VMOPS_PROBLEM_MAX_
} vmops_problem_t;

/* VMOPS_CMDERR_no_route, … */

typedef enum {
#define VMOPS_COMMAND_ERROR(code, title, next)  VMOPS_CMDERR_##code,
#include "vmops_command_errors.def"
#undef VMOPS_COMMAND_ERROR
    VMOPS_CMDERR_MAX_
} vmops_command_error_t;

typedef struct {
    const char *code;
    unsigned    status;     /* HTTP */
    const char *title;
    const char *detail;
} vmops_problem_info_t;

typedef struct {
    const char *code;
    const char *title;
    const char *next_action;
} vmops_command_error_info_t;

/* One member of errors[]; pointer is NUL-ended RFC 6901. */

typedef struct {
    const char *pointer;
    const char *code;
} vmops_problem_field_t;

/* Never NULL: a number out of range is internal_error, or internal. */
const vmops_problem_info_t *vmops_problem_info(unsigned problem);
const vmops_command_error_info_t *vmops_command_error_info(unsigned error);

/* By code, for what Redis functions and agents answer; -1 if unknown. */
int vmops_problem_find(vmops_span_t code);
int vmops_command_error_find(vmops_span_t code);

/* The problem nginx's own answer of that status is rendered as: the first of
 * the table, unless it speaks of what nginx knows nothing of (501, 503); 505
 * and another 4xx are bad_request, anything else is internal_error. */
vmops_problem_t vmops_problem_for_status(unsigned status);

/*
 * One problem document: type, title, status, code, detail, instance and, if
 * n > 0, errors.  status 0: the problem's own.  instance is the request id.
 */
void vmops_problem_write(vmops_jw_t *w, vmops_problem_t problem,
    unsigned status, vmops_span_t instance,
    const vmops_problem_field_t *fields, size_t n);

/* A command's `error` member: {code, title, stage?, next_action}; an unknown
 * code is written as internal.  stage.p NULL: left out. */
void vmops_command_error_write(vmops_jw_t *w, vmops_span_t code,
    vmops_span_t stage);

#pragma GCC visibility pop

#endif /* VMOPS_PROBLEM_H */
