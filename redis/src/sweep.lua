-- The sweep of one tenant: what nobody ended, and who went without a word.

-- Sessions of gateway workers that are no more.  A caller's list of the live
-- ones may be a beat old, so one that took an agent a moment ago is left alone.
local function forsaken(t, ms, live, limit)
    local cleared = 0
    for _, gateway in ipairs(redis.call('ZRANGEBYSCORE', K.gateways(t), '-inf',
                                        text(ms - LIMIT.FRESH_MS)))
    do
        if not among(live, gateway) and cleared < limit then
            local ids = redis.call('SPOP', K.gateway(t, gateway),
                                   limit - cleared)
            for _, id in ipairs(ids) do
                if fields(K.agent(t, id), 'gateway') == gateway then
                    Session.clear(t, ms, id, gateway)
                end
            end
            cleared = cleared + #ids
            if redis.call('EXISTS', K.gateway(t, gateway)) == 0 then
                redis.call('ZREM', K.gateways(t), gateway)
            end
        end
    end
end

function F.sweep(t, a)
    local ms, limit = now(), math.max(num(a.limit), 1)
    if fields(t, 'status') == 'deleting' then
        return { 'OK', '0', '0', '1', '' }
    end
    local due = redis.call('ZRANGEBYSCORE', K.deadlines(t), '-inf', text(ms),
                           'LIMIT', 0, limit)
    -- sessions first: why a command ends depends on them
    if a.live ~= '' then
        forsaken(t, ms, a.live, limit)
    end
    for _, id in ipairs(due) do
        if not Command.current(t, ms, id) then
            redis.call('ZREM', K.deadlines(t), id)
        end
    end
    local open, active_at = fields(t, 'open', 'active_at')
    Command.trim(t, ms, num(open), true)
    return { 'OK', text(num(open)), text(ms - num(active_at)), '0',
             Command.old_at(t) }
end
