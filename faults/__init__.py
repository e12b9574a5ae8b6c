"""The fault suite: breaks a running service in every way that it promises to survive, and prints what happened.

`make faults` runs everything, for hours; `make faults-short` runs every fault once, in minutes. A fault is one file
with a function `run`, and one line of `registry.py`.
"""
