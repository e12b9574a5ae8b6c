"""`reckon openapi`: prints the OpenAPI document, for generators of clients."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import typer


def openapi() -> None:
    """Print the OpenAPI document of this release as JSON. Reads no database and needs no running service."""
    from app.main import create_app
    from app.settings import Settings
    from app.store import migrate

    # The application is built on a database, which the document does not depend on.
    with TemporaryDirectory() as folder:
        settings = Settings(database_url="", data_dir=Path(folder))
        migrate(settings.database_url, settings.data_dir)
        typer.echo(json.dumps(create_app(settings).openapi(), indent=2))
