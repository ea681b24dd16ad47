#!lua
-- Store new messages of one queue and make them ready, or delayed.
--
-- ARGV  1 weight of a priority level   2 "1" when an earlier, unanswered call may have done it
--       3 status text of SUBMITTED     then for each message:
--       uuid, task, body, priority, delay ms, ttl ms or "", ms to keep the status once ended or "" (untracked)
--
-- Returns a code for each message:  1 stored,  2 stored by the earlier call,  0 exists already
-- include: _prelude

local weight, again, payload = tonumber(ARGV[1]), ARGV[2] == '1', ARGV[3]
check_indexes()
redis.call('SADD', tag .. 'queues', qname(1))
local now = clock()
local ready_key = qkey(1, READY)
local base = string.format('%d', now - EPOCH)
local ttl_seen, expiry = nil, nil
local codes, ready, n = {}, {}, 0

for i = 4, #ARGV, 7 do
  local id = ARGV[i]
  local rec = tag .. 'm:' .. id
  local fresh = redis.call('EXISTS', rec) == 0
  if not fresh then
    if again then
      codes[#codes + 1] = 2
    elseif receipt_of(rec) then
      redis.call('DEL', rec)
      fresh = true
    else
      codes[#codes + 1] = 0
    end
  end
  if fresh then
    local priority, delay, ttl, kept = ARGV[i + 3], ARGV[i + 4], ARGV[i + 5], ARGV[i + 6]
    if delay == '0' and priority == '0' and kept == '' then
      -- the usual message: one write for the record, the index in one command for the whole batch
      if ttl == '' then
        redis.call('HSET', rec, 'b', ARGV[i + 2], 'T', ARGV[i + 1], 's', 'r')
      else
        if ttl ~= ttl_seen then ttl_seen, expiry = ttl, string.format('%d', now + ttl) end
        redis.call('HSET', rec, 'b', ARGV[i + 2], 'T', ARGV[i + 1], 's', 'r', 'x', expiry)
      end
      ready[n + 1], ready[n + 2] = base, id
      n = n + 2
    else
      create(1, rec, id, ARGV[i + 1], ARGV[i + 2], priority, delay, ttl, kept, weight, now, payload)
    end
    codes[#codes + 1] = 1
  end
end

if n > 0 then
  redis.call('ZADD', ready_key, unpack(ready))
  tally(1, 's', n / 2)
  wake(1)
end
write_tallies(now)
return codes
