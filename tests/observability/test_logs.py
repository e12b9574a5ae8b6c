"""What must not be in the log."""

import io
from contextlib import redirect_stderr

import pytest
import structlog

from app.auth.keys import new_text
from app.observability.logs import configure_logs


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_secrets_are_redacted(log_format: str) -> None:
    key, token = new_text("secret"), "ut_" + "A1-_" * 20
    lines = io.StringIO()
    with redirect_stderr(lines):
        configure_logs(log_format)
        log = structlog.get_logger()
        try:
            int(key)
        except ValueError:
            log.exception("failed", path=f"/users/{key}", tokens=[token])
    assert key[:16] in lines.getvalue()
    assert key[16:] not in lines.getvalue()
    assert token[3:] not in lines.getvalue()
