-- Submission: every gate in the order of the API's document, then the queue and
-- the wake-up.  A gate answers nil, or the reply that refuses.  What is refused
-- leaves nothing behind but the count of requests.
--
-- s: t, ms, a (the arguments), and what the gates found: actor, tenant, origin
-- (of a task call), secret, via, agent, agent_id, grace_until; and, for the
-- gateway, what the MACs of principal, vm, own, bot (bindings) are over.

local ROLES = { operator = true, owner = true }

-- What is read of each.  A submission is the busiest of all calls, and most of
-- its time was Lua's, making tables larger: so these are made in one piece.

local function tenant_of(key)
    local v = redis.call('HMGET', key, 'status', 'cohort',
                         'flag:AGENT_COMMAND_BUS_ENABLED', 'lic_plan',
                         'lic_expires_at', 'lic_grace_ms', 'open', 'audit')
    return v[1] and {
        status = v[1], cohort = v[2] or '',
        ['flag:AGENT_COMMAND_BUS_ENABLED'] = v[3] or '',
        lic_plan = v[4] or '', lic_expires_at = v[5] or '',
        lic_grace_ms = v[6] or '', open = num(v[7]), audit = num(v[8]),
    }
end

local function secret_of(key)
    local v = redis.call('HMGET', key, 'agent_id', 'kind', 'key_id', 'version',
                         'via')
    return v[1] and {
        agent_id = v[1], kind = v[2] or '', key_id = v[3] or '',
        version = v[4] or '', via = v[5] or '',
    }
end

-- the first six are what its MAC is over, and the MAC
local function agent_of(key)
    local v = redis.call('HMGET', key, 'agent_id', 'ed_pk', 'x_pk', 'approved',
                         'revoked', 'mac', 'locked', 'session', 'gateway',
                         'since', 'key_id', 'keystore', 'last_seq', 'drained')
    return v[1] and {
        approved = v[4], revoked = v[5], locked = v[7], session = v[8] or '',
        gateway = v[9] or '', since = v[10] or '', key_id = v[11] or '',
        keystore = v[12] or '', last_seq = num(v[13]), drained = num(v[14]),
        attested = { v[1], v[2], v[3], v[4], v[5], v[6] },
    }
end

local Submit = {}

function Submit.principal(s)
    local a = s.a
    s.tenant = tenant_of(s.t)
    local role
    if s.tenant and s.tenant.status ~= 'deleting' then
        role, s.actor, s.principal = Tenant.standing(s.t, a, s.ms)
    end
    if not role or role ~= a.role then
        return { 'unauthenticated' }
    end
end

function Submit.requests(s)
    local a = s.a
    local wait = Gate.spend(Tenant.rate_key(s.t, a.pkind, a.pkey, a.subject),
                            a.cost, a.rate_limit)
    if wait then
        return { 'rate_limited', text(wait), a.rate_limit }
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

-- agent_id guest node vmid bot_id state mac
function TARGET.vm(s)
    s.vm = attested(K.vm(s.t, s.a.target), RECORD.vm)
    if not s.vm then
        return { 'not_found', '/vm_uuid unknown' }
    end
    s.agent_id = s.vm[1] or ''
    if s.agent_id == '' or (s.vm[4] or '') == '' then
        return { 'vm_unassigned' }
    end
end

function TARGET.endpoint(s)
    s.secret_ref = s.a.target
    s.secret = secret_of(K.secret(s.t, s.secret_ref))
    if not s.secret then
        return { 'not_found', '/secret_ref unknown' }
    end
    s.agent_id = s.secret.agent_id
end

function TARGET.task(s)
    s.origin = Command.record(K.command(s.t, s.a.target))
    if not s.origin then
        return { 'not_found', '/command_id unknown' }
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
    s.agent = agent_of(K.agent(s.t, s.agent_id))
    if not s.agent then
        return { 'agent_revoked' }
    end
    local status = Agent.status(s.agent, s.a.live, s.ms)
    s.online = status == 'online'
    if status == 'pending_approval' then
        return { 'agent_unapproved' }
    elseif status == 'revoked' or status == 'locked' then
        return { 'agent_' .. status }
    end
end

-- a secret of this agent and family that can be opened now, or why not
local function usable(s, ref, family)
    local secret = ref ~= '' and secret_of(K.secret(s.t, ref))
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
        s.own, s.bot = Binding.attested(s.t, s.a.target, s.vm[5] or '',
                                      s.a.family)
        s.secret_ref = s.own[4] or s.bot[4] or ''
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
    if not s.online then
        return { 'agent_offline' }
    end
end

-- Counted when it is accepted: a refused one costs no command.
function Submit.commands(s)
    if s.tenant.open >= num(s.a.open_limit) then
        return { 'rate_limited', text(LIMIT.OPEN_RETRY_MS), s.a.open_limit }
    end
    local wait = Gate.spend(K.rate(s.t, 'commands'), 1, s.a.command_limit)
    if wait then
        redis.call('DECRBY', K.rate(s.t, 'commands'), 1)
        return { 'rate_limited', text(wait), s.a.command_limit }
    end
    -- a caller that does not know whether its first try arrived
    if redis.call('ZADD', K.commands(s.t), 'NX', text(s.ms),
                  s.a.command_id) == 0
    then
        redis.call('DECRBY', K.rate(s.t, 'commands'), 1)
        return { 'conflict' }
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
    Submit.commands,        -- 429, commands; conflict
}

-- The command goes with all that vouches for it to the worker that holds its
-- agent, unless others wait before it: is that worker listening?  What it
-- cannot send it gives back (untake); what it did not hear it asks for (take).
local function hand_over(s, order, seq)
    return s.agent.session ~= '' and s.agent.drained == seq - 1
        and redis.call('SPUBLISH', K.handover(s.t, s.agent.gateway), order) > 0
end

-- what a task call is about, and where that went
local function task_of(s)
    local uuid = s.origin.vm_uuid
    if uuid ~= '' then
        s.vm = attested(K.vm(s.t, uuid), RECORD.vm) or {}
        s.own, s.bot = Binding.attested(s.t, uuid, s.vm[5] or '', s.a.family)
    end
    return flat(s.origin)
end

local function accept(s)
    local t, a, tenant, agent = s.t, s.a, s.tenant, s.agent
    local id, ms, number = a.command_id, text(s.ms), agent.last_seq + 1
    local vm, origin, seq = s.vm or {}, s.origin, text(number)
    -- what there mostly is comes first: room is left for what is added below
    local list = filled({
        'status', 'queued', 'agent_id', s.agent_id, 'command_id', id,
        'vm_uuid', origin and origin.vm_uuid or s.vm and a.target or '',
        'guest', origin and origin.guest or vm[2] or '',
        'node', origin and origin.node or vm[3] or '',
        'vmid', origin and origin.vmid or vm[4] or '',
        'seq', seq, 'secret_ref', s.secret_ref,
        'secret_version', s.secret.version, 'created_at', ms,
        'intent', a.intent, 'waits', a.waits,
        'via_ref', s.via_ref or '', 'via_version', s.via and s.via.version or '',
        '', '', '', '',
    })
    local about = origin and task_of(s) or {}
    local order = cmsgpack.pack({
        agent.session, agent.attested, list, s.vm or {}, s.own or {},
        s.bot or {}, s.principal, about,
    })
    local handed = hand_over(s, order, number)
    local audit = tenant.audit + 1
    redis.call('HSET', t, 'open', text(tenant.open + 1), 'audit', text(audit),
               'active_at', ms)
    local n = #list
    list[n + 1], list[n + 2] = 'ev0',
        Events.submitted(t, ms, id, audit, s.actor, a, s.agent_id, handed)
    -- it is answered as accepted, whatever becomes of it in the same moment
    if handed then
        list[2] = 'delivered'
        list[n + 3], list[n + 4] = 'delivered_at', ms
        list[n + 5], list[n + 6] = 'taken_by', agent.session
    else
        list[n + 3], list[n + 4] = 'born', text(born)
    end
    redis.call('HSET', K.command(t, id), unpack(list))
    redis.call('ZADD', K.deadlines(t),
               text(Command.due_at(s.ms, num(a.timeout_s), not handed)), id)
    redis.call('HSET', K.agent(t, s.agent_id), 'last_seq', seq,
               'drained', handed and seq or text(agent.drained))
    redis.call('ZADD', K.queue(t, s.agent_id), seq, id)
    if a.idem ~= '' then
        redis.call('SET', K.idempotency(t, a.idem), id .. ' ' .. a.body_hash,
                   'PX', LIMIT.IDEMPOTENCY_S * 1000)
    end
    if not handed then
        Events.wake(t, 'cmd ' .. s.agent_id)
    end
    return { 'OK', '1', order, s.grace_until }
end

function F.submit(t, a)
    local s = {
        t = t, a = a, ms = now(), tenant = nil, actor = nil, principal = nil,
        vm = nil, own = nil, bot = nil, origin = nil, secret_ref = nil,
        secret = nil, via_ref = nil, via = nil, agent = nil, agent_id = nil,
        online = nil, grace_until = nil,
    }
    for i = 1, #GATES do
        local refusal = GATES[i](s)
        if refusal then
            return refusal
        end
    end
    return accept(s)
end
