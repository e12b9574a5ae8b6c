"""The interactive documentation, and what FastAPI cannot say of lists in the OpenAPI document.

The files of the documentation are part of the package, so that it works offline.
"""

from asyncio import to_thread
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from pydantic_core import to_json

from app.api import error_examples, examples
from app.api.access import SECURITY_SCHEMES
from app.serving.item_details import COLUMNS

DOCUMENT = "/openapi.json"
PATHS = ("/docs", DOCUMENT)
FOLDER = "/static/"
"""They need no key: they are the same in every installation, and `/docs` is where a key is filled in."""

STATIC = Path(__file__).parent / "static"
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/static/swagger/swagger-ui.css">
<link rel="icon" href="/static/swagger/favicon-32x32.png">
<title>Reckon: API</title>
</head>
<body>
<div id="swagger-ui"></div>
<script src="/static/swagger/swagger-ui-bundle.js"></script>
<script src="/static/docs.js"></script>
</body>
</html>
"""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing but the vendored files and this service: a script that gets into a text cannot run or report. No other page
may show the documentation in a frame, and so lead a visitor to press its buttons.
"""

LIST_ITEMS = (
    *("RecommendedItem", "ExplainedItem", "FoundItem", "SimilarItem", "Prediction"),
    *("PopularItem", "TrendingItem", "NewItem"),
)
"""The components that describe an item of an answer."""


def install(app: FastAPI) -> None:
    """Adds `/docs` with its files, and completes `/openapi.json`."""
    describe = app.openapi

    # Made once: it takes longer than any list, and every answer 405 reads it.
    @cache
    def openapi() -> dict[str, Any]:
        document = describe()
        document["components"]["securitySchemes"] = SECURITY_SCHEMES
        _add_columns(document["components"]["schemas"])
        examples.complete(document)
        error_examples.complete(document)
        return document

    made = b""

    app.openapi = openapi  # type: ignore[method-assign]  # the framework's own way to extend the document

    # The framework's own route would make the document on the event loop, which takes 0.1 s. Once it is made, no thread
    # is needed: callers who ask for it all the time must not keep the threads from others.
    @app.get(DOCUMENT, include_in_schema=False)
    async def openapi_document() -> Response:
        nonlocal made
        made = made or await to_thread(lambda: to_json(app.openapi()))
        return Response(made, media_type="application/json")

    # FastAPI's own page loads its scripts from a public server, which an isolated network cannot reach, and holds an
    # inline script, which the policy would have to allow.
    app.mount("/static", StaticFiles(directory=STATIC), name="static")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(PAGE, headers={"Content-Security-Policy": POLICY, "X-Frame-Options": "DENY"})


def _add_columns(schemas: dict[str, Any]) -> None:
    # The classes of list items lack the columns of stored items, which are added to the JSON where `fields` names them.
    # None of them is required, so clients that do not use `fields` are not affected.
    stored = schemas["ItemOut"]["properties"]
    for name in LIST_ITEMS:
        schemas[name]["properties"] = {column: stored[column] for column in COLUMNS} | schemas[name]["properties"]
    schemas["Prediction"]["properties"]["title"] = stored["title"]
