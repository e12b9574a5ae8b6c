"""Step 4: measure how good an algorithm is.

This package owns splits, metrics, cross-validation, the search for hyperparameters and the report. It does no I/O and
imports `algorithms`, `entities` and `errors`. Code that needs recipes is in `training`; the commands `evaluate` and
`tune` join both.

Each metric is defined in the docstring of the function that computes it. Ranking metrics are computed on the full
catalogue, because a sample of candidates can change which algorithm looks better (Krichene & Rendle 2020).
"""
