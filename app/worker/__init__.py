"""The training loop: a door like the API, for jobs instead of requests.

Owns who works which job and when one is due: claims, heartbeats, takeover of a silent worker's job, triggers, clearing
up. May import training and below, and settings. The `training_jobs` table is the queue.

Refused: a task library (a broker to run, and its tasks die with their worker, so the table would be needed anyway).
"""
