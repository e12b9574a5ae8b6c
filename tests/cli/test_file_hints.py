"""The options on files that `import`, `evaluate` and `tune` share."""

from pathlib import Path

import pytest

from app.cli.file_hints import file_hints
from app.errors import InvalidInputError
from app.intake.column_names.columns import Kind
from tests.support.commands import reckon


def test_all_options() -> None:
    hints = file_hints("user=a,item=b", "ratings", "latin-1", ["0, 99", "x"], "%d/%m/%Y")
    assert hints.columns.naming.renamed == {"a": "user_id", "b": "item_id"}
    assert (hints.kind, hints.encoding, hints.date_format) == (Kind.RATINGS, "latin-1", "%d/%m/%Y")
    assert hints.missing == {"0", "99", "x"}


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("kind", "films", "--kind 'films' is none of placements, event_types, items, users, ratings, events"),
        ("encoding", "utf-9", "--encoding 'utf-9' is not an encoding of text"),
        ("encoding", "base64", "--encoding 'base64' is not an encoding of text"),
        ("encoding", "a\0b", "is not an encoding of text"),
        ("missing", [""], "--missing takes values"),
        ("missing", ["0,,1"], "--missing takes values"),
        ("date_format", "dd/mm/yyyy", "needs year, month and day"),
        ("date_format", "%d/%m", "needs year, month and day"),
        ("date_format", "%Q", "needs year, month and day"),
    ],
)
def test_malformed(option: str, value: object, problem: str) -> None:
    with pytest.raises(InvalidInputError, match=problem):
        file_hints(None, **{option: value})  # type: ignore[arg-type]  # one option of several types


@pytest.mark.parametrize("date_format", ["%d/%m/%Y", "%m/%d/%y %H:%M", "%Y%m%d", "%d %b %Y"])
def test_date_formats(date_format: str) -> None:
    assert file_hints(None, date_format=date_format).date_format == date_format


@pytest.mark.parametrize("command", ["import", "evaluate", "tune"])
def test_one_recogniser(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The three commands refuse the same file with the same words, and take the same options."""
    monkeypatch.setenv("RECKON_DATA_DIR", str(tmp_path))
    reckon("migrate")
    path = tmp_path / "table.csv"
    path.write_text("Kunde,sku,Stars\nu1,i1,4\nu2,i2,5\n")
    refused = reckon(command, path)
    assert refused.exit_code == 1
    assert "--columns user=Kunde,item=sku,rating=Stars\n" in refused.errors
    for options in (
        ("--kind", "x"),
        ("--encoding", "x"),
        ("--missing", ""),
        ("--date-format", "x"),
        ("--columns", "x"),
    ):
        assert f"reckon: {options[0]} " in reckon(command, path, *options).errors
