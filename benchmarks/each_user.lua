-- Another user each time: the path's %d counts from 1 to the number given, and begins again.
local n, last, path = 0, 1, "/"

function init(args)
  path = args[1]
  last = tonumber(args[2])
end

function request()
  n = n % last + 1
  return wrk.format("GET", string.format(path, n))
end
