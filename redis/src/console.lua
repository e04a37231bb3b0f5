-- Console sessions: a cookie in place of a token, and never longer than it.
-- Each token knows the sessions that were opened with it, by when.

local Console = {}

local function forget(t, token, hmac)
    redis.call('DEL', K.session(t, hmac))
    redis.call('ZREM', K.token_sessions(t, token), hmac)
end

-- the token is gone: so is all that was opened with it
function Console.drop(t, token)
    local key = K.token_sessions(t, token)
    for _, hmac in ipairs(redis.call('ZRANGE', key, 0, -1)) do
        redis.call('DEL', K.session(t, hmac))
    end
    redis.call('DEL', key)
end

-- Somebody uses it: its idle time begins anew.
function Console.touch(t, hmac, found, ms)
    local left = math.min(LIMIT.SESSION_IDLE_S * 1000,
                          num(found.expires_at) - ms)
    redis.call('PEXPIRE', K.session(t, hmac), text(left))
end

function F.console_open(t, a)
    local ms = now()
    local token = record(K.token(t, a.token))
    if not token or token.role ~= a.role
       or token.expires_at ~= '' and num(token.expires_at) <= ms
       or num(a.expires_at) <= ms
    then
        return { 'unauthenticated' }
    end
    if fields(t, 'status') ~= 'active' then
        return { 'tenant_suspended' }
    end

    local index = K.token_sessions(t, a.token)
    if redis.call('ZCARD', index) >= LIMIT.SESSIONS_PER_TOKEN then
        forget(t, a.token, redis.call('ZRANGE', index, 0, 0)[1])
    end
    put(K.session(t, a.session), {
        'subject', a.subject, 'role', a.role, 'expires_at', a.expires_at,
        'csrf', a.csrf, 'token', a.token, 'created_at', text(ms),
        'mac', a.mac,
    })
    Console.touch(t, a.session, a, ms)
    redis.call('ZADD', index, text(ms), a.session)
    redis.call('PEXPIRE', index, LIMIT.SESSION_ABSOLUTE_S * 1000)
    Events.audit(t, ms, 'session.opened', a.actor, token.token_id)
    return { 'OK' }
end

function F.console_close(t, a)
    local token = fields(K.session(t, a.session), 'token')
    if token == '' then
        return { 'not_found' }
    end
    forget(t, token, a.session)
    Events.audit(t, now(), 'session.closed', a.actor,
                 (fields(K.token(t, token), 'token_id')))
    return { 'OK' }
end
