-- Submission: every gate in the order of the API's document, then the queue and
-- the wake-up.  A gate answers nil, or the reply that refuses.  What is refused
-- leaves nothing behind but the count of requests.
--
-- s: t, ms, a (the arguments), and what the gates found: principal, tenant, vm,
-- origin (of a task call), secret, via, agent, agent_id, grace_until.

local ROLES = { operator = true, owner = true }

-- what is read of each: a submission is the busiest of all calls
local PRINCIPAL = { 'role', 'expires_at', 'token_id' }
local TENANT = { 'status', 'cohort', 'flag:AGENT_COMMAND_BUS_ENABLED',
                 'lic_plan', 'lic_expires_at', 'lic_grace_ms', 'open' }
local PLACE = { 'agent_id', 'guest', 'node', 'vmid' }
local ORIGIN = { 'agent_id', 'guest', 'node', 'vmid', 'vm_uuid', 'family',
                 'secret_ref' }
local SECRET = { 'agent_id', 'kind', 'key_id', 'version', 'via' }
local AGENT = { 'approved', 'revoked', 'locked', 'session', 'gateway', 'since',
                'key_id', 'keystore' }

local Submit = {}

function Submit.principal(s)
    local a = s.a
    s.principal = Tenant.principal(s.t, a.pkind, a.pkey, a.subject, s.ms,
                                   PRINCIPAL)
    if not s.principal
       or a.pkind ~= 'var' and s.principal.role ~= a.role
    then
        return { 'unauthenticated' }
    end
    s.tenant = pick(s.t, TENANT)
end

function Submit.requests(s)
    local a = s.a
    local within, _, reset =
        Gate.count(Tenant.rate_key(s.t, a.pkind, a.pkey, a.subject),
                   num(a.cost), a.rate_limit)
    if not within then
        return { 'rate_limited', text(reset), a.rate_limit }
    end
end

function Submit.allowed(s)
    if not ROLES[s.a.role] then
        return { 'forbidden' }
    elseif s.tenant.status ~= 'active' then
        return { 'tenant_suspended' }
    end
end

-- The same key and body: the command as it is now.  One that is no longer kept
-- must not run again.
function Submit.replay(s)
    if s.a.idem == '' then
        return nil
    end
    local id, hash = string.match(
        redis.call('GET', K.idempotency(s.t, s.a.idem)) or '', '^(%S*) (.*)$')
    if not id then
        return nil
    elseif hash ~= s.a.body_hash then
        return { 'idempotency_mismatch' }
    end
    local command = Command.current(s.t, s.ms, id)
    return command and { 'OK', '0', flat(command) } or { 'conflict' }
end

function Submit.feature(s)
    if not Gate.flag(s.tenant, 'AGENT_COMMAND_BUS_ENABLED', s.a.flags) then
        return { 'feature_disabled' }
    end
end

function Submit.license(s)
    local status, grace = Gate.license(s.tenant, s.ms)
    if status == 'expired' then
        return { 'license_inactive' }
    end
    s.grace_until = status == 'grace' and grace or ''
end

-- what the target is, by the action's scope
local TARGET = {}

function TARGET.vm(s)
    s.vm = pick(K.vm(s.t, s.a.target), PLACE)
    if not s.vm then
        return { 'not_found' }
    end
    if s.vm.agent_id == '' or s.vm.vmid == '' then
        return { 'vm_unassigned' }
    end
    s.agent_id = s.vm.agent_id
end

function TARGET.endpoint(s)
    s.secret_ref = s.a.target
    s.secret = pick(K.secret(s.t, s.secret_ref), SECRET)
    if not s.secret then
        return { 'not_found' }
    end
    s.agent_id = s.secret.agent_id
end

function TARGET.task(s)
    s.origin = pick(K.command(s.t, s.a.target), ORIGIN)
    if not s.origin then
        return { 'not_found' }
    end
    s.secret_ref = s.origin.secret_ref
    s.agent_id = s.origin.agent_id
end

function Submit.target(s)
    local find = TARGET[s.a.scope]
    return find and find(s) or not find and { 'not_found' } or nil
end

function Submit.params(s)
    local a = s.a
    if a.params_error ~= '' then
        return { 'invalid_params', a.params_error }
    end
    if s.a.scope == 'endpoint' and Secret.family(s.secret.kind) ~= a.family then
        return { 'invalid_params', '/secret_ref family' }
    end
    if s.origin and s.origin.family ~= a.family then
        return { 'invalid_params', '/command_id family' }
    end
end

function Submit.agent(s)
    s.agent = pick(K.agent(s.t, s.agent_id), AGENT)
    if not s.agent then
        return { 'agent_revoked' }
    end
    local status = Agent.status(s.agent, s.a.live, s.ms)
    if status == 'pending_approval' then
        return { 'agent_unapproved' }
    elseif status == 'revoked' or status == 'locked' then
        return { 'agent_' .. status }
    end
end

-- a secret of this agent and family that can be opened now, or why not
local function usable(s, ref, family)
    local secret = ref and pick(K.secret(s.t, ref), SECRET)
    if not secret or secret.agent_id ~= s.agent_id
       or Secret.family(secret.kind) ~= family
    then
        return nil, { 'secret_missing' }
    end
    if not Secret.openable(secret, s.agent) then
        return nil, { 'secret_reentry_required' }
    end
    return secret
end

-- The secret, and the one it goes through, in the versions of now.
function Submit.secret(s)
    if s.vm then
        s.secret_ref = Binding.secret(s.t, s.a.target, s.a.family)
    end
    local refusal
    s.secret, refusal = usable(s, s.secret_ref, s.a.family)
    if refusal then
        return refusal
    end
    if s.secret.via ~= '' then
        s.via_ref = Secret.ref(s.secret.via)
        s.via, refusal = usable(s, s.via_ref, 'ssh')
    end
    return refusal
end

function Submit.online(s)
    if not Agent.online(s.agent, s.a.live, s.ms) then
        return { 'agent_offline' }
    end
end

-- Counted when it is accepted: a refused one costs no command.
function Submit.commands(s)
    if num(s.tenant.open) >= num(s.a.open_limit) then
        return { 'rate_limited', text(LIMIT.OPEN_RETRY_MS), s.a.open_limit }
    end
    local _, used, reset = Gate.count(K.rate(s.t, 'commands'), 0, '')
    if used >= num(s.a.command_limit) then
        return { 'rate_limited', text(reset), s.a.command_limit }
    end
end

local GATES = {
    Submit.principal,       -- 401
    Submit.requests,        -- 429, requests
    Submit.allowed,         -- 403
    Submit.replay,
    Submit.feature,         -- 501
    Submit.license,         -- 402
    Submit.target,          -- 404, vm_unassigned
    Submit.params,          -- 422
    Submit.agent,           -- agent_unapproved, agent_revoked, agent_locked
    Submit.secret,          -- secret_missing, secret_reentry_required
    Submit.online,          -- agent_offline
    Submit.commands,        -- 429, commands
}

local function by(s)
    if s.a.pkind == 'token' then
        return 'token:' .. s.principal.token_id
    end
    -- a session's is that of the token it was opened with
    return s.a.pkind == 'session' and s.a.subject or 'user:' .. s.a.subject
end

local function accept(s)
    local t, a, ms = s.t, s.a, s.ms
    local place = s.vm or s.origin or mapped({})
    local vm_uuid = s.vm and a.target or place.vm_uuid
    local seq = redis.call('HINCRBY', K.agent(t, s.agent_id), 'last_seq', 1)
    local event = Events.command(t, ms, a.command_id, 'status', 'queued', nil, {
        'command.submitted', by(s), 'subject', a.subject, 'service', a.service,
        'action', a.action, 'target', a.target, 'agent_id', s.agent_id,
    })
    local list = filled({
        'command_id', a.command_id, 'service', a.service, 'action', a.action,
        'scope', a.scope, 'family', a.family, 'target', a.target,
        'vm_uuid', vm_uuid, 'guest', place.guest, 'node', place.node,
        'vmid', place.vmid, 'agent_id', s.agent_id, 'params', a.params,
        'status', 'queued', 'seq', text(seq), 'timeout_s', a.timeout_s,
        'iat', a.iat, 'exp', a.exp, 'subject', a.subject, 'role', a.role,
        'pkind', a.pkind, 'pkey', a.pkey, 'idem', a.idem,
        'intent_mac', a.intent_mac, 'secret_ref', s.secret_ref,
        'secret_version', s.secret.version, 'via_ref', s.via_ref or '',
        'via_version', s.via and s.via.version or '',
        'created_at', text(ms), 'ev0', event, 'born', text(born),
    })
    redis.call('HSET', K.command(t, a.command_id), unpack(list))
    redis.call('ZADD', K.commands(t), text(ms), a.command_id)
    redis.call('ZADD', K.queue(t, s.agent_id), text(seq), a.command_id)
    Command.set_due(t, a.command_id, {
        status = 'queued', created_at = ms, timeout_s = a.timeout_s,
    })
    redis.call('HINCRBY', t, 'open', 1)
    redis.call('HSET', t, 'active_at', text(ms))
    Gate.count(K.rate(t, 'commands'), 1, '')
    if a.idem ~= '' then
        redis.call('SET', K.idempotency(t, a.idem),
                   a.command_id .. ' ' .. a.body_hash, 'PX', LIMIT.IDEMPOTENCY_S * 1000)
    end
    Events.wake(t, 'cmd ' .. s.agent_id)
    return { 'OK', '1', list, s.grace_until }
end

function F.submit(t, a)
    local s = { t = t, a = a, ms = now() }
    for i = 1, #GATES do
        local refusal = GATES[i](s)
        if refusal then
            return refusal
        end
    end
    -- a caller that does not know whether its first try arrived
    if redis.call('EXISTS', K.command(t, a.command_id)) == 1 then
        return { 'conflict' }
    end
    return accept(s)
end
