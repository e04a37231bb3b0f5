-- Agents as people see them, and what an owner does to them.

local Agent = {}

-- Is its session held by a live gateway worker?  A caller's list of the live
-- ones may be a beat old: a session younger than that counts by itself.
function Agent.online(agent, live, ms)
    return agent.session ~= ''
        and (among(live, agent.gateway)
             or ms - num(agent.since) < LIMIT.FRESH_MS)
end

function Agent.status(agent, live, ms)
    if agent.revoked == '1' then
        return 'revoked'
    elseif agent.locked == '1' then
        return 'locked'
    elseif agent.approved ~= '1' then
        return 'pending_approval'
    end
    return Agent.online(agent, live, ms) and 'online' or 'offline'
end

-- {agent}: the record, its presence judged now.  nil where there is none.
function Agent.view(t, id, live, ms)
    local agent = record(K.agent(t, id))
    if not agent then
        return nil
    end
    agent.status = Agent.status(agent, live, ms)
    agent.tenant_status = fields(t, 'status')
    agent.epoch_age = text(ms - num(agent.epoch_at))
    if Agent.online(agent, live, ms) then
        agent.last_seen = text(ms)
    else
        agent.connected_since = nil
    end
    return flat(agent)
end

-- Why nothing is done for this agent, nil where it is in order.
function Agent.barred(t, agent)
    if agent.revoked == '1' then
        return 'agent_revoked'
    elseif agent.locked == '1' then
        return 'agent_locked'
    elseif fields(t, 'status') ~= 'active' then
        return 'tenant_suspended'
    end
    return nil
end

-- ends what was queued for it and never sent
function Agent.drain(t, ms, id, code, actor)
    for _, command_id in ipairs(redis.call('ZRANGE', K.queue(t, id), 0, -1)) do
        local command = record(K.command(t, command_id))
        if command and command.status == 'queued' then
            Command.finish(t, ms, command_id, command,
                           Command.unsent(command) and 'failed'
                           or 'indeterminate', code, actor)
        end
    end
end

-- What it says of itself: name, value pairs, "" for what it does not say.  A
-- change of what it can open is told.
function Agent.says(t, ms, id, list)
    local key, says = K.agent(t, id), mapped(list)
    local keystore, key_id = fields(key, 'keystore', 'key_id')
    put(key, filled(list))
    if says.keystore ~= '' and says.keystore ~= keystore
       or says.key_id ~= '' and says.key_id ~= key_id
    then
        Events.change(t, ms, 'agent.keystore', id,
                      { 'keystore', says.keystore, 'key_id', says.key_id })
    end
end

local function answer(t, id, live, ms)
    return { 'OK', Agent.view(t, id, live, ms) }
end

function F.agent_get(t, a)
    local view = Agent.view(t, a.agent_id, a.live, now())
    return view and { 'OK', view } or { 'not_found' }
end

function F.agent_list(t, a)
    local ms = now()
    return page(K.agents(t), a.cursor, a.limit, function(id)
        return Agent.view(t, id, a.live, ms)
    end)
end

function F.agent_name(t, a)
    local key = K.agent(t, a.agent_id)
    if redis.call('EXISTS', key) == 0 then
        return { 'not_found' }
    end
    local ms = now()
    put(key, { 'name', a.name })
    Events.audit(t, ms, 'agent.renamed', a.actor, a.agent_id,
                 { 'name', a.name })
    return answer(t, a.agent_id, a.live, ms)
end

function F.agent_approve(t, a)
    local key = K.agent(t, a.agent_id)
    local agent = record(key)
    if not agent then
        return { 'not_found' }
    end
    if agent.revoked == '1' then
        return { 'agent_revoked' }
    end
    local ms = now()
    if agent.approved ~= '1' then
        if agent.mac ~= a.mac_before then
            return { 'conflict' }
        end
        put(key, { 'approved', '1', 'mac', a.mac })
        Events.audit(t, ms, 'agent.approved', a.actor, a.agent_id)
        Events.wake(t, 'approved ' .. a.agent_id)
    end
    return answer(t, a.agent_id, a.live, ms)
end

-- Applied again after a fail-over may have lost it: the second time only wakes
-- the gateway.
function F.agent_revoke(t, a)
    local key = K.agent(t, a.agent_id)
    local agent = record(key)
    if not agent then
        return { 'not_found' }
    end
    local ms = now()
    if agent.revoked ~= '1' then
        if agent.mac ~= a.mac_before then
            return { 'conflict' }
        end
        put(key, { 'revoked', '1', 'mac', a.mac })
        redis.call('HINCRBY', t, 'agents', -1)
        Agent.drain(t, ms, a.agent_id, 'agent_revoked', a.actor)
        Events.audit(t, ms, 'agent.revoked', a.actor, a.agent_id)
    end
    Events.wake(t, 'revoke ' .. a.agent_id)
    return answer(t, a.agent_id, a.live, ms)
end

function F.agent_unlock(t, a)
    local key = K.agent(t, a.agent_id)
    local agent = record(key)
    if not agent then
        return { 'not_found' }
    end
    local ms = now()
    if agent.locked == '1' then
        redis.call('HSET', key, 'locked', '0')
        redis.call('DEL', K.takeovers(t, a.agent_id))
        Events.audit(t, ms, 'agent.unlocked', a.actor, a.agent_id)
    end
    return answer(t, a.agent_id, a.live, ms)
end

function F.agent_heartbeat(t, a)
    local agent = record(K.agent(t, a.agent_id))
    if not agent then
        return { 'unauthenticated' }
    end
    local ms = now()
    local refusal = Gate.nonce(t, a.agent_id, a.nonce, ms)
    if refusal then
        return refusal
    end
    local barred = Agent.barred(t, agent)
    if barred and barred ~= 'agent_locked' then
        return { barred }
    end
    Agent.says(t, ms, a.agent_id, {
        'version', a.version, 'capabilities', a.capabilities,
        'routes', a.routes, 'keystore', a.keystore, 'key_id', a.key_id,
        'last_seen', text(ms),
    })
    return { 'OK', Agent.status(agent, a.live, ms), Seals.last(t) }
end
