"""Step 4: how good is it. Owns splits, metrics, cross-validation, the search for hyperparameters and the report.

Arrays in, figures out; no I/O. Imports `algorithms` and entities. What needs recipes is in `training`; the commands
`evaluate` and `tune` add it. Definitions stand where they are computed. Ranking metrics are computed on the full
catalogue, since sampled candidates change which algorithm looks better (Krichene & Rendle 2020).
"""
