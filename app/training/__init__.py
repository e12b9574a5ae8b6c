"""Step 5: one training run, from ratings to a live snapshot: load, hold out, fit, measure, gate, refit, publish.

Owns the recipe (which algorithms, which settings), the blend of the segments, the report on the hold-out, the gate in
front of publication and the assembly of a snapshot. `run.py` is the list of steps; each step is a file.

May import: evaluation, snapshots, algorithms, store. Never serving, never settings: the worker passes what it needs.

Refused: training inside an API process (numba, all cores, minutes); publishing whatever came out last (a worse list is
worse than an old one, so the gate decides); scoring a snapshot on ratings it has learned from.
"""
