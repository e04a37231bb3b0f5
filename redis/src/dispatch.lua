-- A command on its way: taken by the gateway that holds the agent, reported
-- on, ended.

-- what a lost command's own payload tells of it
local RECOVERED = {
    service = true, action = true, scope = true, family = true, target = true,
    vm_uuid = true, guest = true, node = true, vmid = true, params = true,
    seq = true, timeout_s = true, iat = true, exp = true, subject = true,
    role = true, idem = true, intent_mac = true, secret_ref = true,
    secret_version = true, via_ref = true, via_version = true,
}

-- how many of the queue lie beyond what was taken: those are still queued
local function waiting(t, agent_id, drained)
    return redis.call('ZCOUNT', K.queue(t, agent_id), '(' .. text(drained),
                      '+inf') > 0
end

-- Everything else a gateway checks before it signs.  origin: the command that a
-- task call refers to, whose target it has.
local function bundle(t, command)
    local vm, own, bot, origin = {}, {}, {}, {}
    if command.vm_uuid ~= '' then
        vm = redis.call('HGETALL', K.vm(t, command.vm_uuid))
        own, bot = Binding.of_vm(t, command.vm_uuid, mapped(vm).bot_id,
                                 command.family)
    end
    if command.scope == 'task' then
        local of = Command.record(K.command(t, command.target))
        origin = of and flat(of) or {}
    end
    local principal = {}
    if command.pkind ~= 'var' then
        local key = command.pkind == 'token' and K.token or K.session
        principal = redis.call('HGETALL', key(t, command.pkey))
    end
    return { flat(command), vm, own, bot, principal, origin }
end

-- Is it for this session: queued, or its own already and nothing it has seen?
local function to_take(command, session, seq, seen)
    return command.status == 'queued'
        or command.status == 'delivered' and command.taken_by == session
           and seen and seq > seen
end

-- The queue holds what was delivered, too; `drained` in the agent's record is
-- the last seq that was taken, or handed over when it was submitted.
function F.take(t, a)
    local refusal = Session.refused(t, a.agent_id, a.session)
    if refusal then
        return refusal
    end
    local ms, most = now(), math.max(num(a.limit), 1)
    local agent, queue = K.agent(t, a.agent_id), K.queue(t, a.agent_id)
    local drained = num((fields(agent, 'drained')))
    local seen = whole(a.seen)
    local at = seen and math.min(seen, drained) or drained
    local taken = {}
    repeat
        local list = redis.call('ZRANGEBYSCORE', queue, '(' .. text(at),
                                '+inf', 'WITHSCORES', 'LIMIT', 0,
                                most - #taken)
        for i = 1, #list, 2 do
            local id = list[i]
            local command = Command.current(t, ms, id)
            at = num(list[i + 1])
            if not command then
                redis.call('ZREM', queue, id)
            elseif to_take(command, a.session, at, seen) then
                if command.status == 'queued' then
                    command.status, command.delivered_at = 'delivered', text(ms)
                    redis.call('HSET', K.command(t, id), 'status', 'delivered',
                               'delivered_at', text(ms), 'taken_by', a.session)
                    Command.set_due(t, id, command)
                    Events.command(t, ms, id, 'status', 'delivered')
                end
                command.turn = text(num(command.turn) + 1)
                redis.call('HSET', K.command(t, id), 'turn', command.turn)
                taken[#taken + 1] = bundle(t, command)
            end
        end
    until #list == 0 or #taken == most
    if at > drained then
        redis.call('HSET', agent, 'drained', text(at))
    end
    local more = #taken == most and waiting(t, a.agent_id, at)
    return { 'OK', identity(t, a.agent_id), taken, more and '1' or '0' }
end

-- Only the session that took a command knows that its frame never left.  It may
-- say so late, or twice, when it has taken it again: so it names the turn, which
-- is another one each time.
function F.untake(t, a)
    local ms, returned = now(), 0
    local agent = K.agent(t, a.agent_id)
    local drained = num((fields(agent, 'drained')))
    for i = 1, #a.command_turn, 2 do
        local id = a.command_turn[i]
        local command = Command.record(K.command(t, id))
        if command and command.status == 'delivered'
           and command.agent_id == a.agent_id
           and command.taken_by == a.session
           and num(command.turn) == whole(a.command_turn[i + 1] or '')
        then
            if command.born == '' then
                command.born = text(born)
            end
            Command.requeue(t, ms, id, command)
            drained = math.min(drained, num(command.seq) - 1)
            returned = returned + 1
        end
    end
    if returned > 0 then
        redis.call('HSET', agent, 'drained', text(drained))
        Events.wake(t, 'cmd ' .. a.agent_id)
    end
    return { 'OK', text(returned) }
end

-- its end alone no longer says all of it
local function more_to_read(t, a, command)
    if command.waits ~= '' then
        redis.call('HDEL', K.command(t, a.command_id), 'waits')
    end
end

-- an agent's own command, or the reply that there is none for this session
local function owned(t, a)
    local refusal = Session.refused(t, a.agent_id, a.session)
    if refusal then
        return nil, refusal
    end
    local command = record(K.command(t, a.command_id))
    if not command or command.agent_id ~= a.agent_id
       or command.status == 'queued'
    then
        return nil, { 'not_found' }
    end
    return command
end

-- what was not said is null, as it is in the command
local function said(s)
    return s == '' and 'null' or json_string(s)
end

function F.progress(t, a)
    local command, refusal = owned(t, a)
    if not command then
        return refusal
    end
    if Command.final(command) then
        return { 'OK' }
    end
    local ms, list = now(), {}
    if command.status == 'delivered' then
        list = { 'status', 'running', 'accepted_at',
                 a.accepted_at ~= '' and a.accepted_at or text(ms) }
        Events.command(t, ms, a.command_id, 'status', 'running')
    end
    if a.percent ~= '' or a.stage ~= '' or a.message ~= '' then
        for _, name in ipairs({ 'percent', 'stage', 'message' }) do
            list[#list + 1] = name
            list[#list + 1] = a[name]
        end
        local percent = whole(a.percent)
        more_to_read(t, a, command)
        Events.command(t, ms, a.command_id, 'progress', 'running',
                       '{"percent":' .. (percent and text(percent) or 'null')
                       .. ',"stage":' .. said(a.stage)
                       .. ',"message":' .. said(a.message) .. '}')
    end
    if #list > 0 then
        put(K.command(t, a.command_id), list)
    end
    return { 'OK' }
end

function F.log(t, a)
    local command, refusal = owned(t, a)
    if not command then
        return refusal
    end
    if Command.final(command) then
        return { 'OK' }
    end
    local ms, key = now(), K.log(t, a.command_id)
    more_to_read(t, a, command)
    for _, line in ipairs(a.line) do
        redis.call('RPUSH', key, text(ms) .. ' ' .. line)
        Events.command(t, ms, a.command_id, 'log', command.status, line)
    end
    redis.call('LTRIM', key, -LIMIT.LOG_LINES_MAX, -1)
    return { 'OK' }
end

-- A command that an agent proves by its signature to have got from here, and
-- that is not known any more: its record is made again, as sent.
function F.recover(t, a)
    local key, list = K.command(t, a.command_id), a.field_value
    if not settings(list, RECOVERED) then
        return { 'bad_request' }
    end
    local command = mapped(list)
    if not whole(command.iat) or not whole(command.seq)
       or not whole(command.timeout_s)
    then
        return { 'bad_request' }
    end
    local agent = K.agent(t, a.agent_id)
    local known, last, revoked = fields(agent, 'agent_id', 'last_seq',
                                        'revoked')
    if revoked == '1' then
        return { 'agent_revoked' }
    end
    if known == '' or redis.call('EXISTS', key) == 1 then
        return { 'OK', '0' }
    end
    local ms = now()
    local event = Events.command(t, ms, a.command_id, 'status', 'delivered',
                                 nil, {
        'command.recovered', 'agent:' .. a.agent_id,
        'subject', command.subject, 'service', command.service,
        'action', command.action, 'target', command.target,
        'agent_id', a.agent_id,
    })
    put(key, list)
    redis.call('HSET', key, 'command_id', a.command_id,
               'agent_id', a.agent_id, 'status', 'delivered',
               'recovered', '1', 'created_at', command.iat, 'ev0', event)
    redis.call('ZADD', K.commands(t), command.iat, a.command_id)
    redis.call('HINCRBY', t, 'open', 1)
    redis.call('ZADD', K.queue(t, a.agent_id), command.seq, a.command_id)
    -- its number is not given out again
    redis.call('HSET', agent, 'last_seq',
               text(math.max(num(last), num(command.seq))))
    Command.set_due(t, a.command_id, {
        status = 'delivered', created_at = command.iat,
        timeout_s = command.timeout_s,
    })
    return { 'OK', '1' }
end

-- A signed one replaces "nobody knows", and only that; the agent's own word
-- that nobody knows stands.
local function replaces(key, status, a)
    return status == 'indeterminate' and a.signed ~= ''
        and (a.status ~= 'indeterminate'
             or Command.record(key).receipt_signature == '')
end

function F.finish(t, a)
    local tenant = redis.call('HMGET', t, 'status', 'open', 'audit')
    if not tenant[1] or tenant[1] == 'deleting' then
        return { 'not_found' }
    end
    if redis.call('HGET', K.agent(t, a.agent_id), 'revoked') == '1' then
        return { 'agent_revoked' }
    end
    local ms, id = now(), a.command_id
    local actor = a.signed ~= '' and 'agent:' .. a.agent_id or 'system'
    local key = K.command(t, id)
    local v = redis.call('HMGET', key, 'status', 'agent_id', 'delivered_at',
                         'accepted_at', 'waits')
    if not FINAL[a.status] then
        return { 'bad_request' }
    end
    if not v[1] or v[2] ~= a.agent_id then
        if a.signed ~= '' then
            Events.audit(t, ms, 'command.unknown_result', actor, id,
                         { 'agent_id', a.agent_id, 'status', a.status })
        end
        return { 'OK', 'unknown' }
    end
    -- whoever has been given it since then may take another view
    if a.signed == '' and fields(key, 'taken_by') ~= a.session then
        return { 'OK', 'known' }
    end
    if FINAL[v[1]] then
        if not replaces(key, v[1], a) then
            return { 'OK', 'known' }
        end
        redis.call('HDEL', key, 'error_code', 'receipt_verdict')
    end
    Command.close(t, ms, id, {
        status = v[1], agent_id = v[2], delivered_at = v[3] or '',
        accepted_at = v[4] or a.accepted_at, waits = v[5] or '',
    }, a.status, a.error_code, a.outcome, actor, num(tenant[2]),
       num(tenant[3]))
    return { 'OK', 'done' }
end
