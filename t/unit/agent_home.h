/*
 * A home of its own for each test of the agent's parts.
 */

#ifndef UNIT_AGENT_HOME_H
#define UNIT_AGENT_HOME_H

#include "unit.h"

#include <sodium.h>
#include <unistd.h>

#include "agent.h"
#include "redact.h"


static home_t  home;


UNUSED static int
home_setup(void **state)
{
    char  dir[] = "/tmp/vmops-unit-XXXXXX";

    (void) state;

    if (sodium_init() < 0 || redact_init() != 0 || mkdtemp(dir) == NULL) {
        return -1;
    }

    return home_open(&home, dir);
}


UNUSED static int
home_teardown(void **state)
{
    char  command[PLAT_PATH_MAX + 32];

    (void) state;

    /* a folder that mkdtemp() made a moment ago */
    snprintf(command, sizeof(command), "rm -r -- '%s'", home.state);

    return system(command);
}


/* 1 if the home has a file of that name */

UNUSED static int
home_has(const char *name)
{
    char  path[PLAT_PATH_MAX];

    assert_int_equal(home_path(path, home.state, name), 0);

    return access(path, F_OK) == 0;
}


/* XORs one byte of a file; offset from its end if negative */

UNUSED static void
home_flip(const char *name, long offset)
{
    int    c;
    char   path[PLAT_PATH_MAX];
    FILE  *f;

    assert_int_equal(home_path(path, home.state, name), 0);
    f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, offset, offset < 0 ? SEEK_END : SEEK_SET), 0);
    c = fgetc(f);
    assert_int_not_equal(c, EOF);
    assert_int_equal(fseek(f, -1, SEEK_CUR), 0);
    fputc(c ^ 1, f);
    fclose(f);
}

#endif /* UNIT_AGENT_HOME_H */
