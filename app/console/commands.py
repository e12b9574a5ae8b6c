"""Runs `reckon import` for the console, in a process of its own.

An import takes the processor for minutes and the memory that its files ask for, and a file may be made to be hostile.
In a process of its own it neither slows down the answers of this one nor takes it down.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog

from app.errors import ConflictError, InvalidInputError, UnavailableError
from app.settings import Settings

log = structlog.get_logger()

NICENESS = 10
"""The answers of the API come first."""

PREVIEW_SECONDS = 60.0
PREFIX = "reckon: "
KEPT_CHARACTERS, KEPT_LOG = 2_000, 4_000


@dataclass(frozen=True, slots=True)
class Ended:
    """`document`: the JSON that the command printed; None without one. `problem`: what it said where it failed."""

    document: Any
    problem: str


@dataclass(frozen=True, slots=True)
class FailedImport:
    """`problem`: what the command said. `again`: the page with the file, which is still there."""

    problem: str
    again: str


class Commands:
    """Of one process of the API. By catalogue: the import that is in progress, and the last one that failed."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Task[None]] = {}
        self._failed: dict[str, FailedImport] = {}

    async def run(self, arguments: Sequence[str], settings: Settings, *, seconds: float | None) -> Ended:
        """Run `reckon` with these arguments until it ends. `seconds`: after which it is ended; None: never.

        Raises `UnavailableError` if it took too long.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "app.cli", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment_of(settings),
        )
        with suppress(OSError):  # it has ended already
            os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
        try:
            printed, errors = await asyncio.wait_for(process.communicate(), seconds)
        except TimeoutError:
            raise UnavailableError(
                f"it took more than {seconds:.0f} s: run `reckon import` on the machine of the service"
            ) from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        said = errors.decode(errors="replace")
        try:
            document = json.loads(printed)
        except ValueError:
            log.warning("command failed", arguments=arguments[:1], code=process.returncode, said=said[-KEPT_LOG:])
            return Ended(None, _problem_of(said))
        if "error" in document:
            return Ended(None, str(document["error"]["detail"])[:KEPT_CHARACTERS])
        # Where nothing could be read, the command prints its report and fails.
        problem = "" if process.returncode == 0 else _problem_of(said, *document.get("warnings", ()))
        return Ended(document, problem)

    async def preview(self, arguments: Sequence[str], settings: Settings) -> Any:
        """The JSON that the command prints. Raises `InvalidInputError` with what it says if it fails."""
        ended = await self.run(arguments, settings, seconds=PREVIEW_SECONDS)
        if ended.document is None:
            raise InvalidInputError(ended.problem, field="file")
        return ended.document

    def start(self, arguments: Sequence[str], settings: Settings, again: str, then: Callable[[], None]) -> None:
        """Start an import, which goes on after the request.

        `again`: where it can be tried again. `then`: called when it has succeeded, in a thread.

        Raises `ConflictError` while another one of the same catalogue is in progress here.
        """
        running = self._running.get(settings.tenant)
        if running is not None and not running.done():
            raise ConflictError("another import is in progress: wait until it has ended")

        async def follow() -> None:
            try:
                problem = (await self.run(arguments, settings, seconds=None)).problem
            except OSError as error:  # no process can be started
                problem = f"the import cannot be started: {error.strerror}"
            if problem:
                log.warning("import failed", why=problem)
                self._failed[settings.tenant] = FailedImport(problem, again)
            else:
                await asyncio.to_thread(then)

        self._failed.pop(settings.tenant, None)
        self._running[settings.tenant] = asyncio.create_task(follow())

    def failed(self, settings: Settings) -> FailedImport | None:
        """The last import that this process started, if it failed."""
        return self._failed.get(settings.tenant)

    def forget(self, settings: Settings, upload_path: str) -> None:
        """The file of this page is gone, so that it cannot be tried again."""
        failed = self._failed.get(settings.tenant)
        if failed is not None and failed.again.partition("?")[0] == upload_path:
            del self._failed[settings.tenant]

    def is_running(self, settings: Settings) -> bool:
        running = self._running.get(settings.tenant)
        return running is not None and not running.done()


def environment_of(settings: Settings) -> Mapping[str, str]:
    """The environment in which a command reads these settings."""
    names = ("data_dir", "database_url", "unknown_items")
    given = {f"RECKON_{name.upper()}": str(getattr(settings, name)) for name in names}
    # The places above are those of the tenant already.
    return os.environ | given | {"RECKON_TENANT": "", "RECKON_LOG_FORMAT": "json"}


def _problem_of(errors: str, *warnings: str) -> str:
    lines = [each.strip() for each in errors.splitlines() if each.strip()]
    said = next((each.removeprefix(PREFIX) for each in reversed(lines) if each.startswith(PREFIX)), "")
    said = said or next(iter(warnings), "the file cannot be read; the log of the service says why")
    return said[:KEPT_CHARACTERS]
