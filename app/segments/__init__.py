"""Step 5a: the parts that a score is the sum of. One file is one segment.

Owns, for each segment: the algorithms it may be learned by and how the data choose among them, its fit, the fold-in of
one user, its state as numbers and arrays and back, what its parts say of items and users that have features alone,
which observations carry how much of its score, and the check of what was read. `base.py` is the interface;
`registry.py` lists the segments. No other package knows the segments by name, except where one is meant and not all of
them: predicted ratings come from `rating`, and the fallback list ranks by `popularity`.

May import: algorithms, entities and errors. Every API process imports this package, so learners and numba are imported
only where something is fitted. Not imported: snapshots, which knows arrays and not their meaning.
"""
