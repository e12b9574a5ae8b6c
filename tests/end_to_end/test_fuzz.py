"""Requests made from our own OpenAPI document, against the running service: no 5xx, nothing undocumented."""

import shutil
import subprocess
import sys
from pathlib import Path

from app.store import migrate
from tests.support.service import Instance, write_ratings

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
)


def test_generated_requests(tmp_path: Path) -> None:
    migrate("", tmp_path)
    instance = Instance(tmp_path)
    instance.run("import", str(write_ratings(tmp_path / "ratings.csv")))
    instance.run("train")
    command = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    assert command
    with instance.serving("--no-worker") as service:
        options = ("--max-examples", "15", "--phases", "fuzzing", "--seed", "1", "--checks", ",".join(CHECKS))
        fuzzed = subprocess.run(
            [command, "run", f"{service.address}/openapi.json", *options],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
    assert fuzzed.returncode == 0, fuzzed.stdout
