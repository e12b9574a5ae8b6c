"""Downloads MovieLens ml-latest-small from its publisher, GroupLens, and keeps the file for later runs.

Reckon does not include the data set, because its licence requires citation and forbids commercial use. Source:
F. Maxwell Harper and Joseph A. Konstan. 2015. The MovieLens Datasets: History and Context. ACM TiiS 5, 4.
https://grouplens.org/datasets/movielens/
"""

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from app.algorithms.progress import ProgressCallback, ignore
from app.errors import InvalidInputError, UnavailableError
from app.intake.files.listing import InputFile, input_files

MOVIELENS_URL = "https://files.grouplens.org/datasets/movielens/ml-latest-small.zip"
MOVIELENS_SHA256 = {
    "ratings.csv": "aa289ca83157595d0df6aea1be6a4ded676ddc4385472e8313a8ed9805352646",  # pragma: allowlist secret
    "movies.csv": "5a5f32dd9bb3797b8e728a1b98958789d2b13f294a69fdfbc5727f8a9611aa07",  # pragma: allowlist secret
}
"""Checksums of the unpacked files as published in September 2018; the publisher may change the data set at the URL."""

TIMEOUT_SECONDS = 5.0
# The published zip has about 1 MB; the limit stops a server that sends without end.
MAX_BYTES = 50 << 20
_BUFFER_BYTES = 1 << 16


def download_movielens(
    folder: Path,
    progress: ProgressCallback = ignore,
    *,
    url: str = MOVIELENS_URL,
    sha256: Mapping[str, str] = MOVIELENS_SHA256,
) -> Path:
    """Return the path of the zip in `folder`; download it unless a file with the right contents is there.

    `sha256`: expected checksum of each unpacked file by its name. `reckon import` reads the zip without unpacking.

    Raises `UnavailableError` where the publisher cannot be reached, is too slow, or sends other content.
    """
    path = folder / url.rpartition("/")[2]
    if path.exists() and _has_checksums(path, sha256):
        return path
    folder.mkdir(parents=True, exist_ok=True)
    # The file gets its final name only after its checksums were verified, so that an interruption leaves no bad file.
    partial_path = path.with_name(f"{path.stem}.partial.zip")
    try:
        _download(url, partial_path, progress)
        if not _has_checksums(partial_path, sha256):
            raise UnavailableError(f"the data set at {url} has changed: its checksums differ")
        partial_path.replace(path)
    finally:
        partial_path.unlink(missing_ok=True)
    return path


def _download(url: str, path: Path, progress: ProgressCallback) -> None:
    host = urlsplit(url).hostname
    try:
        # The timeout applies to each wait separately: for the connection, and for every read of the response.
        opened = urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS)  # noqa: S310  the URL is a constant, except in tests
        with opened as response, path.open("wb") as file:
            total = int(response.headers.get("Content-Length") or MAX_BYTES)
            while data := response.read(_BUFFER_BYTES):
                file.write(data)
                if file.tell() > MAX_BYTES:
                    raise UnavailableError(f"{url} sends more than {MAX_BYTES >> 20} MiB, more than the data set has")
                progress(min(1.0, file.tell() / total), "download")
    except urllib.error.URLError as error:
        raise UnavailableError(f"{host} cannot be reached: {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UnavailableError(f"the download from {host} was interrupted: {error}") from error


def _has_checksums(path: Path, sha256: Mapping[str, str]) -> bool:
    """Whether `path` is a readable zip whose members have the checksums; a damaged zip has not."""
    try:
        files = {file.name: file for file in input_files(path)}
        return all(name in files and _sha256(files[name]) == expected for name, expected in sha256.items())
    except InvalidInputError:
        return False


def _sha256(file: InputFile) -> str:
    digest = hashlib.sha256()
    with file.open() as stream:
        while data := stream.read(_BUFFER_BYTES):
            digest.update(data)
    return digest.hexdigest()
