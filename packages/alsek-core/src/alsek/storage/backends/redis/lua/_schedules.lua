-- Shared by the verbs of schedules (put in the place of `-- include: _schedules`, behind the prelude).
--
-- KEYS[1] is the partition's tag; the keys of schedules are derived from it: `s:<id>` the schedule (hash), `schedules`
-- all ids (zset, by name), `schedules:due` when to look at which (zset, ms), `schedules:paused` and `schedules:broken`
-- (sets), `schedules:lead` the latest leader that spoke here ("<epoch> <identity>").

local ALL, DUE = tag .. 'schedules', tag .. 'schedules:due'
local PAUSED, BROKEN, LEAD = tag .. 'schedules:paused', tag .. 'schedules:broken', tag .. 'schedules:lead'

-- How often a fire that waits for the end of its forerunner is looked at, ms.
local PATIENCE = 1000

local function skey(id) return tag .. 's:' .. id end

-- What stands there instead of an index stops the script now, before its first write.
local function check_schedules()
  redis.call('ZCARD', ALL)
  redis.call('ZCARD', DUE)
  redis.call('SCARD', PAUSED)
  redis.call('SCARD', BROKEN)
end

-- Let only the latest leader go on; a newer one makes itself known to this partition by its first word.
local function is_leader(epoch, identity)
  local known = redis.call('GET', LEAD)
  local known_epoch, known_identity = 0, ''
  if known then known_epoch, known_identity = string.match(known, '^(%d+) (.*)$') end
  known_epoch = tonumber(known_epoch) or 0
  epoch = tonumber(epoch)
  if epoch < known_epoch or (epoch == known_epoch and identity ~= known_identity) then return false end
  if epoch > known_epoch then redis.call('SET', LEAD, string.format('%d', epoch) .. ' ' .. identity) end
  return true
end

-- Whether a message still waits or runs.
local function alive(id)
  if not id or id == '' then return false end
  local state = redis.pcall('HGET', tag .. 'm:' .. id, 's')
  return state == 'r' or state == 'd' or state == 'l'
end

-- Put a schedule where its state says: `a` active (with a time to look at it), `p` paused, `x` broken, `e` ended.
local function shelve(id, state, at)
  redis.call('ZADD', ALL, 0, id)
  if state == 'a' then redis.call('ZADD', DUE, at, id) else redis.call('ZREM', DUE, id) end
  if state == 'p' then redis.call('SADD', PAUSED, id) else redis.call('SREM', PAUSED, id) end
  if state == 'x' then redis.call('SADD', BROKEN, id) else redis.call('SREM', BROKEN, id) end
end
