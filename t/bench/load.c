
/*
 * The load program: reads lines from its standard input, does what each says
 * and answers it with one line of JSON.  While it waits for the next line it
 * keeps its sockets alive.  Loopback only.
 *
 *   target host=127.0.0.1 port=N [ca=FILE]
 *   tenant name=NAME token=TOKEN     again for each token
 *   agents n=N                       made through the API, ready for commands
 *   subscribers n=N path=PREFIX      WebSockets of another server
 *   connect in_flight=N [n=N]        all sockets, until they are ready
 *   disconnect
 *   commands [verify=N] ...          signed round trips; agents check the
 *                                    signature of every Nth command
 *   get [path=PATH] ...              a fixed path, or the VMs one by one
 *   publish path=PREFIX ...          POST to another server's socket
 *
 * What the last three share: in_flight=N seconds=N [warm=MS] [limit=N]
 * [agents=N], and rate=N for a fixed rate.  An error ends the program.
 */

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench.h"
#include "vmops_banned.h"


#define LINE_SIZE  1024


static char    line_memory[LINE_SIZE];
static size_t  line_n;


const char *
line_text(const line_t *line, const char *name)
{
    unsigned  i;

    for (i = 0; i < line->n; i++) {
        if (strcmp(line->words[i].name, name) == 0) {
            return line->words[i].value;
        }
    }

    return NULL;
}


uint64_t
line_number(const line_t *line, const char *name, uint64_t absent,
    uint64_t max)
{
    uint64_t     n;
    const char  *text;

    text = line_text(line, name);
    if (text == NULL) {
        return absent;
    }

    if (vmops_dec_parse(vmops_span_str(text), max, &n) != 0) {
        fatal("%s is a number up to %llu", name, (unsigned long long) max);
    }

    return n;
}


static void
take_target(const line_t *line)
{
    const char  *host = line_text(line, "host");

    http_close_all();
    target_set(host != NULL ? host : "127.0.0.1",
               (uint16_t) line_number(line, "port", 0, 65535),
               line_text(line, "ca"));
    printf("{}\n");
}


static tenant_t *
tenant_of(const char *name)
{
    unsigned  i;

    for (i = 0; i < ntenants; i++) {
        if (strcmp(tenants[i].name, name) == 0) {
            return &tenants[i];
        }
    }

    if (ntenants == TENANTS_MAX) {
        fatal("more than %u tenants", TENANTS_MAX);
    }

    snprintf(tenants[i].name, sizeof(tenants[i].name), "%s", name);
    vmops_tenant16(tenants[i].id, vmops_span_str(name));
    ntenants++;

    return &tenants[i];
}


static void
take_tenant(const line_t *line)
{
    tenant_t    *t;
    const char  *name, *token;

    name = line_text(line, "name");
    token = line_text(line, "token");

    if (name == NULL || token == NULL) {
        fatal("tenant wants a name and a token");
    }

    t = tenant_of(name);
    if (t->ntokens == TOKENS_MAX) {
        fatal("more than %u tokens of a tenant", TOKENS_MAX);
    }

    snprintf(t->bearer[t->ntokens++], sizeof(t->bearer[0]),
             "Authorization: Bearer %s\r\n", token);
    printf("{}\n");
}


static const struct {
    const char  *name;
    void       (*run)(const line_t *line);
} verbs[] = {
    { "target", take_target },
    { "tenant", take_tenant },
    { "agents", setup_agents },
    { "subscribers", setup_subscribers },
    { "connect", sockets_connect },
    { "disconnect", sockets_disconnect },
    { "commands", figure_commands },
    { "get", figure_get },
    { "publish", figure_publish }
};


static void
take_line(char *text)
{
    char    *word, *next, *equals;
    size_t   i;
    line_t   line = { .n = 0 };

    next = text;
    word = strsep(&next, " ");

    for (i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(verbs[i].name, word) == 0) {
            break;
        }
    }
    if (i == sizeof(verbs) / sizeof(verbs[0])) {
        fatal("unknown: %s", word);
    }

    while ((word = strsep(&next, " ")) != NULL) {
        equals = strchr(word, '=');
        if (equals == NULL
            || line.n == sizeof(line.words) / sizeof(line.words[0]))
        {
            fatal("a word is no NAME=VALUE, or one too many");
        }
        *equals = '\0';
        line.words[line.n].name = word;
        line.words[line.n++].value = equals + 1;
    }

    verbs[i].run(&line);
    fflush(stdout);
}


/* 0 at the end of the input */

static int
read_lines(void)
{
    char     *end;
    ssize_t   n;

    n = read(STDIN_FILENO, line_memory + line_n, LINE_SIZE - 1 - line_n);
    if (n <= 0) {
        return 0;
    }

    line_n += (size_t) n;
    line_memory[line_n] = '\0';

    while ((end = strchr(line_memory, '\n')) != NULL) {
        *end = '\0';
        take_line(line_memory);
        line_n -= (size_t) (end + 1 - line_memory);
        memmove(line_memory, end + 1, line_n + 1);
    }

    if (line_n == LINE_SIZE - 1) {
        fatal("a line is too long");
    }

    return 1;
}


int
main(void)
{
    if (sodium_init() < 0) {
        fatal("libsodium does not start");
    }

    loop_watch(STDIN_FILENO);

    do {
        while (!loop_readable()) {
            loop_once(now_ns() + SECOND);
        }
    } while (read_lines());

    return 0;
}
