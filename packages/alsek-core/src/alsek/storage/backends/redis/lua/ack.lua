#!lua flags=allow-oom
-- Acknowledge messages their holder finished: result, status, callback and the end of the lease in one step.
--
-- ARGV  1 receipt ms   2 weight of a priority level   3 status SUCCEEDED   4 status SUBMITTED
--       then for each message: queue number, uuid, token, parts
--         parts & 1, a result:    key behind the tag, text, ttl ms, key of the progenitor's index behind the tag or ""
--         parts & 2, a callback:  queue number, uuid, task, body, priority, delay ms, ttl ms or "", ms to keep the
--                                 status or ""
--
-- Returns a code for each message:  1 done,  2 repeated,  -1 no such message,  -2 lease lost,  -3 revoked
-- include: _prelude

local receipt_ms, weight = ARGV[1], tonumber(ARGV[2])
local now = clock()
local codes, mine, gone = {}, {}, {}
local i = 5

-- First look at everything, then write.
while i <= #ARGV do
  local qi, id, parts = tonumber(ARGV[i]), ARGV[i + 1], tonumber(ARGV[i + 3])
  local rec = tag .. 'm:' .. id
  local h, code = guard(rec, ARGV[i + 2], 'S')
  i = i + 4
  local result, child
  if parts % 2 == 1 then result, i = i, i + 4 end
  if parts >= 2 then child, i = i, i + 8 end
  if h then
    mine[#mine + 1] = {qi, rec, id, h, result, child}
    local batch = gone[qi] or {}
    batch[#batch + 1] = id
    gone[qi] = batch
    code = 1
  end
  codes[#codes + 1] = code
end

for qi, batch in pairs(gone) do redis.call('ZREM', qkey(qi, LEASES), unpack(batch)) end
for j = 1, #mine do
  local qi, rec, id, h, result, child = unpack(mine[j], 1, 6)
  if h[1] ~= 'l' then unindex(qi, id, h[1]) end
  redis.call('HSET', rec, 's', 'S', 'z', now)
  redis.call('HDEL', rec, 'b', 'e')
  redis.call('PEXPIRE', rec, receipt_ms)
  if result then
    redis.call('SET', tag .. ARGV[result], now .. ':' .. ARGV[result + 1], 'PX', ARGV[result + 2])
    if ARGV[result + 3] ~= '' then
      local kids = tag .. ARGV[result + 3]
      redis.call('ZADD', kids, now, id)
      redis.call('PEXPIRE', kids, ARGV[result + 2])
    end
    redis.call('PUBLISH', tag .. 'done:' .. id, 'S')
  end
  tell(qi, h[3], id, h[4], ARGV[3], true)
  if child then
    local cqi, cid = tonumber(ARGV[child]), ARGV[child + 1]
    local crec = tag .. 'm:' .. cid
    if redis.call('EXISTS', crec) == 0 then
      redis.call('SADD', tag .. 'queues', qname(cqi))
      create(cqi, crec, cid, ARGV[child + 2], ARGV[child + 3], ARGV[child + 4], ARGV[child + 5], ARGV[child + 6],
        ARGV[child + 7], weight, now, ARGV[4])
    end
  end
end
return codes
