"""Step 3: the learners. Arrays in, arrays out.

One learner is one file: a frozen dataclass whose fields are its hyperparameters and whose `fit` takes a `RatingMatrix`
and a random generator and returns what it learned. No files, no clock, no settings, no database; progress leaves
through a callback. May import numpy, scipy, numba and this package; of app nothing else, so its errors are its own.

What is settled here, and why:

- **What is predicted** is r^_ui = mu + b_u + b_i + p_u . q_i, in the caller's own scale (`RatingVectors`).
- **One penalty everywhere**: a row with m ratings is penalised by regularization (m + 60), its bias by 60
  regularization (`fold_in.py`). A constant alone (Salakhutdinov & Mnih 2007) overfits rows of thousands of ratings: at
  its best value RMSE is 1 to 4 % higher (ml-latest-small 0.848, not 0.842). Weighted by m alone (Zhou et al. 2008), a
  row of one rating is hardly held at all, and a new user's bias follows that rating: learning must be stopped at the
  right epoch. With the sum it converges instead.
- **The noise sets its size**: the penalty is in units of the error variance on a held-out slice, the maximum a
  posteriori estimate under a prior that knows only the spread of the ratings. Without this, a value that suits film
  ratings costs 15 % of RMSE where ratings follow a few factors with little noise. With it, the defaults came within 1 %
  of the best of a grid on each of nine data sets: real and generated, scales 0.5-5, 1-10, -10-10 and 0-100, 3,000 to
  1,000,000 ratings, density 0.1 to 50 %, noise 10 to 75 % of the variance.
- **Where the draws of a posterior are known, the penalty is learned, too** (`bayesian_mf_prior.py`): full matrices for
  what all users have in common and for what each rating adds, of which the penalty above is the simplest case. What
  users and items yet to come share lies in mean and biases, so that rows without ratings are zeros here as well.
- **The user side is always the fold-in** of every user against the final item side: what serving computes for a
  changed user is what it maps for an unchanged one. It is also as good as or better than the user side SGD ends with.
- `fold_in.py`, `engagement_fold_in.py` and `rating_vectors.py` never import numba, and `by_name.py` only when something
  is fitted: an API process folds in and validates recipes without paying a second and 60 MB for a compiler.
- Refused: numba's `parallel=True` and Hogwild (Niu et al. 2011), whose result depends on timing; an exact solution of
  the item side after SGD (a half-step of ALS), which overfits the rare items: RMSE rose on most data sets; a penalty
  picked by grid inside `fit`, which costs as many fits and gained less than 0.5 %; a second fit once the held-out slice
  has done its work: the last third of the epochs takes it in as well, at no cost.
"""
