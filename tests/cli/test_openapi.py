"""`reckon openapi` prints what the service answers at `/openapi.json`."""

import json
from pathlib import Path

from fastapi.testclient import TestClient
from typer.testing import CliRunner

from app.cli import cli
from app.main import create_app
from app.settings import Settings
from app.store import migrate


def test_the_document_of_the_service(tmp_path: Path) -> None:
    printed = CliRunner().invoke(cli, ["openapi"])
    assert printed.exit_code == 0, printed.output
    migrate("", tmp_path)
    with TestClient(create_app(Settings(database_url="", data_dir=tmp_path))) as api:
        assert json.loads(printed.stdout) == api.get("/openapi.json").json()


def test_rows_of_batches_are_described() -> None:
    schemas = json.loads(CliRunner().invoke(cli, ["openapi"]).stdout)["components"]["schemas"]
    for batch, rows, row in (("RatingsIn", "ratings", "RatingIn"), ("EventsIn", "events", "EventIn")):
        assert {"$ref": f"#/components/schemas/{row}"} in schemas[batch]["properties"][rows]["items"]["anyOf"]
