"""What operators see: metrics and logs. Owns their names; everything above may report through it.

No user or item ids in metric labels; paths are templates. Metrics hang from one object that the wiring builds, not from
the library's global registry, so that two services fit into one process.
"""
