"""Step 3: the learners. Arrays in, arrays out.

One learner is one file: a frozen dataclass whose fields are its hyperparameters and whose `fit` takes a `RatingMatrix`
and a random generator and returns what it learned. No files, no clock, no settings, no database; progress leaves
through a callback. May import numpy, scipy, numba and this package; of app nothing else, so its errors are its own.

What is settled here, and why:

- **What is predicted** is r^_ui = mu + b_u + b_i + p_u . q_i, in the caller's own scale (`RatingVectors`).
- **One penalty everywhere**: a row with m ratings is penalised by regularization (m + 60), its bias by 60
  regularization (`fold_in.py`). Weighted by m alone (Zhou et al. 2008), a row of one rating is hardly held at all and
  its bias follows that rating; as a constant alone (Salakhutdinov & Mnih 2007), rows of thousands of ratings overfit.
  The sum predicts better than either on every data set tried, and makes training converge instead of having to be
  stopped in time: ml-latest-small RMSE 0.843 against 0.850 (m alone, best epoch) and 0.848 (constant, best epoch).
- **The noise sets its size**: the penalty is in units of the error variance on a held-out slice, the maximum a
  posteriori estimate under a prior that knows only the spread of the ratings. Without this, a value that suits film
  ratings costs 15 % of RMSE where the ratings follow few factors with little noise.
- **The user side is always the fold-in** of every user against the final item side: what serving computes for a
  changed user is what it maps for an unchanged one. It is also as good as or better than the user side SGD ends with.
- `fold_in.py` and `rating_vectors.py` never import numba, and `by_name.py` only when something is fitted: an API
  process folds in and validates recipes without paying a second and 60 MB for a compiler.
- Refused: numba's `parallel=True` and Hogwild (Niu et al. 2011), whose result depends on timing; the cold exact
  solution of the item side after SGD (an ALS half-step), which overfits what early rounding had held back: RMSE rose
  on most data sets tried; a penalty or learning rate picked by grid inside `fit`, which costs as many fits and gained
  less than 0.5 %.
"""
