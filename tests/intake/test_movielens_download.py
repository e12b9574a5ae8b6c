import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from app.errors import UnavailableError
from app.intake import movielens_download
from app.intake.movielens_download import MOVIELENS_SHA256, download_movielens

RATINGS = b"userId,movieId,rating,timestamp\n1,1,4.0,964982703\n"
SHA256 = {"ratings.csv": hashlib.sha256(RATINGS).hexdigest()}
MOVIELENS = Path(__file__).parents[2] / "../shared/data/ml-latest-small"


class Publisher:
    """A local server that answers every path with `content` and counts its `requests`."""

    def __init__(self) -> None:
        self.content = io.BytesIO()
        self.announced: int | None = None
        self.requests = 0
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                publisher.requests += 1
                content = publisher.content.getvalue()
                self.send_response(200 if content else 404)
                self.send_header("Content-Length", str(publisher.announced or len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/ml.zip"

    def publish(self, ratings: bytes) -> None:
        self.content = io.BytesIO()
        with zipfile.ZipFile(self.content, "w") as archive:
            archive.writestr("ml/ratings.csv", ratings)


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    made = Publisher()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def test_downloaded_once(publisher: Publisher, tmp_path: Path) -> None:
    publisher.publish(RATINGS)
    fractions: list[float] = []
    for _ in range(2):
        path = download_movielens(
            tmp_path / "kept", lambda fraction, _: fractions.append(fraction), url=publisher.url, sha256=SHA256
        )
        assert path == tmp_path / "kept" / "ml.zip"
    assert publisher.requests == 1
    assert fractions[-1] == 1.0


def test_damaged_copy_replaced(publisher: Publisher, tmp_path: Path) -> None:
    publisher.publish(RATINGS)
    (tmp_path / "ml.zip").write_bytes(publisher.content.getvalue()[:-9])
    download_movielens(tmp_path, url=publisher.url, sha256=SHA256)
    assert (tmp_path / "ml.zip").read_bytes() == publisher.content.getvalue()


def test_other_content_refused(publisher: Publisher, tmp_path: Path) -> None:
    publisher.publish(b"something else")
    with pytest.raises(UnavailableError, match="checksums differ"):
        download_movielens(tmp_path, url=publisher.url, sha256=SHA256)
    assert list(tmp_path.iterdir()) == []


def test_missing_page(publisher: Publisher, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot be reached: Not Found"):
        download_movielens(tmp_path, url=publisher.url, sha256=SHA256)


def test_interrupted(publisher: Publisher, tmp_path: Path) -> None:
    publisher.publish(RATINGS)
    publisher.announced = 10_000
    publisher.content.truncate(100)
    with pytest.raises(UnavailableError, match=r"was interrupted|checksums differ"):
        download_movielens(tmp_path, url=publisher.url, sha256=SHA256)


def test_endless_answer(publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publisher.publish(RATINGS)
    monkeypatch.setattr(movielens_download, "MAX_BYTES", 10)
    with pytest.raises(UnavailableError, match="more than the data set has"):
        download_movielens(tmp_path, url=publisher.url, sha256=SHA256)


def test_unreachable(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1 cannot be reached: .*refused"):
        download_movielens(tmp_path, url="http://127.0.0.1:9/ml.zip", sha256=SHA256)


@pytest.mark.skipif(not MOVIELENS.exists(), reason="the MovieLens data set is not beside the repository")
def test_pinned_checksums() -> None:
    checksums = {name: hashlib.sha256((MOVIELENS / name).read_bytes()).hexdigest() for name in MOVIELENS_SHA256}
    assert checksums == MOVIELENS_SHA256
