"""Step 5: one training run, from ratings to a live snapshot: load, hold out, fit, measure, gate, refit, publish.

Owns the recipe (segments, algorithms and hyperparameters), its resolution by the data, the weights of the segments, the
report on the hold-out, the gate in front of publication and the assembly of a snapshot's arrays. `run.py` is the list
of steps; each step is a file. The package `segments` learns and chooses the single segments.

Decisions, and why:

- **`auto` is resolved inside the training part** (`resolve.py`): the rating learner by RMSE, the taste by a line search
  over its two settings, the weights by nDCG on shortlists. The hold-out is read once, for the report. Of large data,
  users are drawn at random, and the work depends on the size of the data alone, never on a clock: equal seeds give
  equal snapshots.
- **Events are cut where the hold-out begins** (`dataset.py`), for each user, as ratings are. Where all events are newer
  than the held-out ratings, no segment can show that it learned from them, and `engagement` gets no weight.
- **The live snapshot is a bar only where the data are the same** (`live.py`, `overlap.py`). Its recorded figure counts
  if users, items and ratings largely are; otherwise its recipe is fitted again. Where most of what it knows is gone,
  the candidate is judged alone. Refused: scoring the live vectors as they are, since they have seen the hold-out;
  fitting the candidate's own recipe a second time, which compares it with itself and doubles the time of a run.
- **Hold-out errors give the uncertainty of a prediction** (`uncertainty.py`) where the learner gives none: from the
  counts of ratings of user and item, and from how well the user's own ratings are fitted. No extra fit is made.
- **Every step is a `Stage`** (`algorithms/progress.py`): a progress callback that logs durations, figures and decisions
  by structlog. The worker writes them as its log, and `reckon train` shows them. Functions that take a `progress` log
  nothing when they are called with a plain callback, as experiments do.

May import: evaluation, scoring, segments, snapshots, algorithms, store. Never serving, never settings: the worker
passes the values that training needs.

Refused: training inside an API process (numba, all cores, minutes); publishing every result (a worse list is worse than
an old one, so the gate decides); scoring a snapshot on ratings that it was learned from.
"""
