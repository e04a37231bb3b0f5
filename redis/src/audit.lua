-- The audit as a chain: what a worker seals, what is read of it, and what a
-- store that came back without its last second owes to it.

local Audit = {}

-- The number of an audit entry after the last one, and {n, ms, entry, id}; nil
-- for any other event.  What has not the form of an entry is none, whoever put
-- it there.
local function numbered(event, id, last, most)
    local n, ms, entry
    for i = 1, #event, 2 do
        local name = event[i]
        if name == 'n' then
            n = event[i + 1]
        elseif name == 'ms' then
            ms = event[i + 1]
        elseif name == 'entry' then
            entry = event[i + 1]
        end
    end
    local number = n and ordinal(n)
    if number and number > last and number <= most and ms and ordinal(ms)
       and entry and entry ~= '' and #entry <= LIMIT.AUDIT_ENTRY_MAX
       and utf8(entry)
    then
        return number, { n, ms, entry, id }
    end
    return nil
end

-- Entries {n, ms, entry, id} that come after a stream id and after the number
-- `last`, at most `limit`; the id that was looked at last, and whether the
-- stream goes on there.
function Audit.entries(t, from, last, limit)
    local list, size, seen = {}, 0, 0
    local most = num(fields(t, 'audit'))
    while seen < LIMIT.SCAN_MAX do
        local part = redis.call('XRANGE', K.events(t),
                                from == '' and '-' or '(' .. from, '+',
                                'COUNT', LIMIT.LIST_LIMIT_MAX)
        for i = 1, #part do
            local id = part[i][1]
            local n, entry = numbered(part[i][2], id, last, most)
            from = id
            if n then
                last = n
                list[#list + 1] = entry
                size = size + #entry[3]
                if #list == limit or size > LIMIT.PAGE_BYTES then
                    return list, id, true
                end
            end
        end
        seen = seen + #part
        if #part < LIMIT.LIST_LIMIT_MAX then
            return list, from, false
        end
    end
    return list, from, true
end

function F.audit_next(t)
    local ms = now()
    local count, sealed, at = fields(t, 'audit', 'sealed', 'sealed_at')
    if num(count) <= num(sealed) then
        return { 'OK', text(ms), '', {}, '0' }
    end
    local list, id, more = Audit.entries(t, at, num(sealed),
                                         LIMIT.AUDIT_SEAL_ENTRIES)
    if #list == 0 then
        redis.call('HSET', t, 'sealed_at', id)
        if not more then
            -- they were written, and are not there any more: so it is said
            redis.call('HSET', t, 'sealed', count)
            Events.audit(t, ms, 'audit.lost', 'system', '', {
                'from', text(num(sealed) + 1), 'to', count,
            })
            more = true
        end
    end
    return { 'OK', text(ms), Seals.last(t), list, more and '1' or '0' }
end

function F.audit_seal(t, a)
    if Seals.last(t) ~= a.last then
        return { 'conflict' }
    end
    local sealed = num(fields(t, 'sealed'))
    Seals.add(t, a.seal, a.id)
    redis.call('HSET', t, 'sealed', a.to, 'sealed_at', a.id)
    if num(a.from) > sealed + 1 then
        Events.audit(t, now(), 'audit.lost', 'system', '', {
            'from', text(sealed + 1), 'to', text(num(a.from) - 1),
        })
    end
    return { 'OK' }
end

function F.audit_read(t, a)
    local last = num(a.last)
    local list, id, more = Audit.entries(t, a.after, last, num(a.limit))
    local seals = {}
    local upto = more and num(list[#list] and list[#list][1] or a.last)
        or math.huge
    local index = Seals.find(t, last + 1)
    for _, seal in ipairs(redis.call('LRANGE', K.seals(t), index,
                                     index + num(a.limit)))
    do
        if Seals.to(seal) <= upto then
            seals[#seals + 1] = seal
        end
    end
    return { 'OK', list, seals, more and id or '', Seals.last(t),
             fields(t, 'trimmed') }
end

function F.audit_head(t)
    return { 'OK', Seals.last(t) }
end

-- An agent was shown a seal.  A chain that has none like it is not the one that
-- it was shown: once for each such seal, this is said; and no number that was
-- seen is given out again.
function F.audit_witness(t, a)
    if fields(K.agent(t, a.agent_id), 'revoked') == '1' then
        return { 'agent_revoked' }
    end
    local n = whole(a.n)
    local count, told = fields(t, 'audit', 'witnessed')
    if not n or n <= num(told) then
        return { 'OK', '0' }
    end
    local index = Seals.find(t, n)
    local seal = redis.call('LINDEX', K.seals(t), index)
    if seal and (Seals.to(seal) == n
                 and string.find(seal, '"h":"' .. a.h .. '"', 1, true)
                 or index == 0 and num(fields(t, 'trimmed')) >= n)
    then
        return { 'OK', '0' }
    end
    local lost = num(fields(t, 'sealed')) + 1
    redis.call('HSET', t, 'witnessed', text(n), 'audit',
               text(math.max(n, num(count))))
    Events.audit(t, now(), 'audit.forked', 'agent:' .. a.agent_id, '', {
        'n', text(n), 'h', a.h, 'from', lost <= n and text(lost) or '',
    })
    return { 'OK', '1' }
end

-- Tenants that may have entries to be sealed, in the platform's slot.  A worker
-- says so before it calls what writes them, and remembers it for a while.

function F.unsealed_add(p, a)
    Due.add(K.unsealed(p), K.unsealed_added(p), a.tenant)
    return { 'OK' }
end

function F.unsealed_lease(p, a)
    local ms = now()
    local due = Due.lease(K.unsealed(p), a.lease_ms, a.limit)
    for i = 1, #due do
        due[i] = { due[i], text(Due.idle(K.unsealed_added(p), due[i], ms)) }
    end
    return { 'OK', due }
end

function F.unsealed_drop(p, a)
    Due.drop(K.unsealed(p), K.unsealed_added(p), a.tenant,
             LIMIT.AUDIT_KEEP_MS, '')
    return { 'OK' }
end
