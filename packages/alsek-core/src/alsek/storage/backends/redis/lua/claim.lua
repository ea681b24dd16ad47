#!lua flags=allow-oom
-- Take the most urgent ready messages of several queues and lease them to the caller.
--
-- ARGV  1 token        2 how many            3 lease ms          4 max deliveries   5 weight of a priority level
--       6 dlq ms (0 off, -1 for ever)        7 silence ms that means an outage     8 "1" when repeating this token
--       9 consumer     10 receipt ms         11 status RUNNING   12 status FAILED   13 status EXPIRED
--       14 exception details of a crash loop 15 … of an expiry   then for each queue:
--       offset to look from, number of task names (0: any task), the names
--
-- A paused queue gives nothing; the leases of what still runs there are recovered all the same.
--
-- Returns  {now, ms until something falls due or -1, "offset:messages:others" of each queue, then for each message
--           uuid, task, body, past}
--           others: "o" when what is left is for others, who have the wake marker now: until the next look, the caller
--           sleeps without it
--           past: "" for a first delivery of usual priority, else "priority retries deliveries fence details"
-- A repeat with the same token answers the same messages (as far as their leases still stand).
-- include: _prelude

-- Lua hands at most some 8,000 values on to a command, two for each lease: a larger hand is taken in several claims.
local token, want, lease_ms, max_deliveries = ARGV[1], math.min(tonumber(ARGV[2]), 1000), tonumber(ARGV[3]), tonumber(ARGV[4])
local weight, dlq_ms, gap_ms = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local receipt_key, receipt_ms = tag .. 'c:' .. ARGV[9], tonumber(ARGV[10])
local queues = (#KEYS - 1) / 5
local now = clock()
local reply, got = {now, -1, ''}, 0

local counts = {}
for qi = 1, queues do counts[qi] = 0 end

local function hand_out(qi, id, task, body, past)
  local at = 3 + got * 4
  reply[at + 1], reply[at + 2], reply[at + 3], reply[at + 4] = id, task, body, past
  got = got + 1
  counts[qi] = counts[qi] + 1
end

-- Say from where each queue is looked at next, how many messages it gave, and whether the rest is for others.
local others = {}
local function count_up(offsets)
  local told = {}
  for qi = 1, queues do told[qi] = offsets[qi] .. ':' .. counts[qi] .. ':' .. (others[qi] or '') end
  reply[3] = table.concat(told, ' ')
end

if ARGV[8] == '1' then
  local receipt = redis.call('GET', receipt_key)
  if receipt and string.sub(receipt, 1, #token + 1) == token .. ' ' then
    for segment in string.gmatch(string.sub(receipt, #token + 2), '[^\n]+') do
      local qi = tonumber(string.match(segment, '^%d+'))
      for id in string.gmatch(segment, ' (%S+)') do
        local h = redis.pcall('HMGET', tag .. 'm:' .. id, 's', 't', 'T', 'b', 'p', 'n', 'd', 'f', 'e')
        if not h.err and h[1] == 'l' and h[2] == token and h[3] and h[4] then
          local past = {num(h[5]), num(h[6]), num(h[7]), num(h[8]), h[9] or ''}
          hand_out(qi, id, h[3], h[4], table.concat(past, ' '))
        end
      end
    end
    local offsets = {}
    for qi = 1, queues do offsets[qi] = '0' end
    count_up(offsets)
    return reply
  end
end

local pauses = {}
for qi = 1, queues do pauses[qi] = 'pause:' .. qname(qi) end
local grace, meta = tick(now, lease_ms, gap_ms, unpack(pauses))
-- Whether a queue may be taken from: the fields of the pauses stand behind `clock` and `grace`.
local function open(qi) return not meta[qi + 2] end
local taken, offsets, unfiltered = {}, {}, {}
-- What is known of each queue at the end: when the next falls due, when the next lease lapses, whether all were taken.
local next_due, next_lapse, emptied = {}, {}, {}
local at = 16

-- The score of the first in an index, if there is one.
local function first(key) return tonumber(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]) end

for qi = 1, queues do
  local ready_key, delayed_key, leases_key = qkey(qi, READY), qkey(qi, DELAYED), qkey(qi, LEASES)
  -- Nothing that is taken out below may find no place to go: what is no index stops the script here.
  redis.call('ZCARD', qkey(qi, DEAD))
  next_lapse[qi] = first(leases_key)
  next_due[qi] = open(qi) and first(delayed_key) or nil

  -- What is due becomes ready; it queues up by the time it fell due.
  if next_due[qi] and next_due[qi] <= now then
    local due = redis.call('ZRANGEBYSCORE', delayed_key, '-inf', now, 'WITHSCORES', 'LIMIT', 0, 100)
    for i = 1, #due, 2 do
      local rec = tag .. 'm:' .. due[i]
      local h = redis.pcall('HMGET', rec, 's', 'p')
      if not h.err and h[1] == 'd' then
        redis.call('ZADD', ready_key, num(h[2]) * weight + (due[i + 1] - EPOCH), due[i])
        redis.call('HSET', rec, 's', 'r')
      end
      redis.call('ZREM', delayed_key, due[i])
    end
    next_due[qi] = first(delayed_key)
  end

  -- Whose lease has lapsed goes back, unless it keeps killing its workers.
  if now >= grace and next_lapse[qi] and next_lapse[qi] <= now then
    local lapsed = redis.call('ZRANGEBYSCORE', leases_key, '-inf', now, 'LIMIT', 0, 100)
    for i = 1, #lapsed do
      local id = lapsed[i]
      local rec = tag .. 'm:' .. id
      local h = redis.pcall('HMGET', rec, 's', 'p', 'd', 'T', 'k', 't', 'c')
      if not h.err and h[1] == 'l' then
        chronicle(rec, h[7], h[6], now, 'lapsed', '')
        redis.call('HDEL', rec, 't') -- whatever its former holder says from now on is stale
        if num(h[3]) >= max_deliveries then
          bury(qi, rec, id, h[4], h[5], '', 'crash_loop', ARGV[14], 'F', now, dlq_ms, receipt_ms, ARGV[12])
        else
          redis.call('ZADD', ready_key, num(h[2]) * weight + (now - EPOCH), id)
          redis.call('HSET', rec, 's', 'r')
        end
      end
      redis.call('ZREM', leases_key, id)
    end
    next_lapse[qi] = first(leases_key)
  end

  -- Pop what is wanted: simply from the front, or only some tasks' from a bounded window.
  local offset, filters = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local popped, median = {}, nil
  if not open(qi) then
    -- stays as it is until somebody resumes it
  elseif filters == 0 then
    if got < want then
      local front = redis.call('ZPOPMIN', ready_key, want - got)
      for i = 1, #front, 2 do popped[#popped + 1] = front[i] end
      median = front[2 * math.ceil(#popped / 2)]
      emptied[qi] = #popped < want - got
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
    median = #popped > 0 and redis.call('ZSCORE', ready_key, popped[math.ceil(#popped / 2)])
    if #popped > 0 then redis.call('ZREM', ready_key, unpack(popped)) end
    if #window < 500 and got + #popped < want then offset = 0 end
  end
  offsets[qi] = offset
  unfiltered[qi] = filters == 0
  at = at + 2 + filters

  local deadline, stamp, leased, n = string.format('%d', now + lease_ms), string.format('%d', now), {}, 0
  local in_the_middle, levels = popped[math.ceil(#popped / 2)], 0
  for i = 1, #popped do
    local id = popped[i]
    local rec = tag .. 'm:' .. id
    local h = redis.pcall('HMGET', rec, 'T', 'b', 'x', 'f', 'p', 'k', 's')
    local task, body = h[1], h[2]
    if h.err or not task or not body or h[7] ~= 'r' then
      -- no record, or none that can be read: its id must not stop the others (fsck names it)
    elseif h[3] and (tonumber(h[3]) or math.huge) <= now then
      bury(qi, rec, id, task, h[6], '', 'expired', ARGV[15], 'E', now, dlq_ms, receipt_ms, ARGV[13])
    else
      local deliveries, fence, past = '1', '1', ''
      if h[4] then
        -- it was claimed or changed before: only then can it have these
        local f = redis.call('HMGET', rec, 'n', 'd', 'e')
        deliveries, fence = num(f[2]) + 1, num(h[4]) + 1
        past = table.concat({num(h[5]), num(f[1]), deliveries, fence, f[3] or ''}, ' ')
      elseif h[5] then
        past = num(h[5]) .. ' 0 1 1 '
      end
      redis.call('HSET', rec, 's', 'l', 't', token, 'd', deliveries, 'f', fence, 'c', stamp)
      if id == in_the_middle then levels = num(h[5]) end
      leased[n + 1], leased[n + 2] = deadline, id
      n = n + 2
      if h[6] then tell(qi, task, id, h[6], ARGV[11], false) end
      hand_out(qi, id, task, body, past)
    end
  end
  if n > 0 then
    redis.call('ZADD', leases_key, unpack(leased))
    next_lapse[qi] = math.min(next_lapse[qi] or math.huge, now + lease_ms)
    tally(qi, 'c', n / 2)
    -- All are taken to have waited as long as the one in the middle: a look at each would cost a tenth of the claim.
    tally(qi, 'w', n / 2 * math.max(0, math.floor(now - EPOCH - (median - levels * weight))))
    local segment = {qi}
    for i = 2, n, 2 do segment[#segment + 1] = leased[i] end
    taken[#taken + 1] = table.concat(segment, ' ')
  end
end

write_tallies(now)
if got > 0 then redis.call('SET', receipt_key, token .. ' ' .. table.concat(taken, '\n'), 'PX', receipt_ms) end

-- A full hand may leave work behind: wake the next idle consumer. Otherwise say when to look again.
if got >= want then
  for qi = 1, queues do
    if open(qi) and (redis.call('ZCARD', qkey(qi, READY)) > 0 or next_due[qi]) then wake(qi) end
  end
else
  local soonest = math.huge
  for qi = 1, queues do
    if open(qi) then
      soonest = math.min(soonest, next_due[qi] or soonest)
      local left = emptied[qi] and 0 or redis.call('ZCARD', qkey(qi, READY))
      if left > 0 and unfiltered[qi] then
        soonest = now
      elseif left > 0 then
        -- The marker may have meant them. A long line costs more to look through, and is looked through less often.
        others[qi] = 'o'
        wake(qi)
        soonest = math.min(soonest, now + (left > 500 and 1000 or 100))
      end
    end
    if next_lapse[qi] then soonest = math.min(soonest, math.max(next_lapse[qi], grace)) end
  end
  if soonest < math.huge then reply[2] = math.max(0, soonest - now) end
end
count_up(offsets)
return reply
