-- One step of a breaker, by the rules of breaker.Local. KEYS: the hash.
-- ARGV: act, token or what to force, failures, window, open for, lease (milliseconds).
-- Returns allowed, state before, state after, forced, failures, opened at.
local act, argument = ARGV[1], ARGV[2]
local most, window, open_for, lease = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local names = {'state', 'forced', 'failures', 'window_at', 'opened_at', 'probe', 'probe_until'}
local values = redis.call('HMGET', KEYS[1], unpack(names))
local is = {}
for index, name in ipairs(names) do is[name] = values[index] or nil end
local state, forced = is.state or 'closed', is.forced or ''
local failures, opened_at = tonumber(is.failures or 0), tonumber(is.opened_at or 0)

local function put(...) redis.call('HSET', KEYS[1], ...) end
local function open()
  opened_at, failures, state = now, 0, 'open'
  put('state', 'open', 'opened_at', string.format('%.0f', now), 'failures', 0)
end

local before = forced ~= '' and forced or state
local refused = false
if act == 'force' then
  redis.call('DEL', KEYS[1])
  forced, state, failures, opened_at = argument, 'closed', 0, 0
  if argument ~= '' then
    opened_at = now
    put('forced', argument, 'opened_at', string.format('%.0f', now))
  end
elseif forced ~= '' or act == 'look' then
  -- Nothing changes.
elseif act == 'admit' then
  if state ~= 'closed' then
    local lasts = state == 'open' and open_for or lease
    local till = state == 'open' and opened_at + lasts or tonumber(is.probe_until)
    -- What ends later than it can was begun before the clock was set back.
    refused = now < till and till <= now + lasts
    if not refused then
      state = 'half_open'
      put('state', state, 'probe', argument, 'probe_until', string.format('%.0f', now + lease))
    end
  end
elseif act == 'succeed' then
  if state == 'half_open' and is.probe == argument then
    redis.call('DEL', KEYS[1])
    state, failures, opened_at = 'closed', 0, 0
  end
elseif act == 'fail' then
  if state == 'half_open' and is.probe == argument then
    open()
  elseif state == 'closed' then
    local since = now - tonumber(is.window_at or 0)
    if since < 0 or since >= window then
      failures = 0
      put('window_at', string.format('%.0f', now))
    end
    failures = failures + 1
    put('failures', failures)
    if failures >= most then open() end
  end
end
local after = forced ~= '' and forced or state
local allowed = not refused and after ~= 'open'
return {allowed and 1 or 0, before, after, forced, failures, opened_at}
