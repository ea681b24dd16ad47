#!lua
-- Store new messages of one queue that came by HTTP, with what is remembered of each beyond its end (its ticket), and,
-- in the same step, what the request is answered when it comes again.
--
-- ARGV  1 weight of a priority level   2 "1" when an earlier, unanswered call may have done it
--       3 status text of SUBMITTED     4 key of the request behind the tag, or ""
--       5 what the request asks for    6 what it is answered   7 ms for which that is kept
--       then for each message the seven of `submit`, ms for which its tickets are kept, how many they are, and for
--       each ticket: uuid, text
--
-- Returns a code for each message:  1 stored,  2 stored by the earlier call,  0 exists already
--         or, for a request that came before:  {3, its answer},  or {-4} when it asked for something else then
-- include: _prelude

local weight, again, payload = tonumber(ARGV[1]), ARGV[2] == '1', ARGV[3]
check_indexes()
local request = ARGV[4] ~= '' and tag .. ARGV[4]
if request then
  local before = redis.call('HMGET', request, 'asked', 'answer')
  if before[1] then
    if before[1] ~= ARGV[5] then return {-4} end
    return {3, before[2]}
  end
end
redis.call('SADD', tag .. 'queues', qname(1))
local now = clock()
local base = string.format('%d', now - EPOCH)
local codes, ready, n = {}, {}, 0
local i = 8

while i <= #ARGV do
  local id, task, kept = ARGV[i], ARGV[i + 1], ARGV[i + 6]
  local rec = tag .. 'm:' .. id
  local code = 1
  if redis.call('EXISTS', rec) == 1 then
    code = again and 2 or 0
  elseif ARGV[i + 3] == '0' and ARGV[i + 4] == '0' and kept ~= '' and ARGV[i + 5] ~= '' then
    -- the usual message; nobody can listen for its status yet: only its sender will know the uuid
    redis.call('HSET', rec, 'b', ARGV[i + 2], 'T', task, 's', 'r', 'k', kept,
      'x', string.format('%d', now + ARGV[i + 5]))
    redis.call('SET', tag .. 'status:' .. qname(1) .. ':' .. task .. ':' .. id, payload)
    ready[n + 1], ready[n + 2] = base, id
    n = n + 2
  else
    create(1, rec, id, task, ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5], kept, weight, now, payload)
  end
  codes[#codes + 1] = code
  local ticket_ms, tickets = ARGV[i + 7], tonumber(ARGV[i + 8])
  i = i + 9
  for _ = 1, tickets do
    if code == 1 then redis.call('SET', tag .. 'ticket:' .. ARGV[i], ARGV[i + 1], 'PX', ticket_ms) end
    i = i + 2
  end
end

if n > 0 then
  redis.call('ZADD', qkey(1, READY), unpack(ready))
  tally(1, 's', n / 2)
  wake(1)
end
write_tallies(now)
if request then
  redis.call('HSET', request, 'asked', ARGV[5], 'answer', ARGV[6])
  redis.call('PEXPIRE', request, ARGV[7])
end
return codes
