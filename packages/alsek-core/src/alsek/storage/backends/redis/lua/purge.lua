#!lua flags=allow-oom
-- Delete dead letters for good; whatever else a message is, it stays.
--
-- ARGV  for each message: uuid, when it died (ms) or "" for whenever
--
-- Returns a code for each message:  1 purged,  -1 no such message,  -2 not among the dead letters, or died anew
-- include: _prelude

check_indexes()
local codes, gone = {}, {}
for i = 1, #ARGV, 2 do
  local id = ARGV[i]
  local rec = tag .. 'm:' .. id
  local h = redis.pcall('HMGET', rec, 's', 'z')
  local code = 1
  if h.err then code = receipt_of(rec) and -2 or -1
  elseif not h[1] then code = -1
  elseif h[1] ~= 'x' or (ARGV[i + 1] ~= '' and h[2] ~= ARGV[i + 1]) then code = -2
  else
    redis.call('DEL', rec)
    gone[#gone + 1] = id
  end
  codes[#codes + 1] = code
end
if #gone > 0 then redis.call('ZREM', qkey(1, DEAD), unpack(gone)) end
return codes
