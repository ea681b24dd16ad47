#!lua
-- Give a dead letter a new life: ready at once, its counts at zero.
--
-- ARGV  1 uuid   2 weight of a priority level   3 status SUBMITTED   4 "1" when repeating: what lives was replayed
--
-- Returns  1 replayed,  2 repeated,  -1 no such message,  -2 not among the dead letters
-- include: _prelude

check_indexes()
local id = ARGV[1]
local rec = tag .. 'm:' .. id
local h = redis.pcall('HMGET', rec, 's', 'T', 'k', 'p', 'b', 'u')
local again = ARGV[4] == '1'
if h.err then return again and receipt_of(rec) and 2 or -1 end
if not h[1] or not h[5] then return -1 end
if h[1] ~= 'x' then return again and 2 or -2 end
local now = clock()
unindex(1, id, 'x')
redis.call('HSET', rec, 's', place(1, id, num(h[4]), tonumber(ARGV[2]), now, 0), 'n', '0', 'd', '0')
-- It is unique again, unless another has its key by now.
if h[6] and not holder_of(h[6], now) then
  redis.call('SET', tag .. 'u:' .. h[6], id .. ' ' .. string.format('%d', now))
end
redis.call('HDEL', rec, 'a', 'z', 'x')
chronicle(rec, now, '', now, 'replayed', '')
mark_as_changed(rec)
tell(1, h[2], id, h[3], ARGV[3], false)
return 1
