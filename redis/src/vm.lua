-- The VM registry.

local SETTABLE_VM = {
    name = true, agent_id = true, guest = true, node = true, vmid = true,
    bot_id = true, labels = true, state = true,
}

local FAMILIES = { 'proxmox', 'ssh', 'syncthing' }

local function agent_known(t, agent_id)
    return agent_id == '' or redis.call('EXISTS', K.agent(t, agent_id)) == 1
end

function F.vm_add(t, a)
    if not agent_known(t, a.agent_id) then
        return { 'not_found', '/agent_id unknown' }
    end
    local ms, key, tenant = now(), K.vm(t, a.vm_uuid), record(t)
    if redis.call('EXISTS', key) == 1 then
        return { 'conflict' }
    end
    local full = Gate.room(tenant, ms, redis.call('ZCARD', K.vms(t)),
                           tenant.lic_max_vms)
    if full then
        return { full }
    end
    put(key, {
        'agent_id', a.agent_id, 'guest', a.guest, 'node', a.node,
        'vmid', a.vmid, 'bot_id', a.bot_id, 'state', a.state, 'mac', a.mac,
        'vm_uuid', a.vm_uuid, 'name', a.name, 'labels', a.labels,
        'created_at', text(ms),
    })
    redis.call('ZADD', K.vms(t), 0, a.vm_uuid)
    Events.audit(t, ms, 'vm.added', a.actor, a.vm_uuid, {
        'name', a.name, 'agent_id', a.agent_id, 'node', a.node,
        'vmid', a.vmid,
    })
    return { 'OK', redis.call('HGETALL', key) }
end

function F.vm_get(t, a)
    local list = redis.call('HGETALL', K.vm(t, a.vm_uuid))
    return #list > 0 and { 'OK', list } or { 'not_found' }
end

function F.vm_list(t, a)
    return page(K.vms(t), a.cursor, a.limit, function(uuid)
        local list = redis.call('HGETALL', K.vm(t, uuid))
        return #list > 0 and list or nil
    end)
end

function F.vm_set(t, a)
    local key = K.vm(t, a.vm_uuid)
    local vm = record(key)
    if not vm then
        return { 'not_found' }
    end
    local list = a.field_value
    if not settings(list, SETTABLE_VM) then
        return { 'bad_request' }
    end
    if vm.mac ~= a.mac_before then
        return { 'conflict' }
    end
    if not agent_known(t, mapped(list).agent_id) then
        return { 'not_found', '/agent_id unknown' }
    end
    put(key, list)
    put(key, { 'mac', a.mac })
    Events.audit(t, now(), 'vm.changed', a.actor, a.vm_uuid, nulled(list))
    return { 'OK', redis.call('HGETALL', key) }
end

function F.vm_delete(t, a)
    if redis.call('DEL', K.vm(t, a.vm_uuid)) == 0 then
        return { 'not_found' }
    end
    redis.call('ZREM', K.vms(t), a.vm_uuid)
    for _, family in ipairs(FAMILIES) do
        Binding.drop(t, Binding.name('vm', a.vm_uuid, family))
    end
    Events.audit(t, now(), 'vm.deleted', a.actor, a.vm_uuid)
    return { 'OK' }
end
