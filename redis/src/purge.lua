-- The end of a tenant.  It is marked first: from then on no function but those
-- below knows it (library.lua), so nothing new comes.  Then its keys go, a
-- bounded number a call, whoever calls; its own hash is the last.

-- what a deleted tenant still answers
local DELETED = {
    tenant_get = true, tenant_delete = true, tenant_purge = true, sweep = true,
}

function F.tenant_delete(t, a)
    if fields(t, 'status') ~= 'deleting' then
        redis.call('HSET', t, 'status', 'deleting', 'deleted_by', a.actor)
        Events.wake(t, 'suspend')
    end
    return { 'OK', Tenant.view(t) }
end

-- the selector of a pairing that still waits: {selector, pairing_id}
local function selector(key)
    local id, word, status = fields(key, 'pairing_id', 'selector', 'status')
    return status == 'pending' and { word, id } or nil
end

-- One step of a walk over all keys of this server: an index of everything would
-- cost every call, and could forget something.  A cursor is of use to the
-- process that made it only.  The walk is over when a whole round, in one
-- process, found nothing.
local function step(t, limit)
    local cursor, process, found = fields(t, 'purge_cursor', 'purge_process',
                                          'purge_found')
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
               'purge_found', over and '0' or found)
    return over and found == '0', selectors
end

function F.tenant_purge(t, a)
    local ms = now()
    local status, actor, empty = fields(t, 'status', 'deleted_by',
                                        'purge_empty')
    if status ~= 'deleting' then
        return { 'conflict' }
    end
    if empty ~= '' and a.unlisted == '1' then
        redis.call('DEL', t)
        return { 'OK', 'gone', {}, actor }
    end
    if empty ~= '' then
        return { 'OK', 'empty', {}, actor }
    end
    local done, selectors = step(t, math.max(num(a.limit), 1))
    if done then
        redis.call('HSET', t, 'purge_empty', text(ms))
    end
    return { 'OK', done and 'empty' or 'more', selectors, actor }
end
