"""GET requests to the service on this machine."""

import urllib.request
from http.client import HTTPResponse
from typing import cast

# Proxies of the environment (`http_proxy`, `all_proxy`) cannot reach the loopback addresses of this machine.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get(url: str, timeout_seconds: float) -> HTTPResponse:
    """Return the open response. Raises `OSError` where there is none, or its status is an error."""
    return cast("HTTPResponse", _opener.open(url, timeout=timeout_seconds))
