"""What the README says of the code is so."""

import re
from pathlib import Path

from app.intake.generated import generate_catalogue
from app.settings import Settings
from tests.support.real_data import MOVIELENS, needs_movielens

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


ITEM_IDS = {
    *re.findall(r'"item_id": ?"(\w+)"', README),
    *re.findall(r"\brate (\d+) ", README),
    *re.findall(r"/items/(\d+)", README),
    *re.findall(r"/explain/(\d+)", README),
}


def test_ids_are_in_the_generated_catalogue() -> None:
    """So that the session works where MovieLens cannot be downloaded."""
    assert len(ITEM_IDS) > 5
    assert {item.item_id for item in generate_catalogue().items} >= ITEM_IDS


@needs_movielens
def test_ids_are_in_movielens() -> None:
    lines = (MOVIELENS / "movies.csv").read_text(encoding="utf-8").splitlines()
    assert {line.partition(",")[0] for line in lines} >= ITEM_IDS
