/*
 * vmops-keys: makes the key files of nginx, tells the store that they are
 * others, and makes and revokes administrators' tokens.  It runs beside
 * nginx, as who may read the key files.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
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

typedef struct {
    const char  *name;
    size_t       offset;
} option_t;

/* each command needs all of its own */

#define KEYS   { "--keys", offsetof(options_t, keys) }
#define STORE  { "--redis", offsetof(options_t, redis) },                     \
               { "--user", offsetof(options_t, user) },                       \
               { "--password-file", offsetof(options_t, password_file) }
#define NAME   { "--name", offsetof(options_t, name) }
#define END    { NULL, 0 }

static const option_t  replace_options[] = { KEYS, STORE, END };
static const option_t  token_options[] = { KEYS, STORE, NAME, END };
static const option_t  revoke_options[] = { STORE, NAME, END };


static const char  usage[] =
    "usage: vmops-keys init DIR\n"
    "       vmops-keys replace --keys DIR --redis SOCKET --user USER\n"
    "                  --password-file FILE\n"
    "       vmops-keys platform-token --keys DIR --redis SOCKET\n"
    "                  --user USER --password-file FILE --name NAME\n"
    "       vmops-keys platform-revoke --redis SOCKET --user USER\n"
    "                  --password-file FILE --name NAME\n"
    "\n"
    "Exit status: 0 done, 1 failed, 2 bad use.\n";


static int  bad_use(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

static int
bad_use(const char *format, ...)
{
    va_list  args;

    fputs("vmops-keys: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs("\nSee vmops-keys --help\n", stderr);

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


/* NULL if there was an answer, and no error; otherwise what is wrong */

static const char *
refusal(const redisContext *c, const redisReply *reply)
{
    if (reply == NULL) {
        return c->errstr;
    }

    if (reply->type == REDIS_REPLY_ERROR) {
        return reply->str;
    }

    if (reply->type != REDIS_REPLY_ARRAY) {
        return NULL;
    }

    if (reply->elements == 0 || reply->element[0]->type != REDIS_REPLY_STRING) {
        return "no answer of ours";
    }

    return strcmp(reply->element[0]->str, "OK") == 0 ? NULL
                                                     : reply->element[0]->str;
}


/* 0 if there was an answer, and no error */

static int
accepted(redisContext *c, redisReply *reply, const char *what)
{
    int          rc;
    const char  *why;

    why = refusal(c, reply);
    rc = why ? fail("redis:", what, why) : 0;

    freeReplyObject(reply);    /* none is fine */

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
    char  command[VMOPS_KEY_ID_TEXT + 1];
    char  mac[VMOPS_KEY_ID_TEXT + 1];
    char  pepper[VMOPS_KEY_ID_TEXT + 1];
} key_ids_t;


static int
read_key_ids(key_ids_t *ids, const char *dir)
{
    int      rc;
    uint8_t  key[KEY_SIZE], pk[32], sk[64];

    if (read_key(dir, "command.key", key) != 0) {
        return -1;
    }

    crypto_sign_seed_keypair(pk, sk, key);
    sodium_memzero(sk, sizeof(sk));
    vmops_command_key_id(ids->command, pk);

    rc = read_key(dir, "mac.key", key);

    if (rc == 0) {
        vmops_secret_key_id(ids->mac, VMOPS_MAC_KEY_PREFIX, key);
        rc = read_key(dir, "pepper.key", key);
    }

    if (rc == 0) {
        vmops_secret_key_id(ids->pepper, VMOPS_PEPPER_KEY_PREFIX, key);
    }

    sodium_memzero(key, sizeof(key));

    return rc;
}


static redisReply *
call_with_ids(redisContext *c, const char *function, const key_ids_t *ids)
{
    return redisCommand(c, "FCALL %s 1 platform/{p} %s %s %s", function,
                        ids->command, ids->mac, ids->pepper);
}


/* until now a node with these keys was refused: those it had are gone */

static int
replace(const options_t *o)
{
    int            rc;
    key_ids_t      ids;
    redisContext  *c;

    c = read_key_ids(&ids, o->keys) == 0 ? connect_redis(o) : NULL;

    if (c == NULL) {
        return -1;
    }

    rc = accepted(c, call_with_ids(c, "vmops_keys_replace", &ids),
                  "vmops_keys_replace");

    redisFree(c);

    return rc;
}


/* a token that is made with others is nobody's at any node */

static int
keys_match(redisContext *c, const key_ids_t *ids, const char *dir)
{
    int          rc;
    redisReply  *reply;
    const char  *why;

    reply = call_with_ids(c, "vmops_keys_match", ids);
    why = refusal(c, reply);

    if (why == NULL) {
        rc = 0;

    } else if (strcmp(why, "conflict") == 0) {
        rc = fail("the keys in", dir,
                  "not those of the store: take the folder of its nodes");

    } else {
        rc = fail("redis:", "vmops_keys_match", why);
    }

    if (reply) {
        freeReplyObject(reply);
    }

    return rc;
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
    key_ids_t      ids;
    new_token_t    t;
    redisContext  *c;

    if (o->name[0] == '\0' || strlen(o->name) > VMOPS_NAME_MAX
        || !vmops_pattern_match(VMOPS_P_TEXT, vmops_span_str(o->name)))
    {
        return fail("bad", "--name", "not a line of 1 to 64 bytes");
    }

    if (read_key_ids(&ids, o->keys) != 0 || make_token(&t, o) != 0) {
        return -1;
    }

    c = connect_redis(o);

    if (c == NULL) {
        return -1;
    }

    rc = keys_match(c, &ids, o->keys);

    if (rc == 0) {
        rc = accepted(c, redisCommand(c, "FCALL vmops_platform_token_add 1 "
                                      "platform/{p} %s %s %s %s %s",
                                      t.lookup, t.id, "platform_admin",
                                      o->name, t.mac),
                      "vmops_platform_token_add");
    }

    redisFree(c);

    if (rc == 0 && (puts(t.text) < 0 || fflush(stdout) != 0)) {
        rc = fail("cannot write", "stdout", strerror(errno));
    }

    sodium_memzero(&t, sizeof(t));

    return rc;
}


/* after an error nobody knows, unless the store said that there is none */

static int
revoke_failed(const char *name, const char *why)
{
    fail("redis:", "vmops_platform_token_delete", why);

    if (strcmp(why, "not_found") == 0) {
        fprintf(stderr, "Nothing was revoked: nobody has the name %s; GET "
                "/api/v1/admin/tokens lists the names.\n", name);
    } else {
        fprintf(stderr, "It is not known whether tokens of %s were revoked: "
                "GET /api/v1/admin/tokens lists those that are left.\n", name);
    }

    return -1;
}


static int
say_revoked(const redisReply *reply, const char *name)
{
    const char  *n;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 2
        || reply->element[1]->type != REDIS_REPLY_STRING)
    {
        return revoke_failed(name, "no answer of ours");
    }

    n = reply->element[1]->str;

    if (printf("%s token%s of %s revoked\n", n, strcmp(n, "1") == 0 ? "" : "s",
               name) < 0
        || fflush(stdout) != 0)
    {
        return fail("cannot write", "stdout", strerror(errno));
    }

    return 0;
}


/* all tokens of that name: whoever lost one may not have it any more */

static int
platform_revoke(const options_t *o)
{
    int            rc;
    const char    *why;
    redisReply    *reply;
    redisContext  *c;

    c = connect_redis(o);

    if (c == NULL) {
        return -1;
    }

    reply = redisCommand(c, "FCALL vmops_platform_token_delete 1 "
                         "platform/{p} %s", o->name);
    why = refusal(c, reply);
    rc = why ? revoke_failed(o->name, why) : say_revoked(reply, o->name);

    freeReplyObject(reply);    /* none is fine */
    redisFree(c);

    return rc;
}


typedef struct {
    const char      *name;
    const option_t  *options;
    int            (*run)(const options_t *o);
} command_t;

static const command_t  command_table[] = {
    { "replace", replace_options, replace },
    { "platform-token", token_options, platform_token },
    { "platform-revoke", revoke_options, platform_revoke },
    { NULL, NULL, NULL }
};


static const char **
value_of(options_t *o, const option_t *option)
{
    return (const char **) ((char *) o + option->offset);
}


/* 0, or 2: every option of the command once, each with a value */

static int
parse(options_t *o, const command_t *c, int argc, char **argv)
{
    int              i;
    const option_t  *option;

    for (i = 0; i < argc; i += 2) {

        if (argv[i][0] != '-') {
            return bad_use("unexpected argument %s", argv[i]);
        }

        for (option = c->options; option->name; option++) {
            if (strcmp(argv[i], option->name) == 0) {
                break;
            }
        }

        if (option->name == NULL) {
            return bad_use("%s has no option %s", c->name, argv[i]);
        }

        if (*value_of(o, option)) {
            return bad_use("%s is given twice", argv[i]);
        }

        if (i + 1 == argc) {
            return bad_use("%s needs a value", argv[i]);
        }

        *value_of(o, option) = argv[i + 1];
    }

    for (option = c->options; option->name; option++) {
        if (*value_of(o, option) == NULL) {
            return bad_use("%s needs %s", c->name, option->name);
        }
    }

    return 0;
}


static int
main_init(int argc, char **argv)
{
    if (argc == 0) {
        return bad_use("init needs a DIR");
    }

    if (argv[0][0] == '-') {
        return bad_use("init has no option %s", argv[0]);
    }

    if (argc > 1) {
        return bad_use("unexpected argument %s", argv[1]);
    }

    return init(argv[0]) == 0 ? 0 : 1;
}


int
main(int argc, char **argv)
{
    int               i;
    options_t         o = { NULL, NULL, NULL, NULL, NULL };
    const command_t  *c;

    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            return fputs(usage, stdout) < 0;
        }
    }

    if (argc < 2) {
        return bad_use("which command?");
    }

    if (sodium_init() < 0) {
        return 1;
    }

    if (strcmp(argv[1], "init") == 0) {
        return main_init(argc - 2, argv + 2);
    }

    for (c = command_table; c->name; c++) {
        if (strcmp(argv[1], c->name) == 0) {
            return parse(&o, c, argc - 2, argv + 2) != 0 ? 2
                   : c->run(&o) == 0 ? 0 : 1;
        }
    }

    return bad_use("unknown command %s", argv[1]);
}
