"""What the README says of the code is so."""

import re
from pathlib import Path

from app.settings import Settings

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_settings_table() -> None:
    """One row a setting, in order: its variable, default and description."""
    rows = [
        f"| `RECKON_{name.upper()}` | {f'`{field.default}`' if str(field.default) else ''} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    table = re.findall(r"^\| `RECKON_.*\|$", README, flags=re.MULTILINE)
    assert table == rows


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(((?!https?:)[^)#]+)\)", README)
    assert links
    for link in links:
        assert (Path(__file__).parents[1] / link).exists(), link
