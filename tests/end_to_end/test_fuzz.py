"""Requests made from our own OpenAPI document, against the running service: no 5xx, nothing undocumented.

Requests without a valid key are those of `tests/api/test_access.py`: many of them are refused with 429.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.keys import stored_key
from tests.support.published import opened_shop
from tests.support.service import Instance
from tests.support.user_states import tasteful_ratings

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
)


def test_generated_requests(tmp_path: Path) -> None:
    with opened_shop(tmp_path, tasteful_ratings()) as shop:
        shop.train()
        key = stored_key(shop.store, "admin")
    command = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    assert command
    with Instance(tmp_path).serving("--no-worker") as service:
        options = (
            "--header",
            f"Authorization: Bearer {key}",
            "--max-examples",
            "15",
            "--phases",
            "fuzzing",
            "--seed",
            "1",
            "--checks",
            ",".join(CHECKS),
        )
        fuzzed = subprocess.run(
            [command, "run", f"{service.address}/openapi.json", *options],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
    assert fuzzed.returncode == 0, fuzzed.stdout
