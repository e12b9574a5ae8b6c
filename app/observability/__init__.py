"""Metrics and logs for operators. Owns their names; every package above may report through it.

Metric labels hold no user or item ids, and paths are templates: the number of time series stays bounded. Metrics belong
to one object that the wiring builds, not to the library's global registry, so that two services fit into one process.
"""
