-- What may refuse a call: rates, flags, the license.

local Gate = {}

-- Counts cost against limit ("": none) in a window of a minute that begins
-- with the first.  Is it still within, how many were counted, and when the
-- window ends.
function Gate.count(key, cost, limit)
    local used
    if cost > 0 then
        used = redis.call('INCRBY', key, text(cost))
    else
        used = num(redis.call('GET', key) or '')
    end
    local reset = redis.call('PTTL', key)
    if reset < 0 then
        reset = LIMIT.RATE_MS
        if used > 0 then
            redis.call('PEXPIRE', key, reset)
        end
    end
    return limit == '' or used <= num(limit), used, reset
end

-- Counts cost against limit where nothing but a refusal is told of it: nil, or
-- when the window ends.  One call of Redis, as long as there is room.
function Gate.spend(key, cost, limit)
    local used = redis.call('INCRBY', key, cost)
    if used == num(cost) then
        redis.call('PEXPIRE', key, LIMIT.RATE_MS)
    end
    if used <= num(limit) then
        return nil
    end
    local reset = redis.call('PTTL', key)
    return reset < 0 and LIMIT.RATE_MS or reset
end

-- A flag's value for a tenant: its own beats its cohort's beats the global
-- one, on where nobody said anything.  flags: "*=1,beta=0" of this flag.
function Gate.flag(tenant, name, flags)
    local own = tenant['flag:' .. name]
    if own ~= '' then
        return own == '1'
    end
    local all = ',' .. flags
    for _, cohort in ipairs({ tenant.cohort, '*' }) do
        local _, at = string.find(all, ',' .. cohort .. '=', 1, true)
        if at then
            return string.sub(all, at + 1, at + 1) == '1'
        end
    end
    return true
end

-- active, grace or expired; and when grace ends ("": there is no lease)
function Gate.license(tenant, ms)
    local ends = tonumber(tenant.lic_expires_at)
    if tenant.lic_plan == '' or not ends then
        return 'expired', ''
    end
    local grace = ends + num(tenant.lic_grace_ms)
    local status = ms < ends and 'active' or ms < grace and 'grace' or 'expired'
    return status, text(grace)
end

-- why one more cannot be had, nil where it can
function Gate.room(tenant, ms, have, most)
    if Gate.license(tenant, ms) == 'expired' then
        return 'license_inactive'
    end
    return have >= num(most) and 'license_limit' or nil
end

-- a signed request's nonce: nil, or why it is refused
function Gate.nonce(t, agent_id, nonce, ms)
    local key = K.nonces(t, agent_id)
    redis.call('ZREMRANGEBYSCORE', key, '-inf', text(ms - LIMIT.HTTPSIG_NONCE_S * 1000))
    if redis.call('ZSCORE', key, nonce) then
        return { 'unauthenticated' }
    end
    if redis.call('ZCARD', key) >= LIMIT.NONCES_MAX then
        return { 'rate_limited', text(LIMIT.RATE_MS), text(LIMIT.NONCES_MAX) }
    end
    redis.call('ZADD', key, text(ms), nonce)
    redis.call('PEXPIRE', key, LIMIT.HTTPSIG_NONCE_S * 1000)
    return nil
end
