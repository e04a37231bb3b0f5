-- Bindings: which secret a VM's, or a bot's, actions of one family use.

local Binding = {}

function Binding.name(scope_type, scope_id, family)
    return scope_type .. ':' .. scope_id .. ':' .. family
end

-- {the VM's own binding} {its bot's}, empty where there is none.  Its own one
-- counts even where it leads nowhere: then its bot's is not looked at.
function Binding.of_vm(t, vm_uuid, bot_id, family)
    local own, bot = {}, {}
    if vm_uuid ~= '' then
        own = redis.call('HGETALL', K.binding(t, Binding.name('vm', vm_uuid,
                                                              family)))
    end
    if bot_id ~= '' and #own == 0 then
        bot = redis.call('HGETALL', K.binding(t, Binding.name('bot', bot_id,
                                                              family)))
    end
    return own, bot
end

-- The same as what their MACs are over.
function Binding.attested(t, vm_uuid, bot_id, family)
    local own = attested(K.binding(t, Binding.name('vm', vm_uuid, family)),
                       RECORD.binding)
    if own or bot_id == '' then
        return own or {}, {}
    end
    return {}, attested(K.binding(t, Binding.name('bot', bot_id, family)),
                      RECORD.binding) or {}
end

-- removes one binding: was there one?
function Binding.drop(t, name)
    local ref = fields(K.binding(t, name), 'secret_ref')
    if ref == '' then
        return false
    end
    redis.call('DEL', K.binding(t, name))
    redis.call('SREM', K.bindings(t, ref), name)
    return true
end

function F.binding_set(t, a)
    local ref = Secret.ref(a.secret_id)
    local secret = record(K.secret(t, ref))
    if not secret then
        return { 'not_found', '/secret_ref unknown' }
    end
    if a.scope_type == 'vm' then
        local vm = record(K.vm(t, a.scope_id))
        if not vm then
            return { 'not_found' }
        end
        if vm.agent_id ~= '' and vm.agent_id ~= secret.agent_id then
            return { 'conflict' }
        end
    end
    if Secret.family(secret.kind) ~= a.family then
        return { 'invalid_params', '/secret_ref family' }
    end
    local name = Binding.name(a.scope_type, a.scope_id, a.family)
    local bound = K.bindings(t, ref)
    if redis.call('SISMEMBER', bound, name) == 0
       and redis.call('SCARD', bound) >= LIMIT.BINDINGS_PER_SECRET
    then
        return { 'conflict' }
    end
    Binding.drop(t, name)
    redis.call('HSET', K.binding(t, name), 'scope_type', a.scope_type,
               'scope_id', a.scope_id, 'family', a.family,
               'secret_ref', ref, 'mac', a.mac)
    redis.call('SADD', bound, name)
    Events.audit(t, now(), 'binding.set', a.actor, name,
                 { 'secret_ref', ref })
    return { 'OK', redis.call('HGETALL', K.binding(t, name)) }
end

function F.binding_get(t, a)
    local list = redis.call('HGETALL', K.binding(t,
        Binding.name(a.scope_type, a.scope_id, a.family)))
    return #list > 0 and { 'OK', list } or { 'not_found' }
end

function F.binding_delete(t, a)
    local name = Binding.name(a.scope_type, a.scope_id, a.family)
    if not Binding.drop(t, name) then
        return { 'not_found' }
    end
    Events.audit(t, now(), 'binding.deleted', a.actor, name)
    return { 'OK' }
end
