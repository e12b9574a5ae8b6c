"""Step 7: one answer. Retrieval proposes, ranking scores by one dot product, rules reorder or drop.

Reads snapshots (never FAISS itself) and the store; writes nothing: a GET leaves no trace. `recommend.py` is the list of
steps; one source = one file in `retrieval/`, one rule = one file in `reranking/`.

Decided: a rule that only drops acts on the mask of eligible items before retrieval, so that a list is as long as was
asked for while that many items are eligible. Refused: caching of whole answers (a user's next request must know the
rating they just gave, and checking that is what most of an answer costs).
"""
