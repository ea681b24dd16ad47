#!lua
-- Note how far messages that run have come, and tell who follows them.
--
-- ARGV  for each message: queue number, uuid, token, progress, status text
--
-- Returns a code for each message:  1 noted,  -1 no such message,  -2 lease lost,  -3 revoked
-- include: _prelude

check_indexes()
local codes = {}

for i = 1, #ARGV, 5 do
  local id = ARGV[i + 1]
  local rec = tag .. 'm:' .. id
  local h, code = guard(rec, ARGV[i + 2], '')
  if h and h[1] ~= 'l' then h, code = nil, -2 end
  if h then
    redis.call('HSET', rec, 'g', ARGV[i + 3])
    tell(tonumber(ARGV[i]), h[3], id, h[4], ARGV[i + 4], false)
    code = 1
  end
  codes[#codes + 1] = code
end
return codes
