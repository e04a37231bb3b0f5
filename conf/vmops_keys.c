/*
 * vmops-keys: makes the key files of nginx, and makes and revokes platform
 * administrators' tokens.  It runs beside nginx, as who may read the key files.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <hiredis/hiredis.h>
#include <sodium.h>

#include "vmops_keys.h"
#include "vmops_banned.h"

#define KEY_SIZE       32
#define TIMEOUT_S      5
#define PATH_SIZE      4096

static const char *const  key_files[] = {
    "command.key", "mac.key", "pepper.key", NULL
};

typedef struct {
    const char  *keys;
    const char  *redis;
    const char  *user;
    const char  *password_file;
    const char  *name;
} options_t;

static const struct {
    const char  *name;
    size_t       offset;
} option_table[] = {
    { "--keys", offsetof(options_t, keys) },
    { "--redis", offsetof(options_t, redis) },
    { "--user", offsetof(options_t, user) },
    { "--password-file", offsetof(options_t, password_file) },
    { "--name", offsetof(options_t, name) },
    { NULL, 0 }
};


static int
usage(void)
{
    fputs("usage: vmops-keys init DIR\n"
          "       vmops-keys platform-token --keys DIR --redis SOCKET\n"
          "                  --user USER --password-file FILE --name NAME\n"
          "       vmops-keys platform-revoke --redis SOCKET --user USER\n"
          "                  --password-file FILE --name NAME\n",
          stderr);
    return 2;
}


static int
fail(const char *what, const char *name, const char *why)
{
    fprintf(stderr, "vmops-keys: %s %s: %s\n", what, name, why);
    return -1;
}


static int
join(char path[PATH_SIZE], const char *dir, const char *name)
{
    int  n;

    n = snprintf(path, PATH_SIZE, "%s/%s", dir, name);

    return n < 0 || n >= PATH_SIZE ? fail("the path of", name, "is too long")
                                   : 0;
}


/* 0: made, or it was there; an existing file is never touched */

static int
make_key(const char *path)
{
    int      fd;
    uint8_t  key[KEY_SIZE];
    ssize_t  n;

    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0) {
        return errno == EEXIST ? 0 : fail("cannot make", path, strerror(errno));
    }

    randombytes_buf(key, sizeof(key));
    n = write(fd, key, sizeof(key));
    sodium_memzero(key, sizeof(key));

    if (n != KEY_SIZE || fsync(fd) != 0) {
        fail("cannot write", path, strerror(errno));
        close(fd);
        unlink(path);
        return -1;
    }

    return close(fd) == 0 ? 0 : fail("cannot write", path, strerror(errno));
}


static int
init(const char *dir)
{
    int   i;
    char  path[PATH_SIZE];

    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        return fail("cannot make", dir, strerror(errno));
    }

    for (i = 0; key_files[i]; i++) {
        if (join(path, dir, key_files[i]) != 0 || make_key(path) != 0) {
            return -1;
        }
    }

    return 0;
}


/* reads at most size bytes; how many, or -1 */

static ssize_t
read_file(const char *path, void *p, size_t size)
{
    int      fd;
    ssize_t  n;

    fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return fail("cannot read", path, strerror(errno));
    }

    n = read(fd, p, size);

    if (n < 0) {
        fail("cannot read", path, strerror(errno));
    }

    close(fd);

    return n;
}


static int
read_key(const char *dir, const char *name, uint8_t key[KEY_SIZE])
{
    char     path[PATH_SIZE];
    uint8_t  bytes[KEY_SIZE + 1];
    ssize_t  n;

    if (join(path, dir, name) != 0) {
        return -1;
    }

    n = read_file(path, bytes, sizeof(bytes));

    if (n == KEY_SIZE) {
        memcpy(key, bytes, KEY_SIZE);
    }

    sodium_memzero(bytes, sizeof(bytes));

    if (n < 0) {
        return -1;
    }

    return n == KEY_SIZE ? 0 : fail("bad key file", path, "not 32 bytes");
}


/* the file's first line */

static ssize_t
read_password(const char *path, char *text, size_t size)
{
    char     *end;
    ssize_t   n;

    n = read_file(path, text, size);

    if (n < 0) {
        return -1;
    }

    end = memchr(text, '\n', n);

    return end ? end - text : n;
}


/* 0 if there was an answer, and no error */

static int
accepted(redisContext *c, redisReply *reply, const char *what)
{
    int  rc;

    rc = -1;

    if (reply == NULL) {
        fail("redis:", what, c->errstr);

    } else if (reply->type == REDIS_REPLY_ERROR) {
        fail("redis:", what, reply->str);

    } else if (reply->type == REDIS_REPLY_ARRAY
               && (reply->elements == 0
                   || reply->element[0]->type != REDIS_REPLY_STRING))
    {
        fail("redis:", what, "no answer of ours");

    } else if (reply->type == REDIS_REPLY_ARRAY
               && strcmp(reply->element[0]->str, "OK") != 0)
    {
        fail("redis:", what, reply->element[0]->str);

    } else {
        rc = 0;
    }

    if (reply) {
        freeReplyObject(reply);
    }

    return rc;
}


static redisContext *
connect_redis(const options_t *o)
{
    char            password[VMOPS_REDIS_PASSWORD_MAX];
    int             rc;
    ssize_t         n;
    redisContext   *c;
    struct timeval  timeout = { TIMEOUT_S, 0 };

    n = read_password(o->password_file, password, sizeof(password));

    if (n < 0) {
        return NULL;
    }

    c = redisConnectUnixWithTimeout(o->redis, timeout);

    if (c == NULL || c->err) {
        fail("cannot connect to", o->redis, c ? c->errstr : "no memory");
        goto failed;
    }

    redisSetTimeout(c, timeout);

    rc = accepted(c, redisCommand(c, "AUTH %s %b", o->user, password,
                                  (size_t) n),
                  "AUTH");
    if (rc == 0) {
        sodium_memzero(password, sizeof(password));
        return c;
    }

failed:

    sodium_memzero(password, sizeof(password));

    if (c) {
        redisFree(c);
    }

    return NULL;
}


typedef struct {
    char    text[VMOPS_TOKEN_MAX + 1];
    char    lookup[VMOPS_LOOKUP_TEXT + 1];
    char    id[VMOPS_UUID_TEXT + 1];
    char    mac[VMOPS_MAC_TEXT + 1];
} new_token_t;


static int
make_token(new_token_t *t, const options_t *o)
{
    int               n;
    char              key[VMOPS_REDIS_KEY_MAX];
    uint8_t           mac_key[KEY_SIZE], pepper[KEY_SIZE], random[32];
    vmops_span_t      values[VMOPS_RECORD_FIELDS_MAX] = { { NULL, 0 } };
    vmops_uuid_t      id;
    struct timespec   now;

    if (read_key(o->keys, "mac.key", mac_key) != 0
        || read_key(o->keys, "pepper.key", pepper) != 0)
    {
        return -1;
    }

    randombytes_buf(random, sizeof(random));

    if (vmops_token_make(t->text, vmops_span_str("platform"), random) != 0) {
        return -1;
    }

    vmops_lookup_text(t->lookup, pepper, vmops_span_str(t->text));

    clock_gettime(CLOCK_REALTIME, &now);
    randombytes_buf(random, sizeof(random));
    vmops_uuid_v7(&id, (uint64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000,
                  random);
    vmops_uuid_format(t->id, &id);

    n = snprintf(key, sizeof(key), "platform/{p}/tokens/%s", t->lookup);

    /* in the order of vmops_records.def: token_id, role, name */

    values[0] = vmops_span_str(t->id);
    values[1] = vmops_span_str("platform_admin");
    values[2] = vmops_span_str(o->name);

    vmops_record_mac_text(t->mac, mac_key, VMOPS_RECORD_platform_token,
                          vmops_span(key, n), values);

    sodium_memzero(mac_key, sizeof(mac_key));
    sodium_memzero(pepper, sizeof(pepper));
    sodium_memzero(random, sizeof(random));

    return 0;
}


static int
platform_token(const options_t *o)
{
    int            rc;
    new_token_t    t;
    redisContext  *c;

    if (o->name[0] == '\0' || strlen(o->name) > VMOPS_NAME_MAX
        || !vmops_pattern_match(VMOPS_P_TEXT, vmops_span_str(o->name)))
    {
        return fail("bad", "--name", "not a line of 1 to 64 bytes");
    }

    if (make_token(&t, o) != 0) {
        return -1;
    }

    c = connect_redis(o);

    if (c == NULL) {
        return -1;
    }

    rc = accepted(c, redisCommand(c, "FCALL vmops_platform_token_add 1 "
                                  "platform/{p} %s %s %s %s %s",
                                  t.lookup, t.id, "platform_admin", o->name,
                                  t.mac),
                  "vmops_platform_token_add");

    redisFree(c);

    if (rc == 0 && (puts(t.text) < 0 || fflush(stdout) != 0)) {
        rc = fail("cannot write", "stdout", strerror(errno));
    }

    sodium_memzero(&t, sizeof(t));

    return rc;
}


/* all tokens of that name: whoever lost one may not have it any more */

static int
platform_revoke(const options_t *o)
{
    int            rc;
    redisContext  *c;

    c = connect_redis(o);

    if (c == NULL) {
        return -1;
    }

    rc = accepted(c, redisCommand(c, "FCALL vmops_platform_token_delete 1 "
                                  "platform/{p} %s", o->name),
                  "vmops_platform_token_delete");

    redisFree(c);

    if (rc != 0) {
        fputs("Nothing was revoked: GET /api/v1/admin/tokens lists the "
              "names.\n", stderr);
    }

    return rc;
}


/* 0, or -1: every option once, each with a value */

static int
parse(options_t *o, int argc, char **argv)
{
    int           i, k;
    const char  **value;

    for (i = 0; i + 1 < argc; i += 2) {

        for (k = 0; option_table[k].name; k++) {
            if (strcmp(argv[i], option_table[k].name) == 0) {
                break;
            }
        }

        if (option_table[k].name == NULL) {
            return -1;
        }

        value = (const char **) ((char *) o + option_table[k].offset);

        if (*value) {
            return -1;
        }

        *value = argv[i + 1];
    }

    return i == argc && o->redis && o->user && o->password_file && o->name
           ? 0 : -1;
}


int
main(int argc, char **argv)
{
    options_t  o = { NULL, NULL, NULL, NULL, NULL };

    if (sodium_init() < 0) {
        return 1;
    }

    if (argc == 3 && strcmp(argv[1], "init") == 0) {
        return init(argv[2]) == 0 ? 0 : 1;
    }

    if (argc < 3 || parse(&o, argc - 2, argv + 2) != 0) {
        return usage();
    }

    if (strcmp(argv[1], "platform-token") == 0 && o.keys) {
        return platform_token(&o) == 0 ? 0 : 1;
    }

    if (strcmp(argv[1], "platform-revoke") == 0 && o.keys == NULL) {
        return platform_revoke(&o) == 0 ? 0 : 1;
    }

    return usage();
}
