"""`python -m faults.shifted_clock SECONDS MODULE ARGUMENTS...`: run a module whose clock is wrong by so many seconds.

The clock of the day is shifted; the monotonic clock is not, as if someone had set the former.
"""

import runpy
import sys
import time


def main() -> None:
    shift_seconds, module = float(sys.argv[1]), sys.argv[2]
    real_time, real_time_ns = time.time, time.time_ns
    time.time = lambda: real_time() + shift_seconds
    time.time_ns = lambda: real_time_ns() + round(shift_seconds * 1e9)
    sys.argv = [module, *sys.argv[3:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
