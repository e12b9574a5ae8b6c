"""Every example of the client's README runs."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

import app.client

README = Path(app.client.__file__).with_name("README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples(example: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reckon_client", app.client)
    text = example.replace("http://127.0.0.1:8000", address).replace(" Reckon()", f" Reckon({address!r})")
    names: dict[str, Any] = {"__name__": "example"}
    exec(text.replace("Reckon(read", f"Reckon({address!r}, read"), names)  # noqa: S102  our own text
    if "reckon" in names:
        names["reckon"].close()


def test_names_are_there() -> None:
    names = set(re.findall(r"`(\w+Error|\w*Reckon|Retries|NO_RETRIES)`", README))
    assert names <= set(app.client.__all__)
