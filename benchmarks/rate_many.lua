-- POST of 1,000 new ratings each time: 50 users, 20 items each.
local users, items, n = 1, 1, 0

function init(args)
  users, items = tonumber(args[2]), tonumber(args[3])
  wrk.headers["content-type"] = "application/json"
end

function request()
  local rows = {}
  for row = 1, 1000 do
    local user, item = (n * 50 + math.floor((row - 1) / 20)) % users + 1, (n * 31 + row * 13) % items
    rows[row] = string.format('{"user_id": "u%d", "item_id": "i%d", "value": %d}', user, item, row % 5 + 1)
  end
  n = n + 1
  return wrk.format("POST", "/ratings/batch", nil, '{"ratings": [' .. table.concat(rows, ",") .. "]}")
end
