"""Step 8: JSON over HTTP.

This package owns paths, schemas and the form of errors. It makes no decision about what to recommend.

Each file exports one `router` of handlers, which are functions of the module. A handler reads its input, calls one of
the objects of `service_of(request)`, and builds the response.

Handlers of lists run on the event loop: their reads take 10 us from a SQLite file, and on Postgres one query serves all
requests that wait at the same time. Other handlers that use the database are plain functions, which the framework runs
in threads.

The OpenAPI document has an example of every parameter, body and field (`examples.py`) and of every error
(`error_examples.py`). They are filled in by `/docs`, and tests send them.
"""
