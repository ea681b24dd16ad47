#!lua flags=allow-oom
-- Extend the leases of one worker, and clear dead letters whose time is over (at most 100 a queue).
--
-- ARGV  1 lease ms   2 silence ms that means an outage   then for each lease: queue number, uuid, token
--
-- Returns a code for each lease:  1 extended,  -1 no such message,  -2 lost,  -3 revoked
-- include: _prelude

local lease_ms = tonumber(ARGV[1])
-- What stands where the leases belong stops the script now, before its first write.
for qi = 1, #ARGV > 2 and (#KEYS - 1) / 5 or 0 do redis.call('ZCARD', qkey(qi, LEASES)) end
local now = clock()
tick(now, lease_ms, tonumber(ARGV[2]))
local codes, extended = {}, {}

for i = 3, #ARGV, 3 do
  local qi, id = tonumber(ARGV[i]), ARGV[i + 1]
  local h, code = guard(tag .. 'm:' .. id, ARGV[i + 2], '')
  if h and h[1] ~= 'l' then h, code = nil, -2 end
  if h then
    local batch = extended[qi] or {}
    batch[#batch + 1] = now + lease_ms
    batch[#batch + 1] = id
    extended[qi] = batch
    code = 1
  end
  codes[#codes + 1] = code
end
for qi, batch in pairs(extended) do redis.call('ZADD', qkey(qi, LEASES), unpack(batch)) end

for qi = 1, (#KEYS - 1) / 5 do
  local over = redis.pcall('ZRANGEBYSCORE', qkey(qi, DEAD), '-inf', now, 'LIMIT', 0, 100)
  for i = 1, #over do
    redis.call('ZREM', qkey(qi, DEAD), over[i])
    local rec = tag .. 'm:' .. over[i]
    if redis.pcall('HGET', rec, 's') == 'x' then redis.call('DEL', rec) end
  end
end
return codes
