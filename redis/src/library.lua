-- Registration: one function of the library for each line of
-- vmops_functions.def, under the arguments, the key and the flags it says.

local KEY = {
    TENANT = { '^tenants/{[a-z0-9-]+}$', 'tenants/{<t>}' },
    PLATFORM = { '^platform/{p}$', 'platform/{p}' },
    SELECTOR = { '^pairings/[0-9A-Z]+$', 'pairings/<selector>' },
}

-- The commands that the call has ended are its reply's last element, and not
-- there when it ended none: what is counted (docs/operations.md).
local function with_ended(reply)
    local list = {}
    for status, n in pairs(ended) do
        list[#list + 1] = status .. '=' .. (n == 1 and '1' or text(n))
    end
    if #list > 0 then
        reply[#reply + 1] = 'ended ' .. table.concat(list, ',')
    end
    return reply
end

-- functions that look themselves whether their tenant is there
local LOOKS = { submit = true, finish = true }

local function register(spec)
    local name, args, rest = spec.name, spec.args, spec.rest
    local want = args .. (rest and ' or more' or '')
        .. (args == 1 and not rest and ' argument' or ' arguments')
    local run = F[name]
    local key = KEY[spec.key]
    local absent = not LOOKS[name] and spec.absent

    local function callback(keys, argv)
        if #argv < args or #argv > args and not rest then
            return redis.error_reply('ERR vmops_' .. name .. ' wants ' .. want)
        end
        if #keys ~= 1 or not string.find(keys[1], key[1]) then
            return redis.error_reply('ERR vmops_' .. name .. ' wants one key, '
                                     .. key[2])
        end
        local a = spec.named(argv)
        if rest then
            local list = {}
            for i = args + 1, #argv do
                list[#list + 1] = argv[i]
            end
            a[rest] = list
        end
        -- a tenant that is not there (any more): whoever asks learns no more
        -- than that
        if absent then
            local status = redis.call('HGET', keys[1], 'status')
            if not status or status == 'deleting' and not DELETED[name] then
                return { absent }
            end
        end
        ended = {}
        return with_ended(run(keys[1], a))
    end

    redis.register_function{
        function_name = 'vmops_' .. name, callback = callback,
        flags = spec.flags,
    }
end

for i = 1, #FUNCTIONS do
    register(FUNCTIONS[i])
end
