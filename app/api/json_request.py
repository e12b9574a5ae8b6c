"""The request whose body is parsed by `parse_json`."""

from asyncio import sleep
from typing import Any

from fastapi import Request

from app.intake.json_limits import parse_json

LARGE_BYTES = 1 << 16
"""To check, to parse and to validate a larger body takes milliseconds each: other requests have their turns between."""


class JsonRequest(Request):
    async def json(self) -> Any:
        body = await self.body()
        is_large = len(body) > LARGE_BYTES
        if is_large:
            await sleep(0)
        parsed = parse_json(body)
        if is_large:
            await sleep(0)
        return parsed
