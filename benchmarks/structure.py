"""How far a reader travels: the code of `app` that one list passes, names that mean two things, comments.

`python -m benchmarks structure`. These are counts, not times: the same on every machine. The list is a
`GET /users/{user_id}/recommendations` for a user whose history has not changed since the snapshot, answered by the
application in this process with nothing in the response cache.
"""

import ast
import asyncio
import io
import itertools
import logging
import sys
import tempfile
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import structlog
from starlette.types import ASGIApp, Message

from app.main import create_app
from app.settings import Settings
from app.store import Store, migrate
from benchmarks.table import Row
from tests.support.trained import fill, train

ROOT = Path(__file__).parents[1]
APP = ROOT / "app"
WARM_USERS, USER = [f"user-{n}" for n in range(1, 31)], "user-0"


def rows(parts: list[str] | None = None) -> list[Row]:
    """`parts`: `files` prints the files and functions of the path instead of counting alone."""
    return [*path_rows("files" in (parts or ())), *name_rows(), *comment_rows()]


PARTS = ("files",)


def path_rows(is_listed: bool = False) -> list[Row]:
    calls = calls_of_one_list()
    files = [Path(code.co_filename).relative_to(ROOT).as_posix() for code in calls]
    moves = sum(before != after for before, after in itertools.pairwise(files))
    functions = dict.fromkeys(calls)
    if is_listed:
        of_file: dict[str, list[str]] = defaultdict(list)
        for code in functions:
            of_file[Path(code.co_filename).relative_to(ROOT).as_posix()].append(code.co_qualname)
        for file, names in of_file.items():
            print(f"{file}: {', '.join(names)}")
    what = "one list, nothing changed, not cached"
    return [
        Row(f"{what}: files of app", "40", str(len(set(files)))),
        Row(f"{what}: moves from file to file", "90", str(moves)),
        Row(f"{what}: functions of app", "90", str(len(functions))),
    ]


def calls_of_one_list() -> list[CodeType]:
    """The functions of `app`, in the order in which the request calls them."""
    with trained_app() as app:
        return asyncio.run(_calls(app))


async def _calls(app: ASGIApp) -> list[CodeType]:
    for user_id in WARM_USERS:  # what is computed once a process is not part of a request
        await get(app, f"/users/{user_id}/recommendations")
    calls: list[CodeType] = []
    own = str(APP)

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(own):
            calls.append(frame.f_code)

    sys.setprofile(note)
    try:
        status = await get(app, f"/users/{USER}/recommendations")
    finally:
        sys.setprofile(None)
    if status != 200:
        raise RuntimeError(f"the list was answered with {status}")
    return calls


async def get(app: ASGIApp, path: str) -> int:
    """The status of the answer to a GET, without a network or a client in between."""
    statuses: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"reckon")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, send)
    return statuses[0]


@contextmanager
def trained_app() -> Iterator[ASGIApp]:
    """The application on 65 items and 120 users, with a snapshot learned from them."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/reckon.db"
        migrate(url, Path(folder))
        store = Store.open(url, Path(folder))
        fill(store)
        train(store, Path(folder))
        store.close()
        yield create_app(Settings(database_url=url, data_dir=Path(folder)))


def name_rows() -> list[Row]:
    """Classes of the same public name in two modules, the client's aside: those copy the service's on purpose."""
    modules: dict[str, list[str]] = defaultdict(list)
    for path in sorted(APP.rglob("*.py")):
        if APP / "client" in path.parents:
            continue
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                modules[node.name].append(path.relative_to(APP).as_posix())
    twice = {name: paths for name, paths in modules.items() if len(paths) > 1}
    return [Row("public class names that mean two things", "0", str(len(twice)), ", ".join(sorted(twice)))]


def comment_rows() -> list[Row]:
    targets = (("app", APP, "4-10"), ("app/algorithms", APP / "algorithms", "10-20"))
    results = []
    for name, folder, target in targets:
        comments, lines = comments_and_lines(folder)
        results.append(Row(f"comment lines per 100 lines, {name}", target, f"{100 * comments / lines:.1f}"))
    return results


def comments_and_lines(folder: Path) -> tuple[int, int]:
    """Lines that hold a comment, and lines that hold code: neither blank, nor a comment alone, nor a docstring."""
    n_comments = n_lines = 0
    for path in folder.rglob("*.py"):
        source = path.read_text()
        commented: set[int] = set()
        coded: set[int] = set()
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                commented.add(token.start[0])
            elif token.type not in NOT_CODE:
                coded.update(range(token.start[0], token.end[0] + 1))
        n_comments += len(commented)
        n_lines += len(coded - docstring_lines(ast.parse(source)))
    return n_comments, n_lines


NOT_CODE = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER}


def docstring_lines(tree: ast.Module) -> set[int]:
    """The lines of strings that stand alone as statements."""
    return {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
