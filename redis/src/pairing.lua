-- Pairing: a code that is used once, and the agent that comes of it.

local Pairing = {}

-- key_id = "k1" and the hex of bytes 0...15 of kid
local function key_id(kid)
    local raw = base64url(string.sub(kid, 1, 22))
    if not raw or #raw ~= 16 then
        return nil
    end
    return 'k1' .. string.gsub(raw, '.', function(c)
        return string.format('%02x', string.byte(c))
    end)
end

function Pairing.status(pairing, ms)
    if pairing.status == 'pending' and ms >= num(pairing.expires_at) then
        return 'expired'
    end
    return pairing.status
end

-- one wrong try more
local function wrong(t, ms, id)
    local key = K.pairing(t, id)
    local tries = redis.call('HINCRBY', key, 'tries', 1)
    if tries >= LIMIT.PAIRING_TRIES then
        redis.call('HSET', key, 'status', 'burned')
        redis.call('ZREM', K.pairings(t), id)
        Events.audit(t, ms, 'pairing.burned', 'pairing:' .. id, id)
    end
end

-- One agent more, or, under new keys, none: nil, or why the license forbids it.
local function room(tenant, again, before, ms)
    if again and before.revoked ~= '1' then
        return nil
    end
    return Gate.room(tenant, ms, num(tenant.agents), tenant.lic_max_agents)
end

-- The license is asked here as well: its owner can do something about it, the
-- user at the agent cannot.
function F.pairing_create(t, a)
    local again = a.agent_id ~= ''
    local before = again and record(K.agent(t, a.agent_id))
    if again and not before then
        return { 'not_found', '/agent_id unknown' }
    end
    local ms = now()
    local code = room(record(t), again, before, ms)
    if code then
        return { code }
    end
    -- a selector is short, and all tenants have theirs of the same ones
    local waiting = K.pairings(t)
    redis.call('ZREMRANGEBYSCORE', waiting, '-inf', text(ms))
    if redis.call('ZCARD', waiting) >= LIMIT.PAIRINGS_WAITING then
        return { 'conflict' }
    end
    local key, ttl = K.pairing(t, a.pairing_id), num(a.ttl_ms)
    redis.call('ZADD', waiting, text(ms + ttl), a.pairing_id)
    put(key, {
        'pairing_id', a.pairing_id, 'code_hmac', a.code_hmac,
        'selector', a.selector, 'name', a.name,
        'auto_approve', a.auto_approve, 'agent_id', a.agent_id,
        'created_by', a.subject, 'tries', '0', 'status', 'pending',
        'expires_at', text(ms + ttl),
    })
    redis.call('PEXPIRE', key, text(ttl + LIMIT.PAIRING_KEPT_S * 1000))
    Events.audit(t, ms, 'pairing.created', a.actor, a.pairing_id,
                 { 'agent_id', a.agent_id, 'auto_approve', a.auto_approve })
    return { 'OK', text(ms + ttl) }
end

function F.pairing_get(t, a)
    local pairing = record(K.pairing(t, a.pairing_id))
    if not pairing then
        return { 'not_found' }
    end
    pairing.status = Pairing.status(pairing, now())
    pairing.code_hmac = nil
    return { 'OK', flat(pairing) }
end

function F.pairing_delete(t, a)
    local key = K.pairing(t, a.pairing_id)
    local selector = fields(key, 'selector')
    if redis.call('DEL', key) == 0 then
        return { 'not_found' }
    end
    redis.call('ZREM', K.pairings(t), a.pairing_id)
    Events.audit(t, now(), 'pairing.deleted', a.actor, a.pairing_id)
    return { 'OK', selector }
end

-- what stands against this agent beside the code: nil or a problem code
local function obstacle(t, a, pairing, before, ms)
    local tenant = record(t)
    if tenant.status ~= 'active' then
        return 'tenant_suspended'
    end
    local again = pairing.agent_id ~= ''
    if again and (pairing.agent_id ~= a.agent_id or not before)
       or not again and before
       or (a.approved == '1') ~= (pairing.auto_approve == '1')
    then
        return 'conflict'
    end
    return room(tenant, again, before, ms)
end

-- The same identity under new keys: whoever holds the old ones is out.
local function replace(t, ms, a, before)
    if before.session ~= '' then
        Session.clear(t, ms, a.agent_id, before.gateway)
    end
    Agent.drain(t, ms, a.agent_id, 'agent_disconnected',
                'pairing:' .. a.pairing_id)
    redis.call('HDEL', K.agent(t, a.agent_id), 'epoch_pending', 'epoch_at',
               'routes', 'capabilities')
    redis.call('DEL', K.takeovers(t, a.agent_id))
    Events.wake(t, 'repaired ' .. a.agent_id)
end

function F.register(t, a)
    local ms = now()
    local pairing = record(K.pairing(t, a.pairing_id))
    if not pairing or Pairing.status(pairing, ms) ~= 'pending' then
        return { 'pairing_invalid' }
    end
    if pairing.code_hmac ~= a.code_hmac then
        wrong(t, ms, a.pairing_id)
        return { 'pairing_invalid' }
    end
    local id = key_id(a.kid)
    if a.signature_ok ~= '1' or not id then
        wrong(t, ms, a.pairing_id)
        return { 'invalid_params',
                 id and '/signature invalid' or '/kid invalid' }
    end
    local before = record(K.agent(t, a.agent_id))
    local code = obstacle(t, a, pairing, before, ms)
    if code then
        return { code }
    end

    if before then
        replace(t, ms, a, before)
    end
    if not before or before.revoked == '1' then
        redis.call('HINCRBY', t, 'agents', 1)
    end
    put(K.agent(t, a.agent_id), {
        -- first what each command reads: a listpack is searched from its front
        'agent_id', a.agent_id, 'ed_pk', a.ed_pk, 'x_pk', a.x_pk,
        'approved', a.approved, 'revoked', '0', 'mac', a.mac, 'locked', '0',
        'last_seq', before and text(num(before.last_seq)) or '0',
        'key_id', id, 'keystore', 'ok', 'epoch', '0', 'platform', a.platform,
        'name', pairing.name ~= '' and pairing.name or a.name,
        'hostname', a.hostname, 'version', a.version, 'kid', a.kid,
        'created_at', before and before.created_at or text(ms),
        'created_by', pairing.created_by,
    })
    redis.call('ZADD', K.agents(t), 0, a.agent_id)
    redis.call('HSET', K.pairing(t, a.pairing_id), 'status', 'used',
               'agent_id', a.agent_id)
    redis.call('ZREM', K.pairings(t), a.pairing_id)
    Events.audit(t, ms, 'pairing.used', 'agent:' .. a.agent_id, a.pairing_id,
                 { 'agent_id', a.agent_id })
    Events.audit(t, ms, before and 'agent.repaired' or 'agent.registered',
                 'agent:' .. a.agent_id, a.agent_id,
                 { 'created_by', pairing.created_by,
                   'auto_approve', a.approved })
    return { 'OK', a.approved == '1' and 'offline' or 'pending_approval',
             pairing.created_by }
end

-- Selectors have slots of their own: all that is known before the tenant is.

function F.selector_set(key, a)
    local set = redis.call('SET', key, a.tenant .. ' ' .. a.pairing_id, 'NX',
                           'PX', a.ttl_ms)
    return { set and 'OK' or 'conflict' }
end

function F.selector_get(key)
    local tenant, id = string.match(redis.call('GET', key) or '', '^(.-) (.*)$')
    return tenant and { 'OK', tenant, id } or { 'not_found' }
end

-- Another pairing may have it by now: that keeps it.
function F.selector_drop(key, a)
    if redis.call('GET', key) == a.tenant .. ' ' .. a.pairing_id then
        redis.call('DEL', key)
    end
    return { 'OK' }
end
