-- The tenant's events: audit entries and changes in one stream and one order.

local Events = {}

-- Audit entries leave only with their seal, and only after a sealed entry has
-- said so: a log that lacks its beginning without such an entry was cut.  Where
-- no seal is there to go by, changes that are no entries may leave; entries that
-- nobody seals may not, until there are far too many of them.
local function trim(t)
    local count = redis.call('XLEN', K.events(t))
    if count <= LIMIT.EVENTS_MAX then
        return
    end
    local audit, sealed, to, said = fields(t, 'audit', 'sealed', 'trim_to',
                                           'trim_said')
    if to ~= '' and num(sealed) >= num(said) then
        redis.call('HDEL', t, 'trim_to', 'trim_said')
        Seals.drop(t, num(to))
        return
    end
    local part = to == '' and Seals.part(t) or 0
    if part > 0 then
        redis.call('HSET', t, 'trim_to', text(part),
                   'trim_said', text(num(audit) + 1))
        Events.audit(t, now(), 'audit.trimmed', 'system', '',
                     { 'to', text(part) })
    elseif to == '' and num(audit) <= num(sealed) then
        redis.call('XTRIM', K.events(t), 'MAXLEN', '~', LIMIT.EVENTS_MAX)
    elseif count > LIMIT.EVENTS_UNSEALED_MAX then
        redis.call('XTRIM', K.events(t), 'MAXLEN', '~',
                   LIMIT.EVENTS_UNSEALED_MAX)
    end
end

-- Commands come in numbers: the length is looked at once in a while of theirs.
local function trim_at(t, n)
    if n % LIMIT.EVENTS_TRIM_EVERY == 0 then
        trim(t)
    end
end

local function add(t, list)
    return redis.call('XADD', K.events(t), '*', unpack(list))
end

-- An entry and the word to those who listen.  word: what `live` says before
-- the entry's id.
local function emit(t, word, list)
    local id = add(t, list)
    trim(t)
    redis.call('SPUBLISH', K.live(t), word .. ' ' .. id)
    return id
end

-- An entry of the audit: numbered, and later chained and sealed.
-- what: "agent.approved"; its first part is the event's type.
-- more: further name, value pairs of the entry.
function Events.audit(t, ms, what, actor, id, more)
    local kind = string.match(what, '^%a+')
    local entry = { 'event', what, 'actor', actor, 'id', id }
    for i = 1, more and #more or 0 do
        entry[#entry + 1] = more[i]
    end
    return emit(t, 'ev ' .. kind, {
        'type', kind, 'ms', text(ms),
        'n', text(redis.call('HINCRBY', t, 'audit', 1)),
        'entry', json_object(entry),
    })
end

-- A change that is no act of anybody (an agent came or went): in the stream,
-- not in the audit's numbers.
function Events.change(t, ms, what, id, more)
    local kind = string.match(what, '^%a+')
    local entry = { 'event', what, 'id', id }
    for i = 1, more and #more or 0 do
        entry[#entry + 1] = more[i]
    end
    return emit(t, 'ev ' .. kind, {
        'type', kind, 'ms', text(ms), 'entry', json_object(entry),
    })
end

local function of_command(t, ms, id, kind, status, data, audit)
    local list = { 'type', 'command', 'ms', text(ms), 'command_id', id,
                   'kind', kind, 'status', status }
    if data then
        list[#list + 1] = 'data'
        list[#list + 1] = data
    end
    if audit then
        local entry = { 'event', audit[1], 'actor', audit[2], 'id', id,
                        'status', status }
        for i = 3, #audit do
            entry[#entry + 1] = audit[i]
        end
        list[#list + 1] = 'n'
        list[#list + 1] = text(redis.call('HINCRBY', t, 'audit', 1))
        list[#list + 1] = 'entry'
        list[#list + 1] = json_object(entry)
    end
    return list
end

-- A command's event.  kind: status, progress, log, done.  data: of progress a
-- JSON object, of log the line.  audit: nil, or {what, actor, pairs ...}.
function Events.command(t, ms, id, kind, status, data, audit)
    return emit(t, 'cmd ' .. id .. ' ' .. status,
                of_command(t, ms, id, kind, status, data, audit))
end

-- Its first event, or its first two where it was handed over at once: told by
-- one word, from which a stream reads on.  n: the entry's number, which the
-- caller counts; id and more's agent_id are ids, and plain.
function Events.submitted(t, ms, id, n, actor, a, agent_id, handed)
    local key, status = K.events(t), 'queued'
    local first = redis.call('XADD', key, '*', 'type', 'command', 'ms', ms,
        'command_id', id, 'kind', 'status', 'status', status, 'n', text(n),
        'entry', '{"event":"command.submitted","actor":' .. json_string(actor)
        .. ',"id":"' .. id .. '","status":"queued","subject":'
        .. json_string(a.subject) .. ',"service":' .. json_string(a.service)
        .. ',"action":' .. json_string(a.action) .. ',"target":"' .. a.target
        .. '","agent_id":"' .. agent_id .. '"}')
    if handed then
        status = 'delivered'
        redis.call('XADD', key, '*', 'type', 'command', 'ms', ms, 'command_id',
                   id, 'kind', 'status', 'status', status)
    end
    trim_at(t, n)
    redis.call('SPUBLISH', K.live(t), 'cmd ' .. id .. ' ' .. status .. ' '
               .. first)
    return first
end

-- Its end.  news, outcome: what the end has changed, packed, for the request
-- that waits for it; news nil: none waits, or it has to read the record.
function Events.finished(t, ms, id, n, status, actor, code, news, outcome)
    local entry = redis.call('XADD', K.events(t), '*', 'type', 'command',
        'ms', ms, 'command_id', id, 'kind', 'done', 'status', status,
        'n', text(n), 'entry', '{"event":"command.finished","actor":'
        .. json_string(actor) .. ',"id":"' .. id .. '","status":"' .. status .. (code ~= '' and '","error":' .. json_string(code) .. '}'
                      or '"}'))
    trim_at(t, n)
    if not news then
        redis.call('SPUBLISH', K.live(t), 'cmd ' .. id .. ' ' .. status .. ' '
                   .. entry)
    else
        -- an array of one, or of both
        redis.call('SPUBLISH', K.live(t), 'cmd ' .. id .. ' ' .. status .. ' '
                   .. entry .. (outcome == '' and ' \145' or ' \146') .. news
                   .. outcome)
    end
end

function Events.wake(t, message)
    redis.call('SPUBLISH', K.wake(t), message)
end

function F.events_read(t, a)
    local key = K.events(t)
    local from = '-'
    if a.after ~= '' then
        if not string.find(a.after, '^%d+%-%d+$') then
            return { 'bad_request' }
        end
        from = '(' .. a.after
    end
    local list = redis.pcall('XRANGE', key, from, '+', 'COUNT',
                             math.min(math.max(num(a.limit), 1),
                                      LIMIT.LIST_LIMIT_MAX))
    if list.err then
        return { 'bad_request' }
    end
    local oldest = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
    local newest = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
    return { 'OK', list, oldest and oldest[1] or '', newest and newest[1] or '' }
end
