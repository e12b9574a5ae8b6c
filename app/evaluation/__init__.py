"""Step 4: how good is it. Owns splits, metrics and cross-validation; definitions stand where they are computed.

Arrays in, figures out; no I/O. May import `algorithms` and entities. Ranking metrics are computed on the full
catalogue: sampled candidates change which algorithm looks better (Krichene & Rendle 2020).
"""
