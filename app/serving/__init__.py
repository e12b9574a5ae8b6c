"""Step 7: one answer. Retrieval proposes, ranking scores by one dot product, rules reorder or drop.

Reads snapshots (never FAISS itself) and the store; writes nothing: a GET leaves no trace. `recommend.py` is the list of
steps; one source = one file in `retrieval/`, one rule = one file in `reranking/`.

Decided: a rule that only drops acts on the mask of eligible items before retrieval, so that a list is as long as was
asked for while that many items are eligible. Whole answers are kept as bytes under an entity tag that is made of every
version the answer depends on: one small read tells whether it still holds. What is aggregated over all users (trends,
and popularity before anything is learned) follows within one poll; what a user, an item or an operator wrote is in the
next answer. Refused: similar items of a large catalogue on the way of a list (ten scans), see `retrieval/similar.py`.
"""
