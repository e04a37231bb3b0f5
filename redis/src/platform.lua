-- The platform's own slot: beats, flags, tenants, its administrators.

local Platform = {}

local COHORTS = { 'internal', 'beta', 'production' }
local KEYS_OF_NODES = { 'command', 'mac', 'pepper' }

function Platform.audit(p, ms, what, actor, id, more)
    local entry = { 'event', what, 'actor', actor, 'id', id }
    for i = 1, more and #more or 0 do
        entry[#entry + 1] = more[i]
    end
    redis.call('XADD', K.audit(p), 'MAXLEN', '~', LIMIT.PLATFORM_AUDIT_MAX, '*',
               'ms', text(ms), 'actor', actor, 'entry', json_object(entry))
end

function F.version()
    return { 'OK', VERSION }
end

function F.beat(p, a)
    local ms = now()
    local key = K.beats(p)
    if a.incarnation ~= '' then
        redis.call('ZADD', key, text(ms + num(a.ttl_ms)), a.incarnation)
        redis.call('ZREMRANGEBYSCORE', key, '-inf', text(ms))
    end
    local cohorts = {}
    for _, cohort in ipairs(COHORTS) do
        local flags = redis.call('HGETALL', K.flags(p, cohort))
        if #flags > 0 then
            cohorts[#cohorts + 1] = { cohort, flags }
        end
    end
    return { 'OK', redis.call('ZRANGEBYSCORE', key, '(' .. text(ms), '+inf'),
             redis.call('HGETALL', K.flags(p, '')), cohorts }
end

-- Nodes with other keys than the first one take each other's records for forged,
-- and spoil the chain of the audits: they are told before they do anything.
function F.keys_match(p, a)
    local key, new = K.keys(p), {}
    for _, name in ipairs(KEYS_OF_NODES) do
        local kept = fields(key, name)
        if a[name] ~= '' and kept ~= a[name] then
            if kept ~= '' then
                return { 'conflict', a[name], kept }
            end
            new[#new + 1], new[#new + 2] = name, a[name]
        end
    end
    put(key, new)
    return { 'OK', (fields(key, 'replaced_at')) }
end

function F.keys_replace(p, a)
    local ms = now()
    put(K.keys(p), { 'command', a.command, 'mac', a.mac, 'pepper', a.pepper,
                     'replaced_at', text(ms) })
    Platform.audit(p, ms, 'keys.replaced', 'platform:host', a.command)
    return { 'OK' }
end

function F.platform_principal(p, a)
    local token = record(K.platform_token(p, a.hmac))
    if not token then
        return { 'unauthenticated' }
    end
    local within, used, reset =
        Gate.count(K.platform_rate(p, 'requests:' .. token.token_id),
                   num(a.cost), a.limit)
    if not within then
        return { 'rate_limited', text(reset), a.limit }
    end
    return { 'OK', flat(token), text(used), text(reset) }
end

function F.platform_token_add(p, a)
    local ms = now()
    put(K.platform_token(p, a.hmac), {
        'token_id', a.token_id, 'role', a.role, 'name', a.name,
        'created_at', text(ms), 'mac', a.mac,
    })
    redis.call('ZADD', K.platform_tokens(p), 0, a.token_id .. ':' .. a.hmac)
    Platform.audit(p, ms, 'token.created', 'platform:host', a.token_id,
                   { 'name', a.name, 'role', a.role })
    return { 'OK' }
end

function F.platform_token_list(p, a)
    return page(K.platform_tokens(p), a.cursor, a.limit, function(member)
        return Token.record(K.platform_token(p, Token.hmac(member)))
    end, Token.id)
end

function F.platform_token_delete(p, a)
    local index, deleted = K.platform_tokens(p), 0
    for _, member in ipairs(redis.call('ZRANGE', index, 0, -1)) do
        local key = K.platform_token(p, Token.hmac(member))
        local id, name = fields(key, 'token_id', 'name')
        if name == a.name then
            redis.call('DEL', key)
            redis.call('ZREM', index, member)
            Platform.audit(p, now(), 'token.deleted', 'platform:host', id,
                           { 'name', name })
            deleted = deleted + 1
        end
    end
    return deleted > 0 and { 'OK', text(deleted) } or { 'not_found' }
end

function F.platform_tenant_add(p, a)
    local added = redis.call('ZADD', K.tenants(p), 0, a.tenant)
    if added == 1 then
        Platform.audit(p, now(), 'tenant.created', a.actor, a.tenant)
    end
    return { 'OK', text(added) }
end

-- Nothing is left of it but its hash, which goes next.  It stays in the lists of
-- work for as long as a worker may remember that it is there, so that one of the
-- same name is found in them, too.  A worker that is late with the same deletion
-- means one that is gone, not whoever has the name by now.
function F.platform_tenant_drop(p, a)
    local ms, done = now(), K.dropped(p)
    redis.call('ZREMRANGEBYSCORE', done, '-inf',
               text(ms - LIMIT.DROPPED_KEEP_MS))
    if redis.call('ZADD', done, 'NX', text(ms), a.tenant .. ':' .. a.deletion)
       == 0
    then
        return { 'OK', '0' }
    end
    local dropped = redis.call('ZREM', K.tenants(p), a.tenant)
    if dropped == 1 then
        Platform.audit(p, ms, 'tenant.deleted', a.actor, a.tenant)
    end
    return { 'OK', text(dropped) }
end

function F.platform_tenants(p, a)
    return page(K.tenants(p), a.cursor, a.limit, function(name)
        return name
    end)
end

function F.platform_legacy_noted(p, a)
    Platform.audit(p, now(), 'legacy.changed', a.actor, '', {
        'method', a.method, 'path', a.path, 'status', a.status,
    })
    return { 'OK' }
end

function F.flags_get(p, a)
    return { 'OK', redis.call('HGETALL', K.flags(p, a.cohort)) }
end

function F.flags_set(p, a)
    if not settings(a.name_value, false) then
        return { 'bad_request' }
    end
    if #a.name_value > 0 then
        put(K.flags(p, a.cohort), a.name_value)
        Platform.audit(p, now(), 'flags.changed', a.actor, a.cohort,
                       nulled(a.name_value))
    end
    return { 'OK', redis.call('HGETALL', K.flags(p, a.cohort)) }
end

-- Lists of tenants that workers share by lease: who is due, and when each was
-- added last.

local Due = {}

function Due.add(list, added, tenant)
    local ms = text(now())
    redis.call('ZADD', list, 'NX', ms, tenant)
    redis.call('HSET', added, tenant, ms)
end

function Due.lease(list, lease_ms, limit)
    local ms = now()
    local due = redis.call('ZRANGEBYSCORE', list, '-inf', text(ms),
                           'LIMIT', 0, math.max(num(limit), 1))
    for _, tenant in ipairs(due) do
        redis.call('ZADD', list, text(ms + num(lease_ms)), tenant)
    end
    return due
end

function Due.idle(added, tenant, ms)
    return ms - num(redis.call('HGET', added, tenant) or '')
end

-- A worker that added it not long ago may be about to need it: it stays.
-- again: when it is due once more, or ''.
function Due.drop(list, added, tenant, keep_ms, again)
    if Due.idle(added, tenant, now()) <= keep_ms then
        return
    end
    if again == '' then
        redis.call('ZREM', list, tenant)
    else
        redis.call('ZADD', list, again, tenant)
    end
    redis.call('HDEL', added, tenant)
end

-- One that is due when its commands are old is so at once: no later than one
-- that was leased a moment ago.
function F.active_add(p, a)
    Due.add(K.active(p), K.added(p), a.tenant)
    redis.call('ZADD', K.active(p), 'LT', text(now() + LIMIT.SWEEP_MS),
               a.tenant)
    return { 'OK' }
end

function F.active_lease(p, a)
    return { 'OK', Due.lease(K.active(p), a.lease_ms, a.limit) }
end

function F.active_drop(p, a)
    if a.again ~= '' and not whole(a.again) then
        return { 'bad_request' }
    end
    Due.drop(K.active(p), K.added(p), a.tenant, LIMIT.ACTIVE_KEEP_MS, a.again)
    return { 'OK' }
end

-- A try counts as a failed one before it is made: of many at once no more than
-- the limit are.  One that did not fail is taken back.
function F.pairing_allow(p, a)
    local key = K.platform_rate(p, 'pairing:' .. a.address)
    if num(a.tries) < 0 then
        -- the window begins with the first that counts
        local used = num(redis.call('GET', key) or '')
        redis.call(used > 1 and 'DECR' or 'DEL', key)
        return { 'OK' }
    end
    local wait = Gate.spend(key, 1, a.limit)
    if wait then
        redis.call('DECR', key)
        return { 'rate_limited', text(wait), a.limit }
    end
    return { 'OK' }
end
