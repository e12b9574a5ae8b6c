"""Step 8, a door: JSON over HTTP. Owns paths, schemas and the form of problems; decides nothing about recommending.

Each file makes one router from exactly the objects its handlers use. Handlers that touch the database are plain
functions, which the framework runs in threads; the recommendations are answered on the event loop where the database
is a local file, because there a read costs less than handing it to a thread.
"""
