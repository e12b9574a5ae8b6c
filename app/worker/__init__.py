"""The training loop. It is a door like the API, for jobs instead of requests.

This package decides which worker runs which job and when a job is due: claims, heartbeats, takeover of jobs whose
worker is silent, triggers, and removal of old snapshots and tombstones. It may import training and the layers below,
and settings. The `training_jobs` table is the queue.

Rejected alternative: a task library. It needs a broker, and it loses the task of a killed worker, so the table would be
needed beside it.
"""
