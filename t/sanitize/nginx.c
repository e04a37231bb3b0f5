/*
 * Linked into the nginx with sanitizers: what their runtimes are to do in it.
 * By the time one looks for its options in the environment, a worker has
 * written its title there.
 */

#include <ngx_config.h>
#include <ngx_core.h>


const char *__asan_default_options(void);
const char *__ubsan_default_options(void);
const char *__lsan_default_suppressions(void);
int __lsan_is_turned_off(void);


const char *
__asan_default_options(void)
{
    /* every module has a table ngx_module_names, and so has nginx */
    return "detect_odr_violation=0:detect_stack_use_after_return=1";
}


const char *
__ubsan_default_options(void)
{
    return "print_stacktrace=1";
}


const char *
__lsan_default_suppressions(void)
{
    /*
     * A worker that exits frees its pools, but not its connections; with a
     * configuration, what regular expressions are compiled by is let go (72
     * bytes): ngx_regex_cleanup() calls a free() that does nothing then.
     */
    return "leak:ngx_event_process_init\n"
           "leak:ngx_regex_malloc\n";
}


/* `nginx -t` ends with the configuration it has read */

int
__lsan_is_turned_off(void)
{
    return ngx_test_config != 0;
}
