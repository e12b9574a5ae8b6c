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

from app.errors import InvalidInputError, ReckonError, UnavailableError
from app.settings import Settings
from app.tenancy.open_services import Lease

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


class Commands:
    """Of one process of the API. What it must know of an import that goes on is in the record of the import."""

    def __init__(self) -> None:
        # The event loop itself does not keep tasks from being collected.
        self._following: set[asyncio.Task[None]] = set()

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

    def start(
        self, arguments: Sequence[str], settings: Settings, then: Callable[[str], None], lease: Lease | None
    ) -> None:
        """Start an import, which goes on after the request.

        `then`: called when it has ended, in a thread, with what it said if it failed; empty otherwise. `lease`: of the
        tenant whose service `then` uses, held until it has returned.
        """

        async def follow() -> None:
            try:
                problem = (await self.run(arguments, settings, seconds=None)).problem
            except OSError as error:  # no process can be started
                problem = f"the import cannot be started: {error.strerror}"
            if problem:
                log.warning("import failed", why=problem)
            try:
                await asyncio.to_thread(then, problem)
            except ReckonError as error:
                log.warning("end of an import not recorded", why=error.detail)
            except Exception:
                # As of a tenant that was deleted meanwhile: the record shows the import as interrupted later.
                log.exception("end of an import not recorded")

        task = asyncio.create_task(follow())
        if lease is not None:
            lease.hold_for(task)
        self._following.add(task)
        task.add_done_callback(self._following.discard)


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
