-- The tenant's settings that are no secret: one JSON document, versioned.

function F.settings_get(t)
    return { 'OK', redis.call('HGETALL', K.settings(t)) }
end

function F.settings_set(t, a)
    local key = K.settings(t)
    local version = num(fields(key, 'version'))
    if a.if_match ~= '' and num(a.if_match) ~= version then
        return { 'version_mismatch' }
    end
    local ms = now()
    put(key, {
        'settings', a.settings, 'version', text(version + 1),
        'updated_at', text(ms), 'updated_by', a.actor,
    })
    Events.audit(t, ms, 'settings.changed', a.actor, '',
                 { 'version', text(version + 1) })
    return { 'OK', redis.call('HGETALL', key) }
end
