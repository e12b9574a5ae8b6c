"""Step 3: the learners. Arrays in, arrays out.

One learner is one file: a frozen dataclass whose fields are its hyperparameters and whose `fit` takes a `RatingMatrix`
and a random generator and returns vectors or a table. No files, no clock, no settings, no database; progress is
reported through a callback. The package may import numpy, scipy, numba and itself (torch in one file), and nothing else
of app; it therefore has its own errors, which training maps.

    learner            result            fold-in of one user    compiled kernels
    biases             RatingVectors     fold_in                ridge_kernel (all users)
    funk_svd           RatingVectors     fold_in                sgd_kernel, through block_sgd
    als                RatingVectors     fold_in                ridge_kernel
    bayesian_mf        RatingVectors     fold_in                gibbs_kernel, through gibbs; posterior_summary
    content_linear     RatingVectors     fold_in
    svd_plus_plus      SVDPlusPlusVectors                       svd_plus_plus_kernel
    als_implicit       TasteVectors      TasteFoldIn            als_kernel
    logistic           EngagementVectors EngagementFoldIn       logistic_kernel
    two_tower          TowerVectors      Tower.embed            (torch)
    knn                NeighbourPredictor
    ease               ItemWeights       history @ outgoing     cooccurrence_kernel
    transitions        HistoryTable      history @ table        cooccurrence_kernel
    slim, sparse_transitions (one file)
                       HistoryTable      history @ table        cooccurrence_kernel, slim_kernel

Conventions in equations: u a user, i and j items, r_ui a rating, mu the mean, b_u and b_i biases, p_u and q_i factors
of the rating segment, x_u and y_i of the taste segment, m_u and m_i numbers of ratings, k the number of factors. A row
is an index of a matrix, never a public id. Vectors are float32; sums over many terms and linear systems are float64.

Decisions, and why:

- **The prediction** is r^_ui = mu + b_u + b_i + p_u . q_i, in the caller's own scale (`RatingVectors`).
- **One penalty everywhere**: a row with m ratings has the penalty regularization (m + 60), its bias 60 regularization
  (`fold_in.py`). A constant alone (Salakhutdinov & Mnih 2007) overfits rows with thousands of ratings: at its best
  value RMSE is 1 to 4 % higher (ml-latest-small 0.848 instead of 0.842). Weighted by m alone (Zhou et al. 2008), a row
  with one rating is hardly penalised, and the bias of a new user follows that rating, so learning must be stopped at
  the right epoch. With the sum it converges instead.
- **The noise is the unit of the penalty**: it is multiplied by the error variance on a held-out slice, which makes the
  result the maximum a posteriori estimate under a prior that knows only the variance of the ratings. Without this, a
  value that suits film ratings costs 15 % of RMSE where ratings follow a few factors with little noise. With it, the
  defaults came within 1 % of the best of a grid on each of nine data sets: real and generated, scales 0.5-5, 1-10,
  -10-10 and 0-100, 3,000 to 1,000,000 ratings, density 0.1 to 50 %, noise 10 to 75 % of the variance.
- **Where posterior draws exist, the penalty is estimated, too** (`posterior_summary.py`): full matrices for the prior
  of all users and for what each rating adds, of which the penalty above is the simplest case. The means of users and
  of future items are part of the mean and the biases, so rows without ratings are zeros here as well.
- **The user side is always the fold-in** of every user against the final item side: a changed user, folded in by the
  service, gets the vector that training would have given. It is as good as the user side that SGD ends with, or better.
- **One schedule** for learners that need a validation error (`early_stopping.py`).
- **Item-item weights are cut by row** (`ease`, `transitions`, `slim`): the strongest entries of what each item
  proposes, negative ones as well. At 100 entries a row nothing is lost (game purchases, nDCG@10: 0.478); by column
  0.469 is left, and without the negative entries 0.468.
- **A regression on 200 neighbours replaces the closed form** of a large catalogue (`slim.py`): it reached 0.480 against
  0.478 on game purchases of 5,155 games, and with 100 neighbours 0.060 against 0.060 on toys (11,924), in seconds.
- **The penalty of item-item weights has the unit of the mean history length** (`cooccurrence.history_length`). The next
  item is best learned with a slow decay and a large penalty, and scored with a faster decay: toys, nDCG@10: 0.0750 with
  0.9, 30 and 0.7; 0.0683 with 0.8, 3 and 0.7.
- `fold_in.py`, `engagement_fold_in.py` and the `..._vectors.py` never import numba, and `by_name.py` imports it only
  when something is fitted: an API process folds in and validates recipes without a second and 60 MB for a compiler.
- Refused: numba's `parallel=True` and Hogwild (Niu et al. 2011), whose results depend on timing; an exact solution of
  the item side after SGD (a half-step of ALS), which overfits rare items and raised RMSE on most data sets; a penalty
  chosen by grid inside `fit`, which costs as many fits and gained less than 0.5 %; a second fit from scratch after the
  search: the last third of the epochs learns from the held-out slice as well, at no cost.
"""
