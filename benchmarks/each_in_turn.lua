-- Another one each time: the path's %d counts from the first number given to the last, and begins again.
local path, first, last, n

function init(args)
  path, first, last = args[1], tonumber(args[2]), tonumber(args[3])
  n = first - 1
end

function request()
  n = n < last and n + 1 or first
  return wrk.format("GET", string.format(path, n))
end
