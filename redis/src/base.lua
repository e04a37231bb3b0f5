-- What every subject needs.  While a library loads, Redis offers its code no
-- global but `redis`: string, table and the rest are reached from inside
-- functions only.

-- name -> function(key, arguments by name): the reply's array
local F = {}

local BLANK = { __index = function() return '' end }

-- When this process began to answer.  What is older was read from a file, or
-- came from another server: the last second before may be missing.
local born

-- Unix milliseconds by Redis' clock
local function now()
    local time = redis.call('TIME')
    local ms = time[1] * 1000 + (time[2] - time[2] % 1000) / 1000
    born = born or ms
    return ms
end

-- a whole number as text: tostring() would write 1e+15
local function text(n)
    return string.format('%d', n)
end

local function num(s)
    return tonumber(s) or 0
end

-- a whole number that a double holds exactly; nil for anything else
local function whole(s)
    return #s <= 15 and string.find(s, '^%d+$') and tonumber(s) or nil
end

-- the same of one that is written as we write them, and is not 0
local function ordinal(s)
    return #s <= 15 and string.find(s, '^[1-9]%d*$') and tonumber(s) or nil
end

-- fields of a table as a flat array
local function flat(map)
    local list = {}
    for field, value in pairs(map) do
        list[#list + 1] = field
        list[#list + 1] = value
    end
    return list
end

-- a flat array as a table whose absent fields read ""
local function mapped(list)
    local map = setmetatable({}, BLANK)
    for i = 1, #list, 2 do
        map[list[i]] = list[i + 1]
    end
    return map
end

-- a hash, and the same as a flat array; nil where there is none
local function record(key)
    local list = redis.call('HGETALL', key)
    if #list > 0 then
        return mapped(list), list
    end
    return nil
end

-- some fields of a hash, "" where absent
local function fields(key, ...)
    local list = redis.call('HMGET', key, ...)
    for i = 1, select('#', ...) do
        list[i] = list[i] or ''
    end
    return unpack(list, 1, select('#', ...))
end

-- The fields of a record that its MAC is over, and the MAC, in the order of
-- vmops_records.def: an array whose absent ones are false.  nil: no such record.
local function attested(key, names)
    local values = redis.call('HMGET', key, unpack(names))
    for i = #names, 1, -1 do
        if values[i] then
            return values
        end
    end
    return nil
end

-- without the pairs whose value is "": the same list
local function filled(list)
    local n, last = 0, #list
    for i = 1, last, 2 do
        if list[i + 1] ~= '' then
            if n + 1 < i then
                list[n + 1], list[n + 2] = list[i], list[i + 1]
            end
            n = n + 2
        end
    end
    for i = n + 1, last do
        list[i] = nil
    end
    return list
end

-- writes pairs of a hash; "" removes the field, nothing else is touched
local function put(key, list)
    local kept, gone, n = {}, {}, 0
    for i = 1, #list, 2 do
        if list[i + 1] == '' then
            gone[#gone + 1] = list[i]
        else
            kept[n + 1], kept[n + 2] = list[i], list[i + 1]
            n = n + 2
        end
    end
    if n > 0 then
        redis.call('HSET', key, unpack(kept))
    end
    if #gone > 0 then
        redis.call('HDEL', key, unpack(gone))
    end
end

-- Such pairs for an entry: what was removed is told, too
local function nulled(list)
    local all = {}
    for i = 1, #list do
        all[i] = list[i] == '' and 'null' or list[i]
    end
    return all
end

-- Are these name, value, ... pairs, and every name one of the allowed (false:
-- one of a flag, whatever it is)?
local function settings(list, allowed)
    for i = 1, #list, 2 do
        local name = list[i]
        local flag = string.match(name, '^flag:([%w_]+)$')
        if not allowed and not string.find(name, '^[%w_]+$')
           or allowed and not allowed[flag and 'flag:' or name]
        then
            return false
        end
    end
    return #list % 2 == 0
end

-- is word one of the words joined with ","?
local function among(words, word)
    return word ~= ''
        and string.find(',' .. words .. ',', ',' .. word .. ',', 1, true) ~= nil
end

local function bytes(value)
    if type(value) ~= 'table' then
        return #value
    end
    local sum = 0
    for i = 1, #value do
        sum = sum + bytes(value[i])
    end
    return sum
end

-- One page of an index in the order of its members.  view(member) makes an
-- item, nil leaves it out; name(member) is its cursor.  A page ends early
-- rather than grow beyond what a client reads in one reply.
local function page(index, cursor, limit, view, name)
    local from = cursor == '' and '-'
        or '(' .. cursor .. (name and '\255' or '')
    local most = math.min(math.max(num(limit), 1), LIMIT.LIST_LIMIT_MAX)
    local members = redis.call('ZRANGEBYLEX', index, from, '+',
                               'LIMIT', 0, most + 1)
    local items, last, size = {}, '', 0
    for i = 1, math.min(#members, most) do
        local item = view(members[i])
        if item then
            items[#items + 1] = item
            size = size + bytes(item)
        end
        last = name and name(members[i]) or members[i]
        if size > LIMIT.PAGE_BYTES and i < #members then
            return { 'OK', items, last }
        end
    end
    return { 'OK', items, #members > most and last or '' }
end

-- length of the UTF-8 sequence at i, nil where there is none (RFC 3629)
local function sequence(s, i)
    local a, b = string.byte(s, i, i + 1)
    if a < 0x80 then
        return 1
    elseif a < 0xC2 or a > 0xF4 or not b then
        return nil
    end
    local length = a < 0xE0 and 2 or a < 0xF0 and 3 or 4
    local least = a == 0xE0 and 0xA0 or a == 0xF0 and 0x90 or 0x80
    local most = a == 0xED and 0x9F or a == 0xF4 and 0x8F or 0xBF
    if b < least or b > most then
        return nil
    end
    for k = 2, length - 1 do
        local c = string.byte(s, i + k)
        if not c or c < 0x80 or c > 0xBF then
            return nil
        end
    end
    return length
end

-- is all of it UTF-8?
local function utf8(s)
    -- by far the most are ASCII: one range from the front is the fastest to match
    if string.find(s, '^[\1-\127]*$') then
        return true
    end
    local i = string.find(s, '[%z\128-\255]')
    while i and i <= #s do
        local length = sequence(s, i)
        if not length then
            return false
        end
        i = i + length
    end
    return true
end

-- a JSON string of any bytes; what is no UTF-8 becomes U+FFFD
local function json_string(s)
    -- by far the most are plain: the characters below but for "\" and "]"
    if string.find(s, '^[a-z0-9#-[^-~ !]*$') then
        return '"' .. s .. '"'
    end
    local parts, i = {}, 1
    while i <= #s do
        local length = sequence(s, i)
        parts[#parts + 1] = length and string.sub(s, i, i + length - 1)
            or '\239\191\189'
        i = i + (length or 1)
    end
    return '"' .. string.gsub(table.concat(parts), '[%c"\\]', function(c)
        return (c == '"' or c == '\\') and '\\' .. c
            or string.format('\\u%04x', string.byte(c))
    end) .. '"'
end

-- a JSON object of strings, in this order, without the empty ones; the names
-- are plain.  A long value is told by its beginning: an entry that is too long
-- would never be sealed.
local function json_object(list)
    local parts, n = {}, 0
    for i = 1, #list, 2 do
        local value = list[i + 1]
        if #value > LIMIT.AUDIT_VALUE_MAX then
            value = string.sub(value, 1, LIMIT.AUDIT_VALUE_MAX) .. '…'
        end
        if value ~= '' then
            n = n + 1
            parts[n] = '"' .. list[i] .. '":' .. json_string(value)
        end
    end
    return '{' .. table.concat(parts, ',') .. '}'
end

local LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
    .. '0123456789-_'

-- bytes that base64url text stands for (RFC 4648 section 5)
local function base64url(s)
    local out, bits, held = {}, 0, 0
    for i = 1, #s do
        local c = string.sub(s, i, i)
        local value = string.find(LETTERS, c, 1, true)
        if not value then
            return nil
        end
        held, bits = held * 64 + value - 1, bits + 6
        if bits >= 8 then
            bits = bits - 8
            local high = math.floor(held / 2 ^ bits)
            out[#out + 1] = string.char(high)
            held = held - high * 2 ^ bits
        end
    end
    return table.concat(out)
end
