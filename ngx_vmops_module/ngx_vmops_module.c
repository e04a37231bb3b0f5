
/* ngx_vmops_module: directives, configuration, processes */


#include "ngx_vmops.h"
#include "ngx_vmops_live.h"
#include "ngx_vmops_metrics.h"
#include "ngx_vmops_openapi.h"
#include "ngx_vmops_sweep.h"

#include "vmops_keyfile.h"

#include <sodium.h>


static char *ngx_vmops_public_url_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_uint_t ngx_vmops_public_url_ok(ngx_str_t *url);
static char *ngx_vmops_redis(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_vmops_keys(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_vmops_api(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_vmops_principal_vars(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

static ngx_int_t ngx_vmops_preconfiguration(ngx_conf_t *cf);
static void *ngx_vmops_create_main_conf(ngx_conf_t *cf);
static char *ngx_vmops_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_vmops_create_loc_conf(ngx_conf_t *cf);
static char *ngx_vmops_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static ngx_int_t ngx_vmops_init_process(ngx_cycle_t *cycle);
static void ngx_vmops_exit_process(ngx_cycle_t *cycle);


static ngx_conf_num_bounds_t  ngx_vmops_limit_bounds = {
    ngx_conf_check_num_bounds, 1, VMOPS_RATE_MAX
};


static ngx_command_t  ngx_vmops_commands[] = {

    /* vmops_redis unix:/path | host[:port] [user=] [password_file=] [tls]
                   [ca_file=] [name=]; */
    { ngx_string("vmops_redis"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_vmops_redis,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    /* vmops_keys directory; */
    { ngx_string("vmops_keys"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_vmops_keys,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    /* vmops_request_rate 600; */
    { ngx_string("vmops_request_rate"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_vmops_main_conf_t, request_rate),
      &ngx_vmops_limit_bounds },

    /* vmops_command_rate 120; */
    { ngx_string("vmops_command_rate"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_vmops_main_conf_t, command_rate),
      &ngx_vmops_limit_bounds },

    /* vmops_open_commands 1000; */
    { ngx_string("vmops_open_commands"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_vmops_main_conf_t, open_commands),
      &ngx_vmops_limit_bounds },

    /* vmops_public_url $scheme://$http_host; */
    { ngx_string("vmops_public_url"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_vmops_public_url_set,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_vmops_loc_conf_t, public_url),
      NULL },

    /* vmops_api; */
    { ngx_string("vmops_api"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_vmops_api,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    /* vmops_principal tenant=$a subject=$b role=$c; */
    { ngx_string("vmops_principal"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE3,
      ngx_vmops_principal_vars,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_vmops_module_ctx = {
    ngx_vmops_preconfiguration,    /* preconfiguration */
    ngx_vmops_metrics_conf,        /* postconfiguration */

    ngx_vmops_create_main_conf,    /* create main configuration */
    ngx_vmops_init_main_conf,      /* init main configuration */

    NULL,                          /* create server configuration */
    NULL,                          /* merge server configuration */

    ngx_vmops_create_loc_conf,     /* create location configuration */
    ngx_vmops_merge_loc_conf       /* merge location configuration */
};


ngx_module_t  ngx_vmops_module = {
    NGX_MODULE_V1,
    &ngx_vmops_module_ctx,         /* module context */
    ngx_vmops_commands,            /* module directives */
    NGX_HTTP_MODULE,               /* module type */
    NULL,                          /* init master */
    NULL,                          /* init module */
    ngx_vmops_init_process,        /* init process */
    NULL,                          /* init thread */
    NULL,                          /* exit thread */
    ngx_vmops_exit_process,        /* exit process */
    NULL,                          /* exit master */
    NGX_MODULE_V1_PADDING
};


static const vmops_keyfile_t  ngx_vmops_keyfiles[] = {
    { "command.key", offsetof(ngx_vmops_main_conf_t, command_seed) },
    { "mac.key", offsetof(ngx_vmops_main_conf_t, mac_key) },
    { "pepper.key", offsetof(ngx_vmops_main_conf_t, pepper) },
    { NULL, 0 }
};

static ngx_str_t  ngx_vmops_default_url =
    ngx_string("$scheme://$http_host");

ngx_vmops_worker_t  ngx_vmops_worker;


ngx_int_t
ngx_vmops_public_url(ngx_http_request_t *r, ngx_str_t *url)
{
    ngx_vmops_loc_conf_t  *vlcf;

    vlcf = ngx_http_get_module_loc_conf(r, ngx_vmops_module);

    return ngx_http_complex_value(r, vlcf->public_url, url);
}


/*
 * What an agent signs and what a browser calls its origin begins with it, to
 * the character: one "/" more at its end, and both are refused.  So it is as
 * they write it: in lower case, without the scheme's own port.
 */

static char *
ngx_vmops_public_url_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    if (!ngx_vmops_public_url_ok(&value[1])) {
        return "takes a scheme, a host in lower case and perhaps a port other "
               "than the scheme's own, like https://vmops.example:8443, and "
               "nothing after it";
    }

    return ngx_http_set_complex_value_slot(cf, cmd, conf);
}


/* what will be in variables is not known yet */

static ngx_uint_t
ngx_vmops_public_url_ok(ngx_str_t *url)
{
    size_t       n;
    uint64_t     port, own;
    const char  *p, *last;

    static const char  name[] = "abcdefghijklmnopqrstuvwxyz0123456789._-${}";
    static const char  address[] = "0123456789abcdef:.";

    p = (char *) url->data;
    last = p + url->len;
    own = 0;

    if (ngx_strncmp(p, "https://", 8) == 0) {
        p += 8;
        own = 443;

    } else if (ngx_strncmp(p, "http://", 7) == 0) {
        p += 7;
        own = 80;

    } else if (*p == '$') {
        /* the scheme's, or of all of it */
        n = strspn(p, name);

        if (ngx_strncmp(p + n, "://", 3) == 0) {
            p += n + 3;
        }

    } else {
        return 0;
    }

    n = *p == '[' ? strspn(p + 1, address) + 2 : strspn(p, name);

    if (n == 0 || n > (size_t) (last - p)
        || (*p == '[' && p[n - 1] != ']'))
    {
        return 0;
    }

    p += n;

    if (p == last) {
        return 1;
    }

    if (*p++ != ':') {
        return 0;
    }

    if (*p == '$') {
        return p + strspn(p, name) == last;
    }

    return vmops_dec_parse(vmops_span(p, last - p), 65535, &port) == 0
           && port != 0 && port != own;
}


static char *
ngx_vmops_redis(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_vmops_main_conf_t *vmcf = conf;

    if (vmcf->has_redis) {
        return "is duplicate";
    }

    vmcf->has_redis = 1;

    return vmops_redis_conf_parse(cf, cmd, &vmcf->redis);
}


static char *
ngx_vmops_keys(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_vmops_main_conf_t *vmcf = conf;

    u_char       secret[crypto_sign_SECRETKEYBYTES];
    ngx_str_t   *value;
    ngx_uint_t   i;

    if (vmcf->has_keys) {
        return "is duplicate";
    }

    vmcf->has_keys = 1;

    value = cf->args->elts;

    if (vmops_keyfile_read(cf, &value[1], ngx_vmops_keyfiles, vmcf)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    /* the gateway signs; an agent is told the public key here */

    crypto_sign_seed_keypair(vmcf->command_pk, secret, vmcf->command_seed);
    sodium_memzero(secret, sizeof(secret));
    sodium_memzero(vmcf->command_seed, sizeof(vmcf->command_seed));

    vmops_command_key_id(vmcf->command_key_id, vmcf->command_pk);
    vmops_secret_key_id(vmcf->mac_key_id, VMOPS_MAC_KEY_PREFIX, vmcf->mac_key);
    vmops_secret_key_id(vmcf->pepper_id, VMOPS_PEPPER_KEY_PREFIX,
                        vmcf->pepper);

    vmcf->redis.keys[0].data = (u_char *) vmcf->command_key_id;
    vmcf->redis.keys[1].data = (u_char *) vmcf->mac_key_id;
    vmcf->redis.keys[2].data = (u_char *) vmcf->pepper_id;

    for (i = 0; i < VMOPS_REDIS_KEYS; i++) {
        vmcf->redis.keys[i].len = VMOPS_KEY_ID_TEXT;
    }

    return NGX_CONF_OK;
}


static char *
ngx_vmops_api(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_vmops_loc_conf_t *vlcf = conf;

    ngx_vmops_main_conf_t     *vmcf;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler && clcf->handler != ngx_vmops_handler) {
        return "is beside another handler in this location";
    }

    clcf->handler = ngx_vmops_handler;

    vmcf = ngx_http_conf_get_module_main_conf(cf, ngx_vmops_module);
    vmcf->has_api = "vmops_api";

    vlcf->api = 1;

    return NGX_CONF_OK;
}


static char *
ngx_vmops_principal_vars(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_vmops_loc_conf_t *vlcf = conf;

    ngx_str_t                          *value, text;
    ngx_uint_t                          i, k;
    ngx_vmops_principal_conf_t         *pc;
    ngx_http_complex_value_t          **slot;
    ngx_http_compile_complex_value_t    ccv;

    static const struct {
        ngx_str_t    name;
        size_t       offset;
        ngx_uint_t (*ok)(vmops_span_t value);
        char        *wrong;
    } names[] = {
        { ngx_string("tenant="), offsetof(ngx_vmops_principal_conf_t, tenant),
          ngx_vmops_var_tenant_ok, "has a tenant= that no tenant can have" },
        { ngx_string("subject="),
          offsetof(ngx_vmops_principal_conf_t, subject),
          ngx_vmops_var_subject_ok, "has a subject= that nobody can have" },
        { ngx_string("role="), offsetof(ngx_vmops_principal_conf_t, role),
          ngx_vmops_var_role_ok, "has a role= other than viewer, operator and "
          "owner" }
    };

    if (vlcf->principal) {
        return "is duplicate";
    }

    pc = ngx_pcalloc(cf->pool, sizeof(ngx_vmops_principal_conf_t));
    if (pc == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        for (k = 0; k < 3; k++) {
            if (ngx_strncmp(value[i].data, names[k].name.data,
                            names[k].name.len)
                == 0)
            {
                break;
            }
        }

        if (k == 3) {
            return "takes tenant=, subject= and role=";
        }

        slot = (ngx_http_complex_value_t **) ((u_char *) pc + names[k].offset);

        if (*slot) {
            return "names a parameter twice";
        }

        *slot = ngx_pcalloc(cf->pool, sizeof(ngx_http_complex_value_t));
        if (*slot == NULL) {
            return NGX_CONF_ERROR;
        }

        text.data = value[i].data + names[k].name.len;
        text.len = value[i].len - names[k].name.len;

        ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

        ccv.cf = cf;
        ccv.value = &text;
        ccv.complex_value = *slot;

        if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
            return NGX_CONF_ERROR;
        }

        /* without a variable it is what every request will have */

        if ((*slot)->lengths == NULL
            && !names[k].ok(ngx_vmops_span(&(*slot)->value)))
        {
            return names[k].wrong;
        }
    }

    vlcf->principal = pc;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_vmops_preconfiguration(ngx_conf_t *cf)
{
    ngx_vmops_main_conf_t  *vmcf;

    if (sodium_init() == -1) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "sodium_init() failed");
        return NGX_ERROR;
    }

    vmcf = ngx_http_conf_get_module_main_conf(cf, ngx_vmops_module);

    return vmops_vars_add(cf, &vmcf->vars);
}


static void *
ngx_vmops_create_main_conf(ngx_conf_t *cf)
{
    ngx_vmops_main_conf_t  *vmcf;

    vmcf = ngx_pcalloc(cf->pool, sizeof(ngx_vmops_main_conf_t));
    if (vmcf == NULL) {
        return NULL;
    }

    vmcf->request_rate = NGX_CONF_UNSET;
    vmcf->command_rate = NGX_CONF_UNSET;
    vmcf->open_commands = NGX_CONF_UNSET;

    return vmcf;
}


static char *
ngx_vmops_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_vmops_main_conf_t *vmcf = conf;

    ngx_str_t  name = ngx_string("request_id");

    ngx_conf_init_value(vmcf->request_rate, VMOPS_RATE_REQUESTS_PER_MIN);
    ngx_conf_init_value(vmcf->command_rate, VMOPS_RATE_COMMANDS_PER_MIN);
    ngx_conf_init_value(vmcf->open_commands, VMOPS_COMMANDS_OPEN_MAX);

    vmcf->request_id = ngx_http_get_variable_index(cf, &name);
    if (vmcf->request_id == NGX_ERROR) {
        return NGX_CONF_ERROR;
    }

    if (vmcf->has_api && !vmcf->has_redis) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"%s\" is used, but there is no "
                      "\"vmops_redis\" in the http block", vmcf->has_api);
        return NGX_CONF_ERROR;
    }

    if (vmcf->has_api && !vmcf->has_keys) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"%s\" is used, but there is no "
                      "\"vmops_keys\" in the http block", vmcf->has_api);
        return NGX_CONF_ERROR;
    }

    if (vmcf->has_api
        && ngx_vmops_openapi_create(cf, &vmcf->openapi) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    ngx_str_set(&vmcf->redis.library, "1.0");
    ngx_str_set(&vmcf->redis.client_name, "vmops-rest");

    return NGX_CONF_OK;
}


static void *
ngx_vmops_create_loc_conf(ngx_conf_t *cf)
{
    ngx_vmops_loc_conf_t  *vlcf;

    vlcf = ngx_pcalloc(cf->pool, sizeof(ngx_vmops_loc_conf_t));
    if (vlcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     vlcf->principal = NULL;
     *     vlcf->api = 0;
     */

    vlcf->public_url = NGX_CONF_UNSET_PTR;

    return vlcf;
}


static char *
ngx_vmops_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_vmops_loc_conf_t *prev = parent;
    ngx_vmops_loc_conf_t *conf = child;

    ngx_http_core_loc_conf_t          *clcf;
    ngx_http_compile_complex_value_t   ccv;

    if (prev->public_url == NGX_CONF_UNSET_PTR) {

        prev->public_url = ngx_pcalloc(cf->pool,
                                       sizeof(ngx_http_complex_value_t));
        if (prev->public_url == NULL) {
            return NGX_CONF_ERROR;
        }

        ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

        ccv.cf = cf;
        ccv.value = &ngx_vmops_default_url;
        ccv.complex_value = prev->public_url;

        if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
    }

    ngx_conf_merge_ptr_value(conf->public_url, prev->public_url, NULL);

    /* "if" and "limit_except" serve requests of their location, as it does */

    if (conf->principal == NULL) {
        conf->principal = prev->principal;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->lmt_excpt && clcf->handler == NULL && prev->api) {
        clcf->handler = ngx_vmops_handler;
    }

    if (conf->api && clcf->handler != ngx_vmops_handler) {
        /* a later directive's: it would win, and nobody be told */
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"vmops_api\" is beside another handler in location "
                      "\"%V\"", &clcf->name);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_vmops_init_process(ngx_cycle_t *cycle)
{
    ngx_vmops_worker_t     *w;
    ngx_vmops_main_conf_t  *vmcf;

    w = &ngx_vmops_worker;
    ngx_memzero(w, sizeof(ngx_vmops_worker_t));

    if (!vmops_hook_worker()) {
        return NGX_OK;
    }

    vmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_vmops_module);

    if (vmcf == NULL || !vmcf->has_api) {
        return NGX_OK;
    }

    w->conf = vmcf;
    w->log = cycle->log;

    w->redis = vmops_redis_create(cycle, &vmcf->redis);
    if (w->redis == NULL) {
        return NGX_ERROR;
    }

    w->unsealed = vmops_unsealed_create(cycle, w->redis);
    if (w->unsealed == NULL) {
        return NGX_ERROR;
    }

    w->beat = vmops_beat_create(cycle, w->redis, 0, NULL, NULL);
    if (w->beat == NULL) {
        return NGX_ERROR;
    }

    w->hook = vmops_hook_create(cycle);
    if (w->hook == NULL) {
        return NGX_ERROR;
    }

    if (vmops_hook_on_exit(w->hook, ngx_vmops_live_exit, NULL) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_vmops_principal_init();
    ngx_vmops_live_init();

    if (ngx_vmops_metrics_init(cycle->log) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_vmops_sweep_init();
}


static void
ngx_vmops_exit_process(ngx_cycle_t *cycle)
{
    ngx_vmops_worker_t  *w;

    w = &ngx_vmops_worker;

    if (w->redis == NULL) {
        return;
    }

    vmops_hook_close(w->hook);
    vmops_beat_close(w->beat);
    vmops_redis_close(w->redis);
}
