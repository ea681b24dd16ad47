#!lua flags=allow-oom
-- Take a message out of the world's way: a waiting one never runs, a running one is fenced off and its worker told.
--
-- ARGV  1 uuid   2 "1" to leave a running one alone   3 dlq ms   4 receipt ms   5 exception details
--       6 status FAILED   7 prefix of the workers' channels   8 ms to remember one that is not there
--
-- Returns  1 revoked while waiting,  4 revoked while leased,  2 revoked earlier,  0 left running,  -1 no such message,
--          -2 ended otherwise
-- A message that is not there may still come, as the callback of another: a receipt keeps it from being created.
-- include: _prelude

check_indexes()
local id = ARGV[1]
local rec = tag .. 'm:' .. id
local h = redis.pcall('HMGET', rec, 's', 't', 'T', 'k', 'a', 'c')
if h.err then
  local letter = receipt_of(rec)
  return not letter and -1 or letter == 'V' and 2 or -2
end
local state = h[1]
if not state then
  if redis.call('EXISTS', rec) == 0 then close(rec, 'V', '', clock(), ARGV[8], 'revoked', ARGV[5]) end
  return -1
end
if state ~= 'r' and state ~= 'd' and state ~= 'l' then
  return h[5] == 'revoked' and 2 or -2
end
if state == 'l' and ARGV[2] == '1' then return 0 end
unindex(1, id, state)
local now = clock()
if state == 'l' then chronicle(rec, h[6], h[2], now, 'revoked', '') end
bury(1, rec, id, h[3], h[4], h[2] or '', 'revoked', ARGV[5], 'V', now, tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[6])
write_tallies(now)
if state == 'l' then
  local worker = string.match(h[2] or '', '^[^.]*')
  redis.call('PUBLISH', ARGV[7] .. worker, 'revoke ' .. id)
  return 4
end
return 1
