"""MovieLens ml-latest-small from its publisher, GroupLens, kept once it is there.

Downloaded and never shipped: its licence asks for citation and forbids commercial use. F. Maxwell Harper and Joseph A.
Konstan. 2015. The MovieLens Datasets: History and Context. ACM TiiS 5, 4. https://grouplens.org/datasets/movielens/
"""

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from app.errors import InvalidInputError, UnavailableError
from app.intake.files import InputFile, input_files

MOVIELENS_URL = "https://files.grouplens.org/datasets/movielens/ml-latest-small.zip"
MOVIELENS_SHA256 = {
    "ratings.csv": "aa289ca83157595d0df6aea1be6a4ded676ddc4385472e8313a8ed9805352646",
    "movies.csv": "5a5f32dd9bb3797b8e728a1b98958789d2b13f294a69fdfbc5727f8a9611aa07",
}
"""Of the unpacked files, as published in September 2018; the publisher may change what the address holds."""

CONNECT_SECONDS = 5.0
MAX_BYTES = 50 << 20
_PIECE = 1 << 16

Progress = Callable[[float, str], None]


def download_movielens(
    folder: Path,
    progress: Progress = lambda fraction, stage: None,  # noqa: ARG005  the default takes what every other takes
    *,
    url: str = MOVIELENS_URL,
    sha256: Mapping[str, str] = MOVIELENS_SHA256,
) -> Path:
    """The zip in `folder`, downloaded unless a sound one lies there; `reckon import` takes it as it is.

    Raises `UnavailableError` where the publisher cannot be reached in time or sends something else.
    """
    path = folder / url.rpartition("/")[2]
    if path.exists() and _is_sound(path, sha256):
        return path
    folder.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.stem}.partial.zip")
    try:
        _download(url, aside, progress)
        if not _is_sound(aside, sha256):
            raise UnavailableError(f"{url} holds another data set than it did: its checksums differ")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return path


def _download(url: str, path: Path, progress: Progress) -> None:
    host = urlsplit(url).hostname
    try:
        # The timeout is that of each wait: for the connection, and for every piece of the answer.
        request = urllib.request.urlopen(url, timeout=CONNECT_SECONDS)  # noqa: S310  a constant, or a test's own server
        with request as answer, path.open("wb") as file:
            total = int(answer.headers.get("Content-Length") or MAX_BYTES)
            while piece := answer.read(_PIECE):
                file.write(piece)
                if file.tell() > MAX_BYTES:
                    raise UnavailableError(f"{url} sends more than the data set: stopped after {MAX_BYTES >> 20} MiB")
                progress(min(1.0, file.tell() / total), "download")
    except urllib.error.URLError as error:
        raise UnavailableError(f"{host} cannot be reached: {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UnavailableError(f"the download from {host} broke off: {error}") from error


def _is_sound(path: Path, sha256: Mapping[str, str]) -> bool:
    try:
        files = {file.name: file for file in input_files(path)}
        return all(name in files and _sha256(files[name]) == expected for name, expected in sha256.items())
    except InvalidInputError:
        return False


def _sha256(file: InputFile) -> str:
    digest = hashlib.sha256()
    with file.open() as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
