"""Step 5: one training run, from ratings to a live snapshot: load, hold out, fit, measure, gate, refit, publish.

Owns the recipe (which algorithms, which settings), what the data make of it, the blend of the segments, the report on
the hold-out, the gate in front of publication and the assembly of a snapshot. `run.py` is the list of steps; each step
is a file.

What is settled here, and why:

- **`auto` is settled inside the training part** (`resolve.py`): the rating learner by RMSE, the taste by a line search
  over its two settings, the weights by nDCG on shortlists. The hold-out is read once, for the report. Of large data,
  users are drawn by lot, and the work depends on the size of the data alone, never on a clock: equal seeds, equal
  snapshots.
- **What events say is cut where the hold-out begins** (`dataset.py`), per user as ratings are. Where all events are
  newer than what is held out, nothing can prove them useful, and what must earn a weight (`engagement.py`) gets none.
- **Hold-out errors give the uncertainty of a prediction** (`uncertainty.py`) where the learner gives none: by how many
  ratings user and item have and how well the user's own ratings are fitted. No extra fit is made.
- **Ratings weigh choices**: a better rating counts for more as an observation, which does more for the lists than any
  other setting of the taste (nDCG@10 on ml-latest-small 0.124, and 0.094 with all observations alike).
- **A gap is filled by a map, not a rule**: what has no ratings gets its vector from its features and enters the same
  dot product (`cold_start.py`).

May import: evaluation, snapshots, algorithms, store. Never serving, never settings: the worker passes what it needs.

Refused: training inside an API process (numba, all cores, minutes); publishing whatever came out last (a worse list is
worse than an old one, so the gate decides); scoring a snapshot on ratings it has learned from.
"""
