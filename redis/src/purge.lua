-- The end of a tenant.  It is marked first: from then on no function but those
-- below knows it (library.lua), so nothing new comes.  Then its keys go, a
-- bounded number a call, whoever calls; its own hash is the last.

-- what a deleted tenant still answers
local DELETED = {
    tenant_get = true, tenant_delete = true, tenant_purge = true, sweep = true,
}

function F.tenant_delete(t, a)
    -- by when it was deleted this deletion is told from another of that name
    if fields(t, 'deleted_at') == '' then
        redis.call('HSET', t, 'status', 'deleting', 'deleted_by', a.actor,
                   'deleted_at', text(now()))
        Events.wake(t, 'suspend')
    end
    return { 'OK', Tenant.view(t) }
end

-- the selector of a pairing that still waits: {selector, pairing_id}
local function selector(key)
    local id, word, status = fields(key, 'pairing_id', 'selector', 'status')
    return status == 'pending' and { word, id } or nil
end

-- One step of a walk over all keys of this server.  Counters, idempotency and
-- pairings are in no index: one of them would cost every call, and could forget
-- something.  So that others do not feel the walk there is one step in a while,
-- whoever calls.  A cursor is of use to the process that made it only.  The walk
-- is over when a whole round, in one process, found nothing.
local function step(t, ms, limit)
    local cursor, process, found, at =
        fields(t, 'purge_cursor', 'purge_process', 'purge_found', 'purge_at')
    if math.abs(ms - num(at)) < LIMIT.PURGE_PACE_MS then
        return false, {}
    end
    if process ~= text(born) then
        cursor, found = '0', '0'
    end
    local scan = redis.call('SCAN', cursor, 'MATCH', t .. '/*', 'COUNT', limit)
    local selectors = {}
    for _, key in ipairs(scan[2]) do
        if string.find(key, '^/pairings/', #t + 1) then
            selectors[#selectors + 1] = selector(key)
        end
        redis.call('UNLINK', key)
        found = '1'
    end
    local over = scan[1] == '0'
    redis.call('HSET', t, 'purge_cursor', scan[1], 'purge_process', text(born),
               'purge_found', over and '0' or found, 'purge_at', text(ms))
    return over and found == '0', selectors
end

function F.tenant_purge(t, a)
    local ms = now()
    local status, actor, deletion, empty =
        fields(t, 'status', 'deleted_by', 'deleted_at', 'purge_empty')
    if status ~= 'deleting' then
        return { 'conflict' }
    end
    if empty ~= '' and a.unlisted ~= '' and a.unlisted == deletion then
        redis.call('DEL', t)
        return { 'OK', 'gone', {}, actor, deletion }
    end
    if empty ~= '' then
        return { 'OK', 'empty', {}, actor, deletion }
    end
    local done, selectors = step(t, ms, math.max(num(a.limit), 1))
    if done then
        redis.call('HSET', t, 'purge_empty', text(ms))
    end
    return { 'OK', done and 'empty' or 'more', selectors, actor, deletion }
end
