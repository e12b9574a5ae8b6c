"""Positions of items in the catalogue."""

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]

NO_ROWS: Rows = np.empty(0, dtype=np.int64)
