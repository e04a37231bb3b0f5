
/*
 * Agents ready for commands, through the public API alone: for each one a
 * pairing, a registration, a secret, a VM and its binding, many at a time.
 */

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "vmops_httpsig.h"
#include "vmops_banned.h"


/* one address has VMOPS_PAIRING_FAILED_PER_MIN pairings under way at most */
#define CLIENTS     8
#define SETUP_S     300
#define CIPHERTEXT  272
#define JSON_TYPE   "Content-Type: application/json\r\n"

typedef struct {
    void           (*ask)(client_t *h, agent_t *a);
    int            (*take)(agent_t *a, const vmops_json_t *answer);
    int              status;
} step_t;

static void ask_pairing(client_t *h, agent_t *a);
static void ask_register(client_t *h, agent_t *a);
static void ask_secret(client_t *h, agent_t *a);
static void ask_vm(client_t *h, agent_t *a);
static void ask_binding(client_t *h, agent_t *a);
static int take_pairing(agent_t *a, const vmops_json_t *answer);
static int take_register(agent_t *a, const vmops_json_t *answer);
static int take_secret(agent_t *a, const vmops_json_t *answer);
static int take_vm(agent_t *a, const vmops_json_t *answer);
static int take_nothing(agent_t *a, const vmops_json_t *answer);
static void setup_done(client_t *h, int status, vmops_span_t body);

static const step_t  steps[] = {
    { ask_pairing, take_pairing, 201 },
    { ask_register, take_register, 201 },
    { ask_secret, take_secret, 201 },
    { ask_vm, take_vm, 201 },
    { ask_binding, take_nothing, 200 }
};

#define STEPS  (sizeof(steps) / sizeof(steps[0]))

static unsigned  next_agent, last_agent, under_way;
static unsigned  step_of[CLIENTS];
static char      codes[CLIENTS][VMOPS_PAIRING_CODE + 1];
static uint8_t   body_memory[8192];
static unsigned  at;            /* the client whose step it is */


static void
json_start(vmops_jw_t *w)
{
    vmops_jw_init(w, body_memory, sizeof(body_memory));
    vmops_jw_obj(w);
}


static vmops_span_t
json_end(vmops_jw_t *w)
{
    vmops_span_t  body;

    vmops_jw_obj_end(w);
    if (vmops_jw_done(w, &body) != 0) {
        fatal("a request does not fit");
    }

    return body;
}


static void
owner_sends(client_t *h, agent_t *a, const char *method, const char *path,
    vmops_jw_t *w)
{
    char  headers[VMOPS_TOKEN_MAX + 128];

    snprintf(headers, sizeof(headers), "%s" JSON_TYPE, a->bearer);
    http_request(h, method, path, headers, json_end(w), setup_done);
}


static void
ask_pairing(client_t *h, agent_t *a)
{
    char        name[32];
    vmops_jw_t  w;

    crypto_sign_keypair(a->pk, a->sk);
    randombytes_buf(a->x_pk, sizeof(a->x_pk));
    randombytes_buf(a->kid, sizeof(a->kid));
    snprintf(name, sizeof(name), "bench-%u", (unsigned) (a - agents));

    json_start(&w);
    vmops_jw_kcstr(&w, "name", name);
    vmops_jw_kbool(&w, "auto_approve", 1);
    owner_sends(h, a, "POST", "/api/v1/agents/pairings", &w);
}


static int
take_pairing(agent_t *a, const vmops_json_t *answer)
{
    vmops_span_t  code;

    (void) a;

    return vmops_json_str(vmops_json_get(answer, "code"), &code) == 0
           ? vmops_pairing_code_normalise(codes[at], code) : -1;
}


static void
ask_register(client_t *h, agent_t *a)
{
    char              name[32];
    uint8_t           sig[VMOPS_SIG];
    vmops_jw_t        w;
    vmops_register_t  r;

    snprintf(name, sizeof(name), "bench-%u", (unsigned) (a - agents));

    r.code = vmops_span_str(codes[at]);
    r.ed_pk = a->pk;
    r.x_pk = a->x_pk;
    r.kid = a->kid;
    r.platform = vmops_span_str("linux");
    r.name = vmops_span_str(name);
    r.hostname = vmops_span_str("bench.example");

    if (vmops_register_sign(sig, &r, a->sk) != 0) {
        fatal("cannot sign a registration");
    }

    json_start(&w);
    vmops_jw_kstr(&w, "code", r.code);
    vmops_jw_kb64u(&w, "ed25519_pk", a->pk, 32);
    vmops_jw_kb64u(&w, "x25519_pk", a->x_pk, 32);
    vmops_jw_kb64u(&w, "kid", a->kid, 32);
    vmops_jw_kstr(&w, "platform", r.platform);
    vmops_jw_kstr(&w, "name", r.name);
    vmops_jw_kstr(&w, "hostname", r.hostname);
    vmops_jw_kcstr(&w, "version", "1.0.0");
    vmops_jw_kb64u(&w, "signature", sig, sizeof(sig));
    http_request(h, "POST", "/api/v1/agents/register", JSON_TYPE, json_end(&w),
                 setup_done);
}


static int
take_register(agent_t *a, const vmops_json_t *answer)
{
    vmops_span_t  id, key;

    return vmops_json_str(vmops_json_get(answer, "agent_id"), &id) == 0
           && vmops_uuid_parse(&a->id, id) == 0
           && vmops_json_str(vmops_json_get(answer, "command_key"), &key) == 0
           ? vmops_b64u_decode_exact(command_pk, 32, key) : -1;
}


/* what an agent sends is signed (RFC 9421) */

static void
agent_signs(agent_t *a, const char *path, vmops_span_t body, char *headers,
    size_t size)
{
    char             uri[256], digest[VMOPS_HTTPSIG_DIGEST_TEXT + 1];
    char             input[VMOPS_HTTPSIG_INPUT_MAX + 1];
    char             signature[VMOPS_HTTPSIG_SIG_TEXT + 1];
    vmops_httpsig_t  s;

    snprintf(uri, sizeof(uri), "%s://%s%s",
             target.tls != NULL ? "https" : "http", target.host, path);
    vmops_httpsig_digest(digest, body);

    memset(&s, 0, sizeof(s));
    s.method = vmops_span_str("POST");
    s.target_uri = vmops_span_str(uri);
    s.digest = vmops_span_str(digest);
    s.tenant = vmops_span_str(a->tenant->name);
    s.agent = a->id;
    s.created_s = (int64_t) (now_ms() / 1000);
    randombytes_buf(s.nonce, sizeof(s.nonce));

    if (vmops_httpsig_sign(input, signature, &s, a->sk) != 0) {
        fatal("cannot sign a request");
    }

    snprintf(headers, size, JSON_TYPE "Content-Digest: %s\r\n"
             "Signature-Input: %s\r\nSignature: %s\r\n", digest, input,
             signature);
}


/* nobody opens it: random bytes will do */

static void
ask_secret(client_t *h, agent_t *a)
{
    char          headers[1024], key_id[VMOPS_KEY_ID_TEXT + 1];
    uint8_t       random[CIPHERTEXT];
    vmops_jw_t    w;
    vmops_span_t  body;
    vmops_uuid_t  id;

    randombytes_buf(random, sizeof(random));
    vmops_uuid_v7(&id, now_ms(), random);
    vmops_key_id(key_id, a->kid);

    json_start(&w);
    vmops_jw_kuuid(&w, "secret_id", &id);
    vmops_jw_kcstr(&w, "kind", "proxmox_token");
    vmops_jw_kcstr(&w, "label", "bench");
    vmops_jw_knull(&w, "via");
    vmops_jw_kcstr(&w, "alg", "xc20p-blake2b-v1");
    vmops_jw_kcstr(&w, "key_id", key_id);
    vmops_jw_kint(&w, "version", 1);
    vmops_jw_kint(&w, "created_ms", (int64_t) now_ms());
    vmops_jw_kb64u(&w, "nonce", random, 24);
    vmops_jw_kb64u(&w, "ciphertext", random, sizeof(random));
    vmops_jw_kcstr(&w, "aad_meta", "{}");
    body = json_end(&w);

    agent_signs(a, "/api/v1/secrets", body, headers, sizeof(headers));
    http_request(h, "POST", "/api/v1/secrets", headers, body, setup_done);
}


static int
take_text(char *out, size_t size, const vmops_json_t *answer, const char *name)
{
    vmops_span_t  text;

    if (vmops_json_str(vmops_json_get(answer, name), &text) != 0
        || text.n >= size)
    {
        return -1;
    }

    memcpy(out, text.p, text.n);
    out[text.n] = '\0';

    return 0;
}


static int
take_secret(agent_t *a, const vmops_json_t *answer)
{
    return take_text(a->ref, sizeof(a->ref), answer, "secret_ref");
}


static void
ask_vm(client_t *h, agent_t *a)
{
    char        name[32];
    vmops_jw_t  w;

    snprintf(name, sizeof(name), "vm-%u", (unsigned) (a - agents));

    json_start(&w);
    vmops_jw_kcstr(&w, "name", name);
    vmops_jw_kuuid(&w, "agent_id", &a->id);
    vmops_jw_kcstr(&w, "guest", "qemu");
    vmops_jw_kcstr(&w, "node", "pve1");
    vmops_jw_kint(&w, "vmid", 100);
    owner_sends(h, a, "POST", "/api/v1/vms", &w);
}


static int
take_vm(agent_t *a, const vmops_json_t *answer)
{
    return take_text(a->vm, sizeof(a->vm), answer, "vm_uuid");
}


static void
ask_binding(client_t *h, agent_t *a)
{
    char        path[128];
    vmops_jw_t  w;

    snprintf(path, sizeof(path), "/api/v1/secrets/bindings/vm/%s/proxmox",
             a->vm);

    json_start(&w);
    vmops_jw_kcstr(&w, "secret_ref", a->ref);
    owner_sends(h, a, "PUT", path, &w);
}


static int
take_nothing(agent_t *a, const vmops_json_t *answer)
{
    (void) a;
    (void) answer;

    return 0;
}


/* the agent after the last that is under way */

static void
setup_next(client_t *h)
{
    if (next_agent == last_agent) {
        return;
    }

    h->op = next_agent++;
    at = h->index;
    step_of[at] = 0;
    under_way++;
    steps[0].ask(h, &agents[h->op]);
}


static void
setup_done(client_t *h, int status, vmops_span_t body)
{
    agent_t             *a = &agents[h->op];
    const step_t        *step;
    const vmops_json_t  *answer = NULL;

    at = h->index;
    step = &steps[step_of[at]];

    if (status != step->status
        || vmops_json_parse(&answer, agent_arena(), body) != VMOPS_JSON_OK
        || step->take(a, answer) != 0)
    {
        fatal("step %u of agent %u: status %d, %.*s", step_of[at],
              (unsigned) h->op, status, (int) body.n, (const char *) body.p);
    }

    if (++step_of[at] < STEPS) {
        steps[step_of[at]].ask(h, a);
        return;
    }

    under_way--;
    setup_next(h);
}


static void
agents_new(unsigned n)
{
    agent_t   *a;
    unsigned   i;

    if (agents == NULL) {
        agents = calloc(AGENTS_MAX, sizeof(agent_t));
        if (agents == NULL) {
            fatal("no memory");
        }
    }

    if (nagents + n > AGENTS_MAX) {
        fatal("more than %u agents", AGENTS_MAX);
    }

    for (i = nagents; i < nagents + n && ntenants > 0; i++) {
        a = &agents[i];
        a->tenant = &tenants[i % ntenants];
        a->bearer = a->tenant->bearer[i / ntenants % a->tenant->ntokens];
    }

    nagents += n;
}


/* agents n=N */

void
setup_agents(const line_t *line)
{
    unsigned  i, n;
    uint64_t  start = now_ns();

    if (ntenants == 0) {
        fatal("no tenant yet");
    }

    n = (unsigned) line_number(line, "n", 0, AGENTS_MAX);
    next_agent = nagents;
    agents_new(n);
    last_agent = nagents;

    for (i = 0; i < CLIENTS; i++) {
        setup_next(http_client(i));
    }

    while (under_way > 0) {
        loop_once(now_ns() + SECOND);
        if (now_ns() - start > SETUP_S * SECOND) {
            fatal("no agents in %u s", SETUP_S);
        }
    }

    printf("{\"agents\":%u,\"seconds\":%.3f}\n", n,
           (double) (now_ns() - start) / SECOND);
}


/* subscribers n=N path=PREFIX: sockets of another server, by number */

void
setup_subscribers(const line_t *line)
{
    unsigned     n;
    static char  path[64];

    n = (unsigned) line_number(line, "n", 0, AGENTS_MAX);
    snprintf(path, sizeof(path), "%s", line_text(line, "path"));
    subscriber_path = path;
    agents_new(n);

    printf("{\"agents\":%u}\n", n);
}
