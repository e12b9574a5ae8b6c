-- POST of one new rating each time, user by user.
local users, items, n = 1, 1, 0

function init(args)
  users, items = tonumber(args[2]), tonumber(args[3])
  wrk.headers["content-type"] = "application/json"
end

function request()
  n = n + 1
  local user, item = n % users + 1, math.floor(n / users) * 7 % items
  local body = string.format('{"user_id": "u%d", "item_id": "i%d", "value": %d}', user, item, n % 5 + 1)
  return wrk.format("POST", "/ratings", nil, body)
end
