-- Let time pass on a server that belongs to tests: whatever waits for a moment is that much nearer to it.
--
-- ARGV[1] ms
--
-- No verb of the engine: it walks through all keys, of all namespaces and partitions, and so it takes none in KEYS. The
-- engine's times move into the past, which is the same as a clock that moves ahead. Left alone: `clock` of a partition (as
-- if workers had spoken all along: a jump is no outage), counts, histories, schedules.
--
-- Returns  how many keys it looked at

local ms = tonumber(ARGV[1])

local function earlier(key, field)
  local at = tonumber(redis.call('HGET', key, field) or nil)
  if at and at > 0 then redis.call('HSET', key, field, string.format('%d', at - ms)) end
end

local function move(key, kind, what)
  if kind == 'zset' and string.match(what, '^[rdlx]:') then
    local members = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    for i = 1, #members, 2 do
      if tonumber(members[i + 1]) < math.huge then redis.call('ZINCRBY', key, -ms, members[i]) end
    end
  elseif kind == 'hash' and string.match(what, '^m:') then
    for _, field in ipairs({'x', 'z', 'c'}) do earlier(key, field) end
  elseif kind == 'hash' and what == 'meta' then
    earlier(key, 'grace')
  elseif kind == 'string' and string.match(what, '^u:') then
    local id, ends = string.match(redis.call('GET', key), '^(%S+) (%d+)$')
    if id then redis.call('SET', key, id .. ' ' .. string.format('%d', math.max(0, ends - ms)), 'KEEPTTL') end
  end
end

local keys, cursor = {}, '0'
repeat
  local page = redis.call('SCAN', cursor, 'COUNT', 1000)
  cursor = page[1]
  for _, key in ipairs(page[2]) do keys[key] = true end
until cursor == '0'

local looked_at = 0
for key in pairs(keys) do
  looked_at = looked_at + 1
  local what = string.match(key, '^{[^}]*:%d+}:(.*)$')
  if what then move(key, redis.call('TYPE', key).ok, what) end
  local left = redis.call('PTTL', key)
  if left > 0 then redis.call('PEXPIRE', key, string.format('%d', math.max(0, left - ms))) end
end
return looked_at
