-- Sessions of agents, for the gateway that holds their socket.  The session in
-- the agent's record is the fencing token: who comes with another one is
-- stale and changes nothing.

local Session = {}

-- Leave the record of the gateway an agent was held by.
local function leave(t, gateway, id)
    if gateway == '' then
        return
    end
    redis.call('SREM', K.gateway(t, gateway), id)
    if redis.call('EXISTS', K.gateway(t, gateway)) == 0 then
        redis.call('ZREM', K.gateways(t), gateway)
    end
end

-- the end of a session: presence goes, the agent is offline
function Session.clear(t, ms, id, gateway)
    redis.call('HDEL', K.agent(t, id), 'session', 'gateway', 'since',
               'connected_since')
    redis.call('HSET', K.agent(t, id), 'last_seen', text(ms))
    leave(t, gateway, id)
    Events.change(t, ms, 'agent.offline', id)
end

-- nil where this session is the agent's and nothing bars the agent; otherwise
-- the reply that says so
function Session.refused(t, id, session)
    local agent = {}
    agent.session, agent.revoked, agent.locked =
        fields(K.agent(t, id), 'session', 'revoked', 'locked')
    if session == '' or agent.session ~= session then
        return { 'stale' }
    end
    local barred = Agent.barred(t, agent)
    return barred and { barred } or nil
end

-- Two profiles live on one identity: both are shut out until somebody who owns
-- it has looked.  why: name, value pairs for the audit.
local function lock(t, ms, id, why)
    redis.call('HSET', K.agent(t, id), 'locked', '1')
    Events.audit(t, ms, 'agent.locked', 'agent:' .. id, id, why)
    Events.wake(t, 'locked ' .. id)
    return { 'agent_locked' }
end

-- After the signature held.  An epoch below the record's was handed out before
-- a later one was taken into use.  Who presents it although the later one was
-- in use when it was asked is a copy; who was asked before may be the same
-- agent, on a line it has given up.
function F.session_auth(t, a)
    local key = K.agent(t, a.agent_id)
    local agent = record(key)
    local epoch = whole(a.epoch)
    if not agent or not epoch then
        return { 'unauthenticated' }
    end
    local barred = Agent.barred(t, agent)
    if barred then
        return { barred }
    end

    local ms = now()
    local current, pending = num(agent.epoch), num(agent.epoch_pending)
    local known = math.max(current, pending)
    if epoch > known + LIMIT.EPOCH_AHEAD_MAX then
        -- it would be the last one: none above it could be presented
        return { 'unauthenticated' }
    end
    if epoch < current then
        return a.passed == '1'
            and lock(t, ms, a.agent_id, { 'epoch', text(current),
                                          'presented', text(epoch) })
            or { 'stale' }
    end
    if epoch > known then
        Events.audit(t, ms, 'agent.epoch_ahead', 'agent:' .. a.agent_id,
                     a.agent_id, { 'epoch', text(current),
                                   'presented', text(epoch) })
    end

    pending = text(math.max(epoch, pending) + 1)
    redis.call('HSET', key, 'epoch', text(epoch), 'epoch_pending', pending,
               'epoch_at', epoch > current and text(ms) or agent.epoch_at)
    return { 'OK', pending,
             agent.approved == '1' and 'approved' or 'pending_approval',
             Seals.last(t) }
end

-- A store that lost its last second hands out numbers again that this agent
-- has seen, and would refuse.
local function renumber(t, id, seen)
    local queue = K.queue(t, id)
    for _, command_id in ipairs(redis.call('ZRANGEBYSCORE', queue, '-inf',
                                           text(seen)))
    do
        local key = K.command(t, command_id)
        if fields(key, 'status') == 'queued' then
            local seq = text(redis.call('HINCRBY', K.agent(t, id),
                                        'last_seq', 1))
            redis.call('HSET', key, 'seq', seq)
            redis.call('ZADD', queue, seq, command_id)
        end
    end
end

-- What was sent to another session of this agent and is beyond what it has seen
-- was lost with its worker, or its line: it is sent again, as long as it might be
-- if it had waited.  That it never arrived is the agent's word only, so nobody
-- says that it surely did not run.  Who has not seen what it accepted is a copy,
-- or an old state of it: its word counts for nothing.
local function unseen(t, ms, id, seen)
    local lost = {}
    for _, command_id in ipairs(redis.call('ZRANGEBYSCORE', K.queue(t, id),
                                           '(' .. text(seen), '+inf'))
    do
        local command = Command.record(K.command(t, command_id))
        if command and command.status == 'running' then
            return
        elseif command and command.status == 'delivered'
               and command.taken_by ~= '' and command.cancel_at == ''
               and ms < Command.due_at(num(command.created_at),
                                       num(command.timeout_s), true)
        then
            lost[#lost + 1] = command
        end
    end
    for _, command in ipairs(lost) do
        command.born = SENT
        Command.requeue(t, ms, command.command_id, command)
    end
    if lost[1] then
        local drained = fields(K.agent(t, id), 'drained')
        redis.call('HSET', K.agent(t, id), 'drained',
                   text(math.min(num(drained), num(lost[1].seq) - 1)))
    end
end

function F.session_ready(t, a)
    local key = K.agent(t, a.agent_id)
    local agent = record(key)
    local epoch, last = whole(a.epoch), whole(a.last_seq)
    if not agent or not epoch or not last or a.session == ''
       or a.incarnation == ''
    then
        return { 'stale' }
    end
    local barred = Agent.barred(t, agent)
    if barred then
        return { barred }
    end
    -- The current epoch is the one that made this session, and no other.  Nobody
    -- has seen a number far beyond all that there were: it would be the last one,
    -- under new keys, too.
    local again = agent.session == a.session
    if epoch < num(agent.epoch)
       or last > num(agent.last_seq) + LIMIT.SEQ_AHEAD_MAX
       or epoch == num(agent.epoch) and not again and agent.session ~= ''
    then
        return { 'stale' }
    end

    local ms = now()
    leave(t, agent.gateway, a.agent_id)
    redis.call('ZADD', K.gateways(t), text(ms), a.incarnation)
    redis.call('SADD', K.gateway(t, a.incarnation), a.agent_id)
    put(key, filled({
        'session', a.session, 'gateway', a.incarnation, 'since', text(ms),
        'connected_since', again and agent.connected_since or text(ms),
        'last_seen', text(ms), 'born', text(born), 'epoch', text(epoch),
        'epoch_at', epoch > num(agent.epoch) and text(ms) or agent.epoch_at,
        'epoch_pending', text(math.max(epoch, num(agent.epoch_pending))),
        'last_seq', text(math.max(last, num(agent.last_seq))),
        'version', a.version, 'platform', a.platform,
    }))
    renumber(t, a.agent_id, last)
    if not again then
        unseen(t, ms, a.agent_id, last)
    end
    local restarted = agent.born ~= text(born) and '1' or '0'
    local asked = redis.call('SRANDMEMBER', K.rotations(t, a.agent_id),
                             LIMIT.ROTATIONS_TOLD)
    if again then
        return { 'OK', '', '', restarted, asked }
    end
    if agent.session ~= '' then
        Events.wake(t, 'replaced ' .. a.agent_id .. ' ' .. agent.session)
    end
    if not Agent.online(agent, a.live, ms) then
        Events.change(t, ms, 'agent.online', a.agent_id)
    end
    return { 'OK', agent.session, agent.gateway, restarted, asked }
end

-- Says the gateway of a session that another one displaced, and that answered
-- a ping sent after that.  An agent that connects anew has left its old socket
-- before: two processes present one and the same epoch, so each is ahead of
-- the other in turn.
function F.session_displaced(t, a)
    local agent = record(K.agent(t, a.agent_id))
    if not agent or a.session == '' or agent.session == a.session then
        return { 'stale' }
    end
    local barred = Agent.barred(t, agent)
    if barred then
        return { barred }
    end
    local ms = now()
    local key = K.takeovers(t, a.agent_id)
    redis.call('ZADD', key, text(ms), a.session)
    redis.call('ZREMRANGEBYSCORE', key, '-inf',
               text(ms - LIMIT.EPOCH_TAKEOVER_S * 1000))
    redis.call('EXPIRE', key, LIMIT.EPOCH_TAKEOVER_S)
    local count = redis.call('ZCARD', key)
    if count < LIMIT.EPOCH_TAKEOVERS then
        return { 'OK' }
    end
    return lock(t, ms, a.agent_id, { 'takeovers', text(count) })
end

function F.session_gone(t, a)
    local session, gateway = fields(K.agent(t, a.agent_id),
                                    'session', 'gateway')
    if a.session == '' or session ~= a.session then
        return { 'OK', '0' }
    end
    Session.clear(t, now(), a.agent_id, gateway)
    return { 'OK', '1' }
end

function F.session_status(t, a)
    local refusal = Session.refused(t, a.agent_id, a.session)
    if refusal then
        return refusal
    end
    local ms = now()
    Agent.says(t, ms, a.agent_id, {
        'routes', a.routes, 'keystore', a.keystore, 'key_id', a.key_id,
        'capabilities', a.capabilities, 'last_seen', text(ms),
    })
    return { 'OK' }
end

-- An agent reads only secrets it made.
function F.secret_read(t, a)
    local refusal = Session.refused(t, a.agent_id, a.session)
    if refusal then
        return refusal
    end
    local ref = Secret.ref(a.ref)
    if fields(K.secret(t, ref), 'agent_id') ~= a.agent_id then
        return { 'not_found' }
    end
    local list = redis.call('HGETALL', K.version(t, ref, a.version))
    return #list > 0 and { 'OK', list } or { 'not_found' }
end
