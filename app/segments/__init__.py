"""Step 5a: segments, whose scores add up to the score of an item. One file is one segment.

Owns, for each segment: its algorithms and the choice among them by data, its fit, the fold-in of one user, its state as
numbers and arrays, the parts of items and users that have features alone, the influence of each observation on the
score, and the check of a state that was read. `base.py` is the interface; `registry.py` lists the segments. Other
packages handle segments through the registry. They name one only where they mean that one: predicted ratings come from
`rating`, and the fallback list ranks by `popularity`.

May import: algorithms, entities and errors. Every API process imports this package, so learners and numba are imported
only inside the methods that fit. Not imported: snapshots, which stores arrays without interpreting them.
"""
