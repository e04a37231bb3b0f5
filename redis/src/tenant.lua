-- Tenants, their license lease, and who acts in them.

local Tenant = {}

local SETTABLE = {
    name = true, cohort = true, status = true, legacy_read_until = true,
    ['flag:'] = true,
}

-- {tenant}: its hash
function Tenant.view(t)
    return redis.call('HGETALL', t)
end

function F.tenant_create(t, a)
    if redis.call('EXISTS', t) == 1 then
        return { 'conflict' }
    end
    local ms = now()
    put(t, {
        -- first what each command reads and writes
        'status', 'active', 'open', '0', 'audit', '0', 'active_at', '0',
        'cohort', a.cohort, 'tenant', string.match(t, '{(.*)}'),
        'name', a.name, 'created_at', text(ms), 'agents', '0',
    })
    Events.audit(t, ms, 'tenant.created', a.actor,
                 string.match(t, '{(.*)}'), { 'name', a.name })
    Token.add(t, ms, a.hmac, {
        'token_id', a.token_id, 'role', 'owner', 'name', a.token_name,
        'mac', a.mac,
    }, a.actor)
    return { 'OK', Tenant.view(t) }
end

function F.tenant_get(t)
    return { 'OK', Tenant.view(t) }
end

function F.tenant_set(t, a)
    local list = a.field_value
    if not settings(list, SETTABLE) then
        return { 'bad_request' }
    end
    local before = fields(t, 'status')
    put(t, list)
    Events.audit(t, now(), 'tenant.changed', a.actor,
                 string.match(t, '{(.*)}'), nulled(list))
    local status = fields(t, 'status')
    if status ~= 'active' and before == 'active' then
        Events.wake(t, 'suspend')
    end
    return { 'OK', Tenant.view(t) }
end

function F.license_set(t, a)
    put(t, {
        'lic_plan', a.plan, 'lic_max_agents', a.max_agents,
        'lic_max_vms', a.max_vms, 'lic_expires_at', a.expires_at,
        'lic_grace_ms', a.grace_ms,
    })
    Events.audit(t, now(), 'license.set', a.actor, '', {
        'plan', a.plan, 'max_agents', a.max_agents, 'max_vms', a.max_vms,
        'expires_at', a.expires_at, 'grace_ms', a.grace_ms,
    })
    return { 'OK', Tenant.view(t) }
end

function F.license_get(t)
    local tenant = record(t)
    local status, grace = Gate.license(tenant, now())
    return { 'OK', status, tenant.lic_plan, tenant.lic_expires_at, grace,
             text(num(tenant.lic_max_agents)), text(num(tenant.lic_max_vms)),
             text(num(tenant.agents)), text(redis.call('ZCARD', K.vms(t))) }
end

function F.legacy_noted(t, a)
    Events.audit(t, now(), 'legacy.changed', a.actor, '', {
        'method', a.method, 'path', a.path, 'status', a.status,
    })
    return { 'OK' }
end

-- A principal's record, and the same as a flat array; nil where it does not
-- stand (any more).  One that nginx' variables name has none: empty tables.
function Tenant.principal(t, pkind, pkey, subject, ms)
    if pkind == 'var' then
        return subject ~= '' and setmetatable({}, BLANK) or nil, {}
    end
    local key = pkind == 'token' and K.token(t, pkey)
        or pkind == 'session' and K.session(t, pkey)
        or pkind == 'agent' and K.agent(t, pkey)
    local list = key and redis.call('HGETALL', key) or {}
    local found = #list > 0 and mapped(list)
    if not found then
        return nil
    end
    if found.expires_at ~= '' and num(found.expires_at) <= ms then
        return nil
    end
    return found, list
end

-- A principal's role, what the audit calls it, and what its MAC is over; nil
-- where it does not stand.
function Tenant.standing(t, a, ms)
    if a.pkind == 'var' then
        return a.subject ~= '' and a.role or nil, 'user:' .. a.subject, {}
    end
    local token = a.pkind == 'token'
    local key = token and K.token(t, a.pkey)
        or a.pkind == 'session' and K.session(t, a.pkey)
    local values = key and attested(key, token and RECORD.token or RECORD.session)
    if not values then
        return nil
    end
    local ends = values[token and 4 or 3] or ''
    if ends ~= '' and num(ends) <= ms then
        return nil
    end
    -- a session's is that of the token it was opened with
    return values[2], token and 'token:' .. (values[1] or '') or a.subject,
        values
end

-- what a principal's requests are counted under
function Tenant.rate_key(t, pkind, pkey, subject)
    return K.rate(t, 'requests:' .. pkind .. ':'
                  .. (pkind == 'var' and subject or pkey))
end

function F.principal(t, a)
    local ms = now()
    local found = Tenant.principal(t, a.pkind, a.pkey, a.subject, ms)
    if not found then
        return { 'unauthenticated' }
    end
    -- an open stream asks again and again: that alone is no use of a session
    if a.pkind == 'session' and num(a.cost) > 0 then
        Console.touch(t, a.pkey, found, ms)
    end
    local within, used, reset =
        Gate.count(Tenant.rate_key(t, a.pkind, a.pkey, a.subject),
                   num(a.cost), a.limit)
    if not within then
        return { 'rate_limited', text(reset), a.limit }
    end
    return { 'OK', flat(found), Tenant.view(t), text(used), text(reset) }
end
