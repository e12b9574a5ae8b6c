"""`reckon tenants`, and the commands that work on one tenant."""

import json
from pathlib import Path

import pytest

from app.errors import UnavailableError
from app.store import Store, migrate
from app.tenancy import lifecycle
from tests.support.commands import reckon
from tests.support.old_schema import take_back
from tests.support.service import write_ratings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RECKON_DATA_DIR", str(tmp_path / "var"))
    monkeypatch.setattr(lifecycle, "KNOWN_SECONDS", 0.0)
    migrate("", tmp_path / "var")
    return tmp_path


def states() -> dict[str, str]:
    return {each["name"]: each["state"] for each in json.loads(reckon("tenants", "list", "--json").output)}


def test_a_life(folder: Path) -> None:
    assert "there are no tenants" in reckon("tenants", "list").output
    for name in ("shop", "news"):
        assert reckon("tenants", "create", name).exit_code == 0
    assert "it is active" in reckon("tenants", "create", "shop").errors
    ratings = write_ratings(folder / "ratings.csv")
    assert reckon("--tenant", "shop", "import", ratings).exit_code == 0
    assert reckon("tenants", "suspend", "shop").exit_code == 0
    assert states() == {"shop": "suspended", "news": "active"}
    assert reckon("tenants", "resume", "shop").exit_code == 0
    assert "active" in reckon("tenants", "list").output
    exported = reckon("tenants", "export", "shop", folder / "export")
    assert "ratings           1,080" in exported.output
    assert reckon("--tenant", "news", "import", folder / "export").exit_code == 0
    again = reckon("--tenant", "news", "export", folder / "again", "--json")
    assert json.loads(again.output)["ratings"] == 1_080
    # Nothing of it is in the main catalogue.
    assert json.loads(reckon("export", folder / "main", "--json").output)["ratings"] == 0
    assert reckon("tenants", "delete", "shop", "--yes").exit_code == 0
    assert states() == {"news": "active"}
    assert [path.name for path in (folder / "var" / "tenants").iterdir()] == ["news"]
    acts = [line.split("  ")[2:] for line in reckon("audit").output.splitlines()]
    assert ["tenants.delete", "shop", "succeeded"] in acts
    assert ["tenants.create", "shop", "conflict"] in acts


def test_keys_of_a_tenant() -> None:
    refused = reckon("keys", "create", "--scope", "console", "--tenant", "shop")
    assert refused.errors == "reckon: there is no tenant 'shop'\n"
    assert "no keys" in reckon("keys", "list").output
    reckon("tenants", "create", "shop")
    made = reckon("keys", "create", "--scope", "console", "--tenant", "shop", "--json")
    assert json.loads(made.output)["tenant"] == "shop"
    by_variable = reckon("--tenant", "shop", "keys", "create", "--scope", "console", "--json")
    assert json.loads(by_variable.output)["tenant"] == "shop"
    assert reckon("keys", "list").output.count("shop") == 2
    reckon("tenants", "delete", "shop", "--yes")
    assert reckon("keys", "list").output.count("revoked") == 2


def test_no_slip_makes_a_database(folder: Path) -> None:
    for command in (["migrate"], ["export", folder / "x"], ["train"]):
        assert reckon("--tenant", "shop", *command).errors == "reckon: there is no tenant 'shop'\n"
    assert "RECKON_TENANT: String should match" in reckon("--tenant", "../x", "migrate").errors
    for command in (["serve"], ["worker"], ["tenants", "list"]):
        assert "concerns all tenants" in reckon("--tenant", "shop", *command).errors
    assert [path.name for path in (folder / "var").iterdir() if "tenant" in path.name] == []


def test_delete_needs_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    reckon("tenants", "create", "shop")
    monkeypatch.setattr("typer.prompt", lambda _text: "news")
    assert "nothing was deleted" in reckon("tenants", "delete", "shop").errors
    assert states() == {"shop": "active"}
    monkeypatch.setattr("typer.prompt", lambda _text: "shop")
    assert reckon("tenants", "delete", "shop").exit_code == 0
    assert "there is no tenant" in reckon("tenants", "delete", "shop", "--yes").errors
    assert states() == {}


def test_interrupted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A creation and a deletion that were interrupted are completed by the same command."""

    def fail(*_args: object) -> None:
        raise UnavailableError("interrupted")

    with monkeypatch.context() as patch:
        patch.setattr(lifecycle, "migrate", fail)
        assert "interrupted" in reckon("tenants", "create", "shop").errors
    assert states() == {"shop": "creating"}
    assert reckon("tenants", "create", "shop").exit_code == 0
    with monkeypatch.context() as patch:
        patch.setattr(lifecycle, "remove_database", fail)
        assert "interrupted" in reckon("tenants", "delete", "shop", "--yes").errors
    assert states() == {"shop": "deleting"}
    assert "it is deleting" in reckon("tenants", "create", "shop").errors
    assert "is deleting" in reckon("tenants", "resume", "shop").errors
    assert reckon("tenants", "delete", "shop", "--yes").exit_code == 0
    assert list((folder / "var" / "tenants").iterdir()) == []


def test_migrate_covers_tenants(folder: Path) -> None:
    reckon("tenants", "create", "shop")
    own = folder / "var" / "tenants" / "shop"
    store = Store.open("", own)
    with store.database.writing() as connection:
        take_back(connection.exec_driver_sql, "0016")
    store.close()
    assert "run `reckon migrate`" in reckon("--tenant", "shop", "export", folder / "x").errors
    for _ in range(2):  # the second time it changes nothing
        assert reckon("migrate").exit_code == 0
    of_tenant = reckon("--tenant", "shop", "audit").output
    assert of_tenant.count("command line  database.migrate") == 1
    assert "database.migrate" not in reckon("audit").output
    assert reckon("--tenant", "shop", "export", folder / "x").exit_code == 0


def test_migration_is_audited(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECKON_DATA_DIR", str(folder / "new"))
    for _ in range(2):
        reckon("migrate")
    (line,) = reckon("audit").output.splitlines()
    assert line.split("  ")[1:3] == ["command line", "database.migrate"]
