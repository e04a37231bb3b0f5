-- The signed seals of the audit's chain, oldest first, and beside each the
-- stream id of the entry it ends with.  What a seal covers leaves the stream as
-- a whole; the last seal of what has left stays, as the chain goes on from it.

local Seals = {}

-- the last entry that a seal covers
function Seals.to(seal)
    return num(string.match(seal or '', '"n":(%d+)') or '')
end

function Seals.at(t, index)
    return redis.call('LINDEX', K.seals(t), index) or ''
end

function Seals.last(t)
    return Seals.at(t, -1)
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
        if Seals.to(Seals.at(t, middle)) < n then
            low = middle + 1
        else
            high = middle
        end
    end
    return low
end

-- the number up to which a sixteenth of what is there could leave; 0: none
function Seals.part(t)
    local count = redis.call('LLEN', K.seals(t))
    local trimmed = num(fields(t, 'trimmed'))
    local first = Seals.to(Seals.at(t, 0)) <= trimmed and 1 or 0
    return first < count
        and Seals.to(Seals.at(t, first + math.floor((count - first) / 16)))
        or 0
end

-- what the seals up to this number cover leaves
function Seals.drop(t, to)
    local index = Seals.find(t, to)
    local id = redis.call('LINDEX', K.seal_ids(t), index) or ''
    local ms, part = string.match(id, '^(%d+)%-(%d+)$')
    if ms then
        redis.call('XTRIM', K.events(t), 'MINID',
                   ms .. '-' .. text(num(part) + 1))
    end
    redis.call('LTRIM', K.seals(t), index, -1)
    redis.call('LTRIM', K.seal_ids(t), index, -1)
    redis.call('HSET', t, 'trimmed', text(to))
end
