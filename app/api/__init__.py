"""Step 8: JSON over HTTP.

This package owns paths, schemas and the form of errors. It makes no decision about what to recommend.

Each file exports one `router` of handlers, which are functions of the module. A handler reads its input, calls one of
the objects of `service_of(request)`, and builds the response.

Handlers of lists run on the event loop: their reads take 10 us from a SQLite file, and on Postgres one query serves all
requests that wait at the same time. No request holds the loop for more than 20 ms: bodies and query strings are bounded
before they are read (`json_limits.py`), long answers run in threads (`app.serving.work_threads`), and what is done for
each of many items is done in slices, with `sleep(0)` between. `python -m faults event_loop` measures it.

Other handlers that use the database are plain functions, which the framework runs in threads.

The OpenAPI document has an example of every parameter, body and field (`examples.py`) and of every error
(`error_examples.py`). They are filled in by `/docs`, and tests send them.
"""
