-- Commands: their record, how they end, and how they are read.

local Command = {}

-- by status, of the call under way
local ended = {}

-- {agent}: what its MAC is over, and the MAC
local function identity(t, id)
    local values, list = attested(K.agent(t, id), RECORD.agent) or {}, {}
    for i, name in ipairs(RECORD.agent) do
        list[2 * i - 1], list[2 * i] = name, values[i] or ''
    end
    return list
end

local FINAL = {
    succeeded = true, failed = true, rejected = true, cancelled = true,
    timed_out = true, indeterminate = true,
}

-- A command's record.  What was asked, and by whom, and what its agent answered
-- come packed and never change: each is one field, in MessagePack, because a
-- record of few fields is written in half the time.  Read it is as if they were
-- fields like the others.
function Command.record(key)
    local command = record(key)
    for _, name in ipairs(command and { 'intent', 'outcome' } or {}) do
        local list = command[name] ~= '' and cmsgpack.unpack(command[name]) or {}
        for i = 1, #list, 2 do
            if rawget(command, list[i]) == nil then
                command[list[i]] = list[i + 1]
            end
        end
        command[name] = nil
    end
    return command
end

function Command.final(command)
    return FINAL[command.status] == true
end

-- `born` of what was sent once, and then queued again
local SENT = '0'

-- Surely not sent.  What another process queued may be: that it was taken can
-- have been lost with its last second.
function Command.unsent(command)
    return command.status == 'queued' and command.born == text(born)
end

-- When it is overdue.  What was not sent ends soon: it surely did not run.
-- What was sent has its whole time, and a moment for the result to arrive.
function Command.due_at(created, timeout_s, queued)
    local time = timeout_s * 1000
    if queued then
        return created + math.min(LIMIT.DISPATCH_MS, time)
    end
    return created + time + LIMIT.OVERDUE_MS
end

function Command.due(command)
    return Command.due_at(num(command.created_at), num(command.timeout_s),
                          command.status == 'queued')
end

function Command.set_due(t, id, command)
    redis.call('ZADD', K.deadlines(t), text(Command.due(command)), id)
end

-- When the oldest one has been kept for long enough; '' where there is none.
function Command.old_at(t)
    local oldest = redis.call('ZRANGE', K.commands(t), 0, 0, 'WITHSCORES')[2]
    return oldest and text(num(oldest) + LIMIT.COMMANDS_KEPT_S * 1000 + 1) or ''
end

-- Drops the oldest finished ones beyond what is kept, a few a call; those that
-- are many at once, those that are old with the sweep.
function Command.trim(t, ms, open, sweeping)
    local index = K.commands(t)
    local extra = redis.call('ZCARD', index) - open - LIMIT.COMMANDS_FINISHED_MAX
    if extra <= 0 and not sweeping then
        return
    end
    local old = ms - LIMIT.COMMANDS_KEPT_S * 1000
    local list = redis.call('ZRANGE', index, 0, LIMIT.TRIM_MAX - 1, 'WITHSCORES')
    for i = 1, #list, 2 do
        if extra <= 0 and num(list[i + 1]) >= old then
            return
        end
        local key = K.command(t, list[i])
        local status = fields(key, 'status')
        if status == '' or FINAL[status] then
            redis.call('DEL', key, K.log(t, list[i]))
            redis.call('ZREM', index, list[i])
            extra = extra - 1
        end
    end
end

-- Ends a command: its record, queue, deadline, counter, event and audit entry.
-- command: its record as it was (agent_id, status, delivered_at, accepted_at,
-- waits); outcome: packed, or "".  The request that waits for it has the record
-- as it was submitted, and is told what has become different since, in
-- MessagePack, [{fields} {outcome}]: unless there was progress, or a log, which
-- it has to read.  open, audit: the tenant's counters.  Returns what was written.
function Command.close(t, ms, id, command, status, code, outcome, actor, open,
                       audit)
    local at, news = text(ms), nil
    local list = { 'status', status, 'finished_at', at, nil, nil, nil, nil, nil,
                   nil }
    local n = 4
    if command.accepted_at ~= '' then
        list[n + 1], list[n + 2] = 'accepted_at', command.accepted_at
        n = n + 2
    end
    if code ~= '' then
        list[n + 1], list[n + 2] = 'error_code', code
        n = n + 2
    end
    if command.waits ~= '' then
        if command.delivered_at ~= '' then
            list[n + 1], list[n + 2] = 'delivered_at', command.delivered_at
        end
        news = cmsgpack.pack(list)
        list[n + 1], list[n + 2] = nil, nil
    end
    if outcome ~= '' then
        list[n + 1], list[n + 2] = 'outcome', outcome
    end
    ended[status] = (ended[status] or 0) + 1
    redis.call('HSET', K.command(t, id), unpack(list))
    if not FINAL[command.status] then
        redis.call('ZREM', K.queue(t, command.agent_id), id)
        redis.call('ZREM', K.deadlines(t), id)
        open = open - 1
    end
    redis.call('HSET', t, 'open', text(open), 'audit', text(audit + 1))
    Events.finished(t, at, id, audit + 1, status, actor, code, news, outcome)
    Command.trim(t, ms, open)
    return list
end

-- The same, and its record is then as it is now.
function Command.finish(t, ms, id, command, status, code, actor)
    local open, audit = fields(t, 'open', 'audit')
    local list = Command.close(t, ms, id, command, status, code, '', actor,
                               num(open), num(audit))
    for i = 1, #list, 2 do
        command[list[i]] = list[i + 1]
    end
end

-- Ends it if its time is over.  It did not run, or nobody knows.
function Command.expire(t, ms, id, command)
    if Command.final(command) or ms < Command.due(command) then
        return
    end
    local status = Command.unsent(command) and 'failed' or 'indeterminate'
    local code = 'agent_disconnected'
    if command.status ~= 'queued' then
        local session, revoked = fields(K.agent(t, command.agent_id),
                                        'session', 'revoked')
        code = revoked == '1' and 'agent_revoked'
            or session == '' and 'agent_disconnected' or 'timeout'
    end
    Command.finish(t, ms, id, command, status, code, 'system')
end

-- Delivered in vain: it is queued again
function Command.requeue(t, ms, id, command)
    local key = K.command(t, id)
    command.status = 'queued'
    redis.call('HSET', key, 'status', 'queued', 'born', command.born)
    redis.call('HDEL', key, 'delivered_at', 'taken_by')
    Command.set_due(t, id, command)
    Events.command(t, ms, id, 'status', 'queued')
    Command.expire(t, ms, id, command)
end

-- one that is as it is now, nil where there is none
function Command.current(t, ms, id)
    local command = Command.record(K.command(t, id))
    if command then
        Command.expire(t, ms, id, command)
    end
    return command
end

function F.command_get(t, a)
    local command = Command.current(t, now(), a.command_id)
    if not command then
        return { 'not_found' }
    end
    return { 'OK', flat(command),
             redis.call('LRANGE', K.log(t, a.command_id), 0, -1) }
end

-- Is it one that is asked for, or may it become one because it is overdue?  A
-- record may be large: of others no more is read than this takes.
local function maybe(t, ms, a, id)
    local status, vm_uuid, agent_id = fields(K.command(t, id), 'status',
                                             'vm_uuid', 'agent_id')
    if a.vm_uuid ~= '' and a.vm_uuid ~= vm_uuid
       or a.agent_id ~= '' and a.agent_id ~= agent_id
    then
        return false
    end
    return a.status == '' or a.status == status
        or not FINAL[status]
           and num(redis.call('ZSCORE', K.deadlines(t), id) or '') <= ms
end

-- Where the list goes on after a cursor, "<time>.<id>": behind that command, or
-- where it would be if it were still kept.  nil: it is no cursor.
local function behind(index, cursor)
    if cursor == '' then
        return 0
    end
    local at, id = string.match(cursor, '^(%d+)%.([0-9a-f-]+)$')
    if not at or not ordinal(at) or #id ~= LIMIT.UUID_TEXT then
        return nil
    end
    local rank = redis.call('ZCOUNT', index, '(' .. at, '+inf')
    for _, other in ipairs(redis.call('ZRANGEBYSCORE', index, at, at)) do
        rank = other >= id and rank + 1 or rank
    end
    return rank
end

-- Newest first.  A page ends early where a filter finds little or the records
-- are large: the cursor is always the last one looked at.
function F.command_list(t, a)
    local ms, index = now(), K.commands(t)
    local most = math.min(math.max(num(a.limit), 1), LIMIT.LIST_LIMIT_MAX)
    local from = behind(index, a.cursor)
    if not from then
        return { 'bad_request', '/cursor pattern' }
    end
    local list = redis.call('ZREVRANGE', index, from, from + LIMIT.SCAN_MAX,
                            'WITHSCORES')
    local items, size = {}, 0
    for i = 1, #list, 2 do
        local id = list[i]
        if i > 2 * LIMIT.SCAN_MAX or #items == most or size > LIMIT.PAGE_BYTES
        then
            return { 'OK', items, list[i - 1] .. '.' .. list[i - 2] }
        end
        local command = maybe(t, ms, a, id) and Command.current(t, ms, id)
        if command and (a.status == '' or a.status == command.status) then
            items[#items + 1] = flat(command)
            size = size + bytes(items[#items])
        end
    end
    return { 'OK', items, '' }
end

function F.command_cancel(t, a)
    local ms = now()
    local command = Command.current(t, ms, a.command_id)
    if not command then
        return { 'not_found' }
    end
    if Command.final(command) then
        return { 'conflict' }
    end
    local unsent = Command.unsent(command)
    if command.status == 'queued' then
        Command.finish(t, ms, a.command_id, command,
                       unsent and 'cancelled' or 'indeterminate', 'cancelled',
                       a.actor)
    elseif command.cancel_at == '' then
        command.cancel_at = text(ms)
        redis.call('HSET', K.command(t, a.command_id), 'cancel_at',
                   command.cancel_at)
        Events.audit(t, ms, 'command.cancel_requested', a.actor, a.command_id)
    end
    if not unsent then
        Events.wake(t, 'cancel ' .. command.agent_id .. ' ' .. a.command_id)
    end
    return { 'OK', flat(command) }
end

function F.command_verdict(t, a)
    local key = K.command(t, a.command_id)
    if redis.call('EXISTS', key) == 0 then
        return { 'not_found' }
    end
    redis.call('HSET', key, 'receipt_verdict', a.verdict)
    return { 'OK' }
end
