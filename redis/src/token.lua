-- API tokens of a tenant.  The index, like that of the platform's, holds
-- "<token_id>:<hmac>": in order of ids, found by id, and no list or cursor shows
-- an HMAC.

local Token = {}

function Token.id(member)
    return string.match(member, '^[^:]*')
end

function Token.hmac(member)
    return string.match(member, '[^:]*$')
end

-- what a list shows of one; nil where it has expired or is gone
function Token.record(key)
    local list = redis.call('HGETALL', key)
    return #list > 0 and list or nil
end

function Token.add(t, ms, hmac, list, actor)
    local token = mapped(list)
    list[#list + 1] = 'created_at'
    list[#list + 1] = text(ms)
    put(K.token(t, hmac), list)
    redis.call('ZADD', K.tokens(t), 0, token.token_id .. ':' .. hmac)
    Events.audit(t, ms, 'token.created', actor, token.token_id, {
        'name', token.name, 'role', token.role,
        'expires_at', token.expires_at,
    })
end

local function drop(t, member)
    local hmac = Token.hmac(member)
    Console.drop(t, hmac)
    redis.call('DEL', K.token(t, hmac))
    redis.call('ZREM', K.tokens(t), member)
end

-- Is there room for one more?  Expired ones make it.
function Token.room(t, ms)
    local index = K.tokens(t)
    if redis.call('ZCARD', index) < LIMIT.TOKENS_PER_TENANT then
        return true
    end
    for _, member in ipairs(redis.call('ZRANGE', index, 0, -1)) do
        local ends = fields(K.token(t, Token.hmac(member)),
                            'expires_at')
        if ends ~= '' and num(ends) <= ms then
            drop(t, member)
        end
    end
    return redis.call('ZCARD', index) < LIMIT.TOKENS_PER_TENANT
end

function F.token_add(t, a)
    local ms = now()
    -- an administrator's is for an owner who cannot make any
    if not Token.room(t, ms) and not string.find(a.actor, '^platform:') then
        return { 'conflict' }
    end
    Token.add(t, ms, a.hmac, {
        'token_id', a.token_id, 'role', a.role, 'name', a.name,
        'subject', a.subject, 'expires_at', a.expires_at, 'mac', a.mac,
    }, a.actor)
    return { 'OK' }
end

function F.token_list(t, a)
    return page(K.tokens(t), a.cursor, a.limit, function(member)
        return Token.record(K.token(t, Token.hmac(member)))
    end, Token.id)
end

function F.token_delete(t, a)
    local members = redis.call('ZRANGEBYLEX', K.tokens(t),
                               '[' .. a.token_id .. ':',
                               '(' .. a.token_id .. ';')
    if #members == 0 then
        return { 'not_found' }
    end
    for _, member in ipairs(members) do
        drop(t, member)
    end
    Events.audit(t, now(), 'token.deleted', a.actor, a.token_id)
    return { 'OK' }
end
