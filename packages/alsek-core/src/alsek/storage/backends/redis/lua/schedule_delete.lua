#!lua flags=allow-oom
-- Delete a schedule. Messages that it has fired stay.
--
-- ARGV  1 id   2 version it was read with; "-1": any   3 "1" when an earlier, unanswered call may have done it
--
-- Returns  1 deleted,  2 deleted by the earlier call,  -1 no such schedule,  -2 changed by somebody else
-- include: _prelude
-- include: _schedules

local id, version = ARGV[1], ARGV[2]
check_schedules()
local known = redis.pcall('HGET', skey(id), 'v')
if type(known) ~= 'table' or not known.err then
  if not known then return ARGV[3] == '1' and 2 or -1 end
  if version ~= '-1' and known ~= version then return -2 end
end
redis.call('DEL', skey(id))
redis.call('ZREM', ALL, id)
redis.call('ZREM', DUE, id)
redis.call('SREM', PAUSED, id)
redis.call('SREM', BROKEN, id)
return 1
