"""One Spark application of two executor processes, which all tests share.

Not part of `make test`: pyspark is 490 MB, and the application takes half a minute to start. `make spark`.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.training.spark_errors import SparkOptions
from tests.spark.support import MASTER, OPTIONS

pytest.importorskip("pyspark", reason="needs pyspark: make spark")
if shutil.which("java") is None:
    pytest.skip("needs Java 17 (Debian: default-jre-headless)", allow_module_level=True)

from app.training.spark_engine import SparkEngine


@pytest.fixture(scope="session")
def spark_conf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Options by Spark's own means, for all processes that tests start."""
    folder = tmp_path_factory.mktemp("conf")
    (folder / "spark-defaults.conf").write_text("".join(f"{name} {value}\n" for name, value in OPTIONS.items()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_CONF_DIR", str(folder))
        yield folder


@pytest.fixture(scope="session")
def spark(spark_conf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkEngine]:
    assert os.environ["SPARK_CONF_DIR"] == str(spark_conf)
    with SparkEngine.opened(SparkOptions(MASTER), tmp_path_factory.mktemp("data")) as engine:
        yield engine
