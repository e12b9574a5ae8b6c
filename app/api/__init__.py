"""Step 8, a door: JSON over HTTP. Owns paths, schemas and the form of problems; decides nothing about recommending.

Each file makes one router from exactly the objects its handlers use. Lists are answered on the event loop: what they
read takes 10 us from a local file, and is asked of Postgres for all who wait at once. Other handlers that touch the
database are plain functions, which the framework runs in threads.
"""
