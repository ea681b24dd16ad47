#!lua flags=allow-oom
-- Take the most urgent ready messages of several queues and lease them to the caller.
--
-- ARGV  1 token        2 how many            3 lease ms          4 max deliveries   5 weight of a priority level
--       6 dlq ms (0 off, -1 for ever)        7 silence ms that means an outage     8 "1" when repeating this token
--       9 consumer     10 receipt ms         11 status RUNNING   12 status FAILED   13 status EXPIRED
--       14 exception details of a crash loop 15 … of an expiry   then for each queue:
--       offset to look from, number of task names (0: any task), the names
--
-- Returns  {now, ms until something falls due or -1, offsets, then for each message
--           queue number, uuid, task, body, priority, retries, deliveries, fence, exception details}
-- A repeat with the same token answers the same messages (as far as their leases still stand).
-- include: _prelude

local token, want, lease_ms, max_deliveries = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local weight, dlq_ms, gap_ms = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local receipt_key, receipt_ms = tag .. 'c:' .. ARGV[9], tonumber(ARGV[10])
local queues = (#KEYS - 1) / 5
local now = clock()
local reply, got = {now, -1, ''}, 0

local function hand_out(qi, id, h, deliveries, fence)
  local at = #reply
  reply[at + 1], reply[at + 2], reply[at + 3], reply[at + 4], reply[at + 5] = qi, id, h[2], h[3], h[4] or '0'
  reply[at + 6], reply[at + 7], reply[at + 8], reply[at + 9] = h[5] or '0', deliveries, fence, h[9] or ''
  got = got + 1
end

if ARGV[8] == '1' then
  local receipt = redis.call('GET', receipt_key)
  if receipt and string.sub(receipt, 1, #token + 1) == token .. ' ' then
    for qi, id in string.gmatch(string.sub(receipt, #token + 2), '(%d+):(%S+)') do
      local rec = tag .. 'm:' .. id
      local h = redis.pcall('HMGET', rec, 's', 'T', 'b', 'p', 'n', 'd', 'f', 't', 'e')
      if not h.err and h[1] == 'l' and h[8] == token then hand_out(tonumber(qi), id, h, h[6], h[7]) end
    end
    return reply
  end
end

local grace = tick(now, lease_ms, gap_ms)
local taken, offsets = {}, {}
local at = 16

for qi = 1, queues do
  local ready_key, leases_key = qkey(qi, READY), qkey(qi, LEASES)

  -- What is due becomes ready; it queues up by the time it fell due.
  local due = redis.call('ZRANGEBYSCORE', qkey(qi, DELAYED), '-inf', now, 'WITHSCORES', 'LIMIT', 0, 100)
  for i = 1, #due, 2 do
    local rec = tag .. 'm:' .. due[i]
    local h = redis.pcall('HMGET', rec, 's', 'p')
    if not h.err and h[1] == 'd' then
      redis.call('ZADD', ready_key, (h[2] or 0) * weight + (due[i + 1] - EPOCH), due[i])
      redis.call('HSET', rec, 's', 'r')
    end
    redis.call('ZREM', qkey(qi, DELAYED), due[i])
  end

  -- Whose lease has lapsed goes back, unless it keeps killing its workers.
  if now >= grace then
    local lapsed = redis.call('ZRANGEBYSCORE', leases_key, '-inf', now, 'LIMIT', 0, 100)
    for i = 1, #lapsed do
      local id = lapsed[i]
      local rec = tag .. 'm:' .. id
      local h = redis.pcall('HMGET', rec, 's', 'p', 'd', 'T', 'k')
      redis.call('ZREM', leases_key, id)
      if not h.err and h[1] == 'l' then
        if tonumber(h[3] or 0) >= max_deliveries then
          redis.call('HSET', rec, 'e', ARGV[14])
          bury(qi, rec, id, h[4], h[5], 'crash_loop', 'F', now, dlq_ms, receipt_ms, ARGV[12])
        else
          redis.call('ZADD', ready_key, (h[2] or 0) * weight + (now - EPOCH), id)
          redis.call('HSET', rec, 's', 'r')
        end
      end
    end
  end

  -- Pop what is wanted: simply from the front, or only some tasks' from a bounded window.
  local offset, filters = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local popped = {}
  if filters == 0 then
    if got < want then
      local pairs_ = redis.call('ZPOPMIN', ready_key, want - got)
      for i = 1, #pairs_, 2 do popped[#popped + 1] = pairs_[i] end
    end
  else
    local wanted = {}
    for i = 1, filters do wanted[ARGV[at + 1 + i]] = true end
    local window = got < want and redis.call('ZRANGE', ready_key, offset, offset + 499) or {}
    for i = 1, #window do
      if got + #popped >= want then break end
      local task = redis.pcall('HGET', tag .. 'm:' .. window[i], 'T')
      if type(task) ~= 'string' or wanted[task] then popped[#popped + 1] = window[i] else offset = offset + 1 end
    end
    if #popped > 0 then redis.call('ZREM', ready_key, unpack(popped)) end
    if #window < 500 and got + #popped < want then offset = 0 end
  end
  offsets[qi] = offset
  at = at + 2 + filters

  local deadline, leased, n = now + lease_ms, {}, 0
  for i = 1, #popped do
    local id = popped[i]
    local rec = tag .. 'm:' .. id
    local h = redis.pcall('HMGET', rec, 's', 'T', 'b', 'p', 'n', 'd', 'f', 'x', 'e', 'k')
    if h.err or not h[1] or not h[2] or not h[3] then
      -- no record, or none that can be read: its id must not stop the others (fsck names it)
    elseif h[8] and tonumber(h[8]) <= now then
      redis.call('HSET', rec, 'e', ARGV[15])
      bury(qi, rec, id, h[2], h[10], 'expired', 'E', now, dlq_ms, receipt_ms, ARGV[13])
    else
      local deliveries, fence = (h[6] or 0) + 1, (h[7] or 0) + 1
      redis.call('HSET', rec, 's', 'l', 't', token, 'd', deliveries, 'f', fence)
      leased[n + 1], leased[n + 2] = deadline, id
      n = n + 2
      taken[#taken + 1] = qi .. ':' .. id
      if h[10] then tell(qi, h[2], id, h[10], ARGV[11], false) end
      hand_out(qi, id, h, deliveries, fence)
    end
  end
  if n > 0 then redis.call('ZADD', leases_key, unpack(leased)) end
end

if got > 0 then redis.call('SET', receipt_key, token .. ' ' .. table.concat(taken, ' '), 'PX', receipt_ms) end

-- A full hand may leave work behind: wake the next idle consumer. Otherwise say when to look again.
if got >= want then
  for qi = 1, queues do
    if redis.call('ZCARD', qkey(qi, READY)) > 0 or redis.call('ZCARD', qkey(qi, DELAYED)) > 0 then wake(qi) end
  end
else
  local soonest = math.huge
  for qi = 1, queues do
    local due = redis.call('ZRANGE', qkey(qi, DELAYED), 0, 0, 'WITHSCORES')[2]
    if due then soonest = math.min(soonest, tonumber(due)) end
    local lapse = redis.call('ZRANGE', qkey(qi, LEASES), 0, 0, 'WITHSCORES')[2]
    if lapse then soonest = math.min(soonest, math.max(tonumber(lapse), grace)) end
  end
  if soonest < math.huge then reply[2] = math.max(0, soonest - now) end
end
reply[3] = table.concat(offsets, ' ')
return reply
