"""Step 7: one answer. Sources propose, ranking scores by one dot product, rules reorder or drop.

    request_state.py   one version of user, snapshot, catalogue and placements, and the time; entity tags
    user_state.py      what is known of the user: mapped from the snapshot, or folded in
    recommend.py       the steps of every list, observed by a `Trace` (`candidates.py`)
    parts.py           what sources, restrictions and rules of order declare, and the context of one request
    retrieval/         one file a source, one line of its registry
    reranking/         one file a rule, one line of its registry
    placement.py       the settings, derived from the registries; `placement_config.py` compiles them
    costs.py           how long an answer takes, estimated; work_threads.py runs it on the event loop or in a thread
    home.py, mixes.py, rankings.py, exclusion.py, explain.py   configurations and observers of the same steps

Reads snapshots (never FAISS itself) and the store; writes nothing: a GET stores nothing.

Decided: a rule that only drops acts on the mask of eligible items before retrieval, so that a list is as long as
requested while that many items are eligible. A placement is compiled to the parts that are on, and a request calls
those alone. Whole answers are kept as bytes under an entity tag made of every version the answer depends on: one small
read decides whether it is still right. Aggregates over all users (trends, and popularity before anything is learned)
follow within one poll; what a user, an item or an operator wrote is in the next answer.
"""
