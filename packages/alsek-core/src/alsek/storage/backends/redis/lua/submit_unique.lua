#!lua
-- Store new messages of one queue, unless another with the same key lives, or did until a moment ago.
--
-- A key is held, under `u:<digest>` in the partition of its messages, as "<uuid> <end of the window, ms>": while its
-- holder waits or runs, and, unless that failed, until its window is over. It expires only once the holder has ended.
--
-- ARGV  1 weight of a priority level   2 "1" when an earlier, unanswered call may have done it
--       3 status text of SUBMITTED     then for each message:
--       uuid, task, body, priority, delay ms, ttl ms or "", ms to keep the status once ended or "" (untracked),
--       digest of its key, length of its window in ms
--
-- Returns for each message:  1 stored,  2 stored by the earlier call,  0 its uuid exists already,
--                            or the uuid of the message that holds its key
-- include: _prelude

local weight, again, payload = tonumber(ARGV[1]), ARGV[2] == '1', ARGV[3]
check_indexes()
redis.call('SADD', tag .. 'queues', qname(1))
local now = clock()
local codes = {}

for i = 4, #ARGV, 9 do
  local id, digest = ARGV[i], ARGV[i + 7]
  local rec = tag .. 'm:' .. id
  local known = redis.call('EXISTS', rec) == 1
  local ended = known and receipt_of(rec)
  local code = 1
  if known and again then code = 2
  elseif known and not ended then code = 0
  else code = holder_of(digest, now) or 1 end
  if code == 1 then
    if ended then redis.call('DEL', rec) end
    create(1, rec, id, ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5], ARGV[i + 6], weight, now, payload)
    redis.call('HSET', rec, 'u', digest)
    redis.call('SET', tag .. 'u:' .. digest, id .. ' ' .. string.format('%d', now + ARGV[i + 8]))
  end
  codes[#codes + 1] = code
end
write_tallies(now)
return codes
