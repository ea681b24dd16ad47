#!lua flags=allow-oom
-- Note that a worker lives, and what it does; or that it has left.
--
-- KEYS  1 workers (zset: id, when it counts as gone)   2 their beats (hash)
--       3 what is known of them (hash)                 4 when that is forgotten (zset)
--       5 their tasks (hash)                           6 when those are forgotten (zset)
-- ARGV  1 id   2 ms until it counts as gone, 0: it has left   3 ms to keep what is known   4 the beat (opaque)
--       5 what is known of it (opaque), or "" when that was told before   then for each task: name, description
--
-- Returns  1 noted,  0 noted, but what is known of it was lost: tell again
local id, ttl, kept = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

-- What has come to its end goes, at most a hundred at a time.
local function forget(index, ...)
  local over = redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, 100)
  if #over == 0 then return end
  for i = 1, select('#', ...) do redis.call('HDEL', select(i, ...), unpack(over)) end
  redis.call('ZREM', index, unpack(over))
end

local until_ms = string.format('%d', now + kept)
if ttl == 0 then
  redis.call('ZREM', KEYS[1], id)
  redis.call('HDEL', KEYS[2], id)
else
  redis.call('ZADD', KEYS[1], now + ttl, id)
  redis.call('HSET', KEYS[2], id, string.format('%d ', now) .. ARGV[4])
end
if ARGV[5] ~= '' then
  redis.call('HSET', KEYS[3], id, ARGV[5])
  redis.call('ZADD', KEYS[4], until_ms, id)
  for i = 6, #ARGV, 2 do
    redis.call('HSET', KEYS[5], ARGV[i], ARGV[i + 1])
    redis.call('ZADD', KEYS[6], until_ms, ARGV[i])
  end
  -- Whoever tells of itself also tidies up; the usual beat costs two writes.
  forget(KEYS[1], KEYS[2])
  forget(KEYS[4], KEYS[3])
  forget(KEYS[6], KEYS[5])
  for i = 1, 6 do redis.call('PEXPIRE', KEYS[i], ARGV[3]) end
end
return redis.call('HEXISTS', KEYS[3], id)
