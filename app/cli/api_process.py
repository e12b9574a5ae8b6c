"""One API process, which answers on a listening socket that it inherits: `python -m app.cli.api_process DESCRIPTOR`."""

import sys

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.api.address_check import MAX_ADDRESS

DRAIN_SECONDS = 10


class BoundedAddressProtocol(HttpToolsProtocol):
    """Cuts an address that is too long, so that the application can refuse it.

    The protocol itself would collect an address of any length, and answer a plain text once its parser refuses it.
    """

    def on_url(self, url: bytes) -> None:
        super().on_url(url[: MAX_ADDRESS + 1 - len(self.url)])


def run(descriptor: int) -> None:
    """Answer until a stop signal."""
    uvicorn.run(
        "app.main:create_app",
        factory=True,
        fd=descriptor,
        loop="uvloop",
        http=BoundedAddressProtocol,
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )


if __name__ == "__main__":
    run(int(sys.argv[1]))
