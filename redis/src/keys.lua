-- Keys.  Each is derived from KEYS[1] (t: tenants/{<t>}, p: platform/{p}), so
-- all that a function touches is in one slot.  The lines that begin with "---"
-- are the key table: `redis/generate` makes redis/README.md and the users'
-- patterns of it.
--
--   --- key | type | who writes | inspect (yes, no) | what

local K = {
    --- tenants/{<t>} | hash | tenant, submit, finish, purge | yes | name, cohort, status (`active`, `suspended`, `deleting`), own flags, license lease, `legacy_read_until`, counters (`open`, `agents`), `active_at` (the last submission); of one that is deleting: `deleted_by`, `deleted_at`, and how far its keys are gone (`purge_…`); of the audit: `audit` (the last number given out), `sealed` and `sealed_at` (how far it is sealed: number, stream id), `trimmed` (the last number that left the stream), `trim_to` and `trim_said` (the next one that may, once the entry that says so is sealed), `witnessed` (the last seal of an agent that was not found)

    --- tenants/{<t>}/agents | zset | register | yes | ids, score 0
    agents = function(t) return t .. '/agents' end,

    --- tenants/{<t>}/agents/<id> | hash | register, agent, session; submit, take, untake (`last_seq`, `drained`) | yes | public keys, approval, epochs, `last_seq`, presence, what the agent says of itself, MAC
    agent = function(t, id) return t .. '/agents/' .. id end,

    --- tenants/{<t>}/agents/<id>/queue | zset | submit, finish, sweep; session_ready | yes | commands not yet finished, by `seq`
    queue = function(t, id) return t .. '/agents/' .. id .. '/queue' end,

    --- tenants/{<t>}/agents/<id>/takeovers | zset, expiring | session_displaced | yes | sessions that another one displaced and that answered still, of the last 10 minutes, by time
    takeovers = function(t, id) return t .. '/agents/' .. id .. '/takeovers' end,

    --- tenants/{<t>}/agents/<id>/nonces | zset | agent_heartbeat, secret_add, secret_rotate | yes | RFC 9421 nonces of the last 10 minutes, by time
    nonces = function(t, id) return t .. '/agents/' .. id .. '/nonces' end,

    --- tenants/{<t>}/agents/<id>/rotations | set | secret_ask_rotate, secret_rotate, secret_delete | yes | secret_refs of its that it is asked to rotate
    rotations = function(t, id) return t .. '/agents/' .. id .. '/rotations' end,

    --- tenants/{<t>}/gateways | zset | session_ready, session_gone, sweep | yes | incarnations that hold agents of this tenant, by the last `ready`
    gateways = function(t) return t .. '/gateways' end,

    --- tenants/{<t>}/gateways/<incarnation> | set | session_ready, session_gone, sweep | yes | ids of the agents it holds
    gateway = function(t, inc) return t .. '/gateways/' .. inc end,

    --- tenants/{<t>}/pairings | zset | pairing, register | no | ids of those that wait, by when they expire
    pairings = function(t) return t .. '/pairings' end,

    --- tenants/{<t>}/pairings/<id> | hash, expiring | pairing, register | no | HMAC of the code, tries, status, creator
    pairing = function(t, id) return t .. '/pairings/' .. id end,

    --- tenants/{<t>}/agent_commands | zset | submit, finish, sweep | yes | ids by time of creation; finished ones are trimmed
    commands = function(t) return t .. '/agent_commands' end,

    --- tenants/{<t>}/agent_commands/<id> | hash | submit, take, untake, session_ready, progress, finish, command, sweep | yes | AgentCommand, pinned secrets; `turn`: how often it was taken from the queue; `intent`: what was asked and by whom, with its MAC, and `outcome`: what its agent answered, with the receipt, in MessagePack
    command = function(t, id) return t .. '/agent_commands/' .. id end,

    --- tenants/{<t>}/agent_commands/<id>/log | list | log | yes | the last lines, `<ms> <line>`
    log = function(t, id) return t .. '/agent_commands/' .. id .. '/log' end,

    --- tenants/{<t>}/deadlines | zset | submit, take, untake, session_ready, finish, sweep | yes | open commands by when they are overdue
    deadlines = function(t) return t .. '/deadlines' end,

    --- tenants/{<t>}/secrets_ciphertext | zset | secret | yes | secret_refs, score 0
    secrets = function(t) return t .. '/secrets_ciphertext' end,

    --- tenants/{<t>}/secrets_ciphertext/<ref> | hash | secret | yes | kind, label, `via`, current version, key_id, agent_id, size
    secret = function(t, ref) return t .. '/secrets_ciphertext/' .. ref end,

    --- tenants/{<t>}/secrets_ciphertext/<ref>/<version> | hash | secret_add, secret_rotate | no | ciphertext, alg, key_id, nonce, aad_meta, created_ms; of those before the current one the last 16 are kept, for 24 h
    version = function(t, ref, version)
        return t .. '/secrets_ciphertext/' .. ref .. '/' .. version
    end,

    --- tenants/{<t>}/secrets_ciphertext/<ref>/bindings | set | binding, secret_delete, vm_delete | yes | `<type>:<scope id>:<family>`
    bindings = function(t, ref)
        return t .. '/secrets_ciphertext/' .. ref .. '/bindings'
    end,

    --- tenants/{<t>}/secret_bindings/<type>:<scope id>:<family> | hash | binding, secret_delete, vm_delete | yes | scope_type (`vm`, `bot`), scope_id, family, secret_ref, MAC
    binding = function(t, name) return t .. '/secret_bindings/' .. name end,

    --- tenants/{<t>}/vms | zset | vm | yes | vm_uuids, score 0
    vms = function(t) return t .. '/vms' end,

    --- tenants/{<t>}/vms/<uuid> | hash | vm | yes | VM registry entry, MAC
    vm = function(t, uuid) return t .. '/vms/' .. uuid end,

    --- tenants/{<t>}/tokens | zset | tenant_create, token | no | `<token_id>:<hmac>`, score 0
    tokens = function(t) return t .. '/tokens' end,

    --- tenants/{<t>}/tokens/<hmac> | hash | tenant_create, token | no | id, role, name, subject, expiry, MAC
    token = function(t, hmac) return t .. '/tokens/' .. hmac end,

    --- tenants/{<t>}/tokens/<hmac>/sessions | zset, 12 h | console, token_delete | no | HMACs of the console sessions opened with it, by time
    token_sessions = function(t, hmac)
        return t .. '/tokens/' .. hmac .. '/sessions'
    end,

    --- tenants/{<t>}/sessions/<hmac> | hash, expiring | console, principal (expiry), token_delete | no | console sessions: subject, role, expiry, `csrf`, HMAC of the token, MAC
    session = function(t, hmac) return t .. '/sessions/' .. hmac end,

    --- tenants/{<t>}/infra_settings_public | hash | settings_set | yes | `settings` (JSON without secrets), `version`, `updated_at`, `updated_by`
    settings = function(t) return t .. '/infra_settings_public' end,

    --- tenants/{<t>}/idempotency/<idem> | string, 24 h | submit | no | command id and body hash
    idempotency = function(t, idem) return t .. '/idempotency/' .. idem end,

    --- tenants/{<t>}/rate/<what> | string, 1 min | principal, submit | no | counters
    rate = function(t, what) return t .. '/rate/' .. what end,

    --- tenants/{<t>}/events | stream, capped | all that change something | yes | audit entries and changes in one order
    events = function(t) return t .. '/events' end,

    --- tenants/{<t>}/audit_seals | list | audit_seal; all that write events (trimming) | yes | signed seals of the audit chain, oldest first
    seals = function(t) return t .. '/audit_seals' end,

    --- tenants/{<t>}/audit_seals/ids | list | with `audit_seals` | yes | the stream id of the entry that each seal ends with
    seal_ids = function(t) return t .. '/audit_seals/ids' end,

    --- tenants/{<t>}/wake | shard channel | submit, agent, session, tenant_set, tenant_delete, register | – | to the gateways
    wake = function(t) return t .. '/wake' end,

    --- tenants/{<t>}/wake/<incarnation> | shard channel | submit | – | a command with all that its gateway worker checks before it signs
    handover = function(t, inc) return t .. '/wake/' .. inc end,

    --- tenants/{<t>}/live | shard channel | all that write events | – | to SSE streams and waiting requests
    live = function(t) return t .. '/live' end,

    --- pairings/<selector> | string, expiring | selector | no | tenant and pairing id

    --- platform/{p}/gateways | zset | beat | yes | worker incarnation, by when its beat runs out
    beats = function(p) return p .. '/gateways' end,

    --- platform/{p}/keys | hash | keys_match, keys_replace | yes | ids of the keys that all nodes have: `command`, `mac`, `pepper`, each as the first one to come had it; `replaced_at` (when vmops-keys last put others in their place)
    keys = function(p) return p .. '/keys' end,

    --- platform/{p}/flags | hash | flags_set | yes | global flags

    --- platform/{p}/flags/<cohort> | hash | flags_set | yes | a cohort's flags
    flags = function(p, cohort)
        return cohort == '' and p .. '/flags' or p .. '/flags/' .. cohort
    end,

    --- platform/{p}/tenants | zset | platform_tenant_add | yes | all tenants, score 0
    tenants = function(p) return p .. '/tenants' end,

    --- platform/{p}/tenants/dropped | zset | platform_tenant_drop | yes | `<tenant>:<deleted_at>` of deletions that have ended, by when
    dropped = function(p) return p .. '/tenants/dropped' end,

    --- platform/{p}/active | zset | active | yes | tenants with open work, and those with finished commands, by when the next sweep is due
    active = function(p) return p .. '/active' end,

    --- platform/{p}/active/added | hash | active | yes | when each was last added
    added = function(p) return p .. '/active/added' end,

    --- platform/{p}/unsealed | zset | unsealed | yes | tenants that may have entries to be sealed, by when they are due
    unsealed = function(p) return p .. '/unsealed' end,

    --- platform/{p}/unsealed/added | hash | unsealed | yes | when each was last added
    unsealed_added = function(p) return p .. '/unsealed/added' end,

    --- platform/{p}/tokens | zset | platform_token_add | no | `<token_id>:<hmac>`, score 0
    platform_tokens = function(p) return p .. '/tokens' end,

    --- platform/{p}/tokens/<hmac> | hash | platform_token_add | no | platform administrators' tokens, MAC
    platform_token = function(p, hmac) return p .. '/tokens/' .. hmac end,

    --- platform/{p}/rate/<what> | string, 1 min | platform_principal, pairing_allow | no | counters
    platform_rate = function(p, what) return p .. '/rate/' .. what end,

    --- platform/{p}/audit | stream, capped | platform | yes | platform administrators' actions
    audit = function(p) return p .. '/audit' end,
}
