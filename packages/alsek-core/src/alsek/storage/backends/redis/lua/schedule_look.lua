#!lua flags=no-writes
-- Read schedules of one partition: some by id, or a page of all by name.
--
-- ARGV  1 "ids", then the ids;  or "page", the id behind which it starts ("": at the front), how many
--
-- Returns {now, then for each schedule its id and its fields and values (none: there is no such schedule)}
-- include: _prelude
-- include: _schedules

local now = clock()
local reply, ids = {now}, {}
if ARGV[1] == 'ids' then
  for i = 2, #ARGV do ids[i - 1] = ARGV[i] end
else
  local start = ARGV[2] == '' and '-' or '(' .. ARGV[2]
  ids = redis.call('ZRANGEBYLEX', ALL, start, '+', 'LIMIT', 0, ARGV[3])
end
for i = 1, #ids do
  local fields = redis.pcall('HGETALL', skey(ids[i]))
  reply[i * 2] = ids[i]
  reply[i * 2 + 1] = fields.err and {} or fields
end
return reply
