"""Step 8, a door: JSON over HTTP. Owns paths, schemas and the form of problems; decides nothing about recommending.

Each file exports one `router` of handlers, which are functions of the module. A handler reads its input, calls one of
the objects of `service_of(request)`, and makes the answer.

Lists are answered on the event loop: their reads take 10 us from a local file, and one query of Postgres serves all
requests that wait at the same time. Other handlers that touch the database are plain functions, which the framework
runs in threads.
"""
