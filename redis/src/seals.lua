-- The signed seals of the audit's chain, oldest first, and beside each the
-- stream id of the entry it ends with.  What a seal covers leaves the stream as
-- a whole; the last seal of what has left stays, as the chain goes on from it.

local Seals = {}

-- the last entry that a seal covers
local function seal_to(seal)
    return num(string.match(seal or '', '"n":(%d+)') or '')
end

function Seals.last(t)
    return redis.call('LINDEX', K.seals(t), -1) or ''
end

function Seals.add(t, seal, id)
    redis.call('RPUSH', K.seals(t), seal)
    redis.call('RPUSH', K.seal_ids(t), id)
end

-- index of the first one that covers n, or what comes after n
function Seals.find(t, n)
    local low, high = 0, redis.call('LLEN', K.seals(t))
    while low < high do
        local middle = math.floor((low + high) / 2)
        if seal_to(redis.call('LINDEX', K.seals(t), middle)) < n then
            low = middle + 1
        else
            high = middle
        end
    end
    return low
end

-- the events that one seal ends: no more are left of a tenant that has none
local function drop_oldest(t)
    local trimmed = num(fields(t, 'trimmed'))
    local first = redis.call('LRANGE', K.seals(t), 0, 1)
    local gone = first[1] and seal_to(first[1]) <= trimmed
    local oldest = first[gone and 2 or 1]
    if not oldest then
        return false
    end
    local id = redis.call('LINDEX', K.seal_ids(t), gone and 1 or 0) or ''
    local ms, part = string.match(id, '^(%d+)%-(%d+)$')
    if ms then
        redis.call('XTRIM', K.events(t), 'MINID',
                   ms .. '-' .. text(num(part) + 1))
    end
    redis.call('HSET', t, 'trimmed', text(seal_to(oldest)))
    if gone then
        redis.call('LPOP', K.seals(t))
        redis.call('LPOP', K.seal_ids(t))
    end
    return true
end

-- Entries leave only up to a seal.  Where there is none to go by: changes that
-- are no entries may leave; entries that nobody seals may not, until there are
-- far too many of them.
function Seals.trim(t)
    for _ = 1, LIMIT.TRIM_MAX do
        if redis.call('XLEN', K.events(t)) <= LIMIT.EVENTS_MAX then
            return
        end
        if not drop_oldest(t) then
            local count, sealed = fields(t, 'audit', 'sealed')
            redis.call('XTRIM', K.events(t), 'MAXLEN', '~',
                       num(count) > num(sealed) and LIMIT.EVENTS_UNSEALED_MAX
                       or LIMIT.EVENTS_MAX)
            return
        end
    end
end
