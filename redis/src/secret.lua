-- Secrets: ciphertext that only its agent can open, and what may be known of
-- it.  Their keys carry the secret_ref; calls may name either form of the id.

local Secret = {}

local FAMILY = {
    proxmox_password = 'proxmox', proxmox_token = 'proxmox',
    ssh_password = 'ssh', ssh_key = 'ssh',
    syncthing_api_key = 'syncthing', syncthing_password = 'syncthing',
}

-- secret_ref of an id in either form: "sec_" and the UUID without dashes
function Secret.ref(id)
    if string.sub(id, 1, 4) == 'sec_' then
        return id
    end
    return 'sec_' .. string.gsub(id, '-', '')
end

-- of which family of actions a secret of this kind is, "" of none
function Secret.family(kind)
    return FAMILY[kind] or ''
end

-- can its agent open it now?
function Secret.openable(secret, agent)
    return agent ~= nil and agent.revoked ~= '1'
        and agent.keystore ~= 'unreadable' and agent.key_id == secret.key_id
end

-- {secret}: without anything of the envelope.  agents: those read so far.
local function view(t, ref, agents)
    local secret = record(K.secret(t, ref))
    if not secret then
        return nil
    end
    local id = secret.agent_id
    if agents[id] == nil then
        agents[id] = record(K.agent(t, id)) or false
    end
    secret.secret_ref = ref
    secret.status = not Secret.openable(secret, agents[id] or nil)
            and 'reentry_required'
        or secret.rotation_requested == '1' and 'rotation_requested' or 'ok'
    secret.rotation_requested = nil
    return flat(secret)
end

-- who may upload: nil, or the reply that refuses
local function refused(t, a, ms)
    local agent = record(K.agent(t, a.agent_id))
    if not agent then
        return { 'unauthenticated' }
    end
    local refusal = Gate.nonce(t, a.agent_id, a.nonce, ms)
    if refusal then
        return refusal
    end
    local code = Agent.barred(t, agent)
        or agent.approved ~= '1' and 'agent_unapproved'
    return code and { code } or nil
end

-- one version's ciphertext; what its agent seals with now is what it can open
local function store(t, ms, a, ref, version, kind)
    put(K.version(t, ref, version), {
        'kind', kind, 'alg', a.alg, 'key_id', a.key_id,
        'nonce', a.secret_nonce, 'ciphertext', a.ciphertext,
        'aad_meta', a.aad_meta, 'created_ms', a.created_ms,
    })
    Agent.says(t, ms, a.agent_id, { 'key_id', a.key_id, 'keystore', 'ok' })
end

function F.secret_add(t, a)
    local ms = now()
    local refusal = refused(t, a, ms)
    if refusal then
        return refusal
    end
    local ref = Secret.ref(a.secret_id)
    local key = K.secret(t, ref)
    if redis.call('EXISTS', key) == 1
       or redis.call('ZCARD', K.secrets(t)) >= LIMIT.SECRETS_PER_TENANT
    then
        return { 'conflict' }
    end
    put(key, {
        'secret_id', a.secret_id, 'kind', a.kind, 'label', a.label,
        'via', a.via, 'alg', a.alg, 'key_id', a.key_id, 'version', '1',
        'size', a.size, 'agent_id', a.agent_id, 'created_at', text(ms),
    })
    store(t, ms, a, ref, '1', a.kind)
    redis.call('ZADD', K.secrets(t), 0, ref)
    Events.audit(t, ms, 'secret.added', 'agent:' .. a.agent_id, ref,
                 { 'kind', a.kind, 'key_id', a.key_id })
    return { 'OK' }
end

function F.secret_rotate(t, a)
    local ms = now()
    local refusal = refused(t, a, ms)
    if refusal then
        return refusal
    end
    local ref = Secret.ref(a.secret_id)
    local secret = record(K.secret(t, ref))
    if not secret or secret.agent_id ~= a.agent_id then
        return { 'not_found' }
    end
    if a.if_match ~= secret.version
       or a.version ~= text(num(secret.version) + 1)
    then
        return { 'version_mismatch' }
    end
    store(t, ms, a, ref, a.version, secret.kind)
    redis.call('PEXPIRE', K.version(t, ref, secret.version),
               LIMIT.SECRET_OLD_KEPT_S * 1000)
    redis.call('DEL', K.version(t, ref, text(num(secret.version)
                                             - LIMIT.SECRET_OLD_MAX)))
    put(K.secret(t, ref), {
        'version', a.version, 'alg', a.alg, 'key_id', a.key_id,
        'size', a.size, 'rotated_at', text(ms), 'rotation_requested', '',
    })
    redis.call('SREM', K.rotations(t, a.agent_id), ref)
    Events.audit(t, ms, 'secret.rotated', 'agent:' .. a.agent_id, ref,
                 { 'version', a.version, 'key_id', a.key_id })
    return { 'OK', a.version }
end

-- Told at once where the agent is online, and with its next session: see
-- session_ready.  It ends with the rotation.
function F.secret_ask_rotate(t, a)
    local ref = Secret.ref(a.secret_id)
    local agent_id = fields(K.secret(t, ref), 'agent_id')
    if agent_id == '' then
        return { 'not_found' }
    end
    redis.call('HSET', K.secret(t, ref), 'rotation_requested', '1')
    redis.call('SADD', K.rotations(t, agent_id), ref)
    Events.audit(t, now(), 'secret.rotation_requested', a.actor, ref)
    Events.wake(t, 'rotate ' .. agent_id .. ' ' .. ref)
    return { 'OK', view(t, ref, {}) }
end

function F.secret_get(t, a)
    local ref = Secret.ref(a.secret_id)
    local secret = view(t, ref, {})
    if not secret then
        return { 'not_found' }
    end
    return { 'OK', secret, redis.call('SMEMBERS', K.bindings(t, ref)) }
end

function F.secret_list(t, a)
    local agents = {}
    return page(K.secrets(t), a.cursor, a.limit, function(ref)
        local secret = view(t, ref, agents)
        return secret
            and { secret, redis.call('SMEMBERS', K.bindings(t, ref)) } or nil
    end)
end

function F.secret_delete(t, a)
    local ref = Secret.ref(a.secret_id)
    local secret = record(K.secret(t, ref))
    if not secret then
        return { 'not_found' }
    end
    local bound = redis.call('SMEMBERS', K.bindings(t, ref))
    if #bound > 0 and a.force ~= '1' then
        return { 'conflict' }
    end
    for _, name in ipairs(bound) do
        redis.call('DEL', K.binding(t, name))
    end
    local version = num(secret.version)
    for old = version, version - LIMIT.SECRET_OLD_MAX, -1 do
        redis.call('DEL', K.version(t, ref, text(old)))
    end
    redis.call('DEL', K.secret(t, ref), K.bindings(t, ref))
    redis.call('ZREM', K.secrets(t), ref)
    redis.call('SREM', K.rotations(t, secret.agent_id), ref)
    Events.audit(t, now(), 'secret.deleted', a.actor, ref)
    return { 'OK' }
end
