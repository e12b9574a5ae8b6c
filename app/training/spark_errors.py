"""The options of Spark, and the error for each of its failures. Reads texts alone, so it needs no Spark."""

import os
import re
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from app.training.errors import TrainingFailedError

INSTALL = "pip install 'reckon[spark]', or install requirements-spark.txt; or train with the engine `local`."
JAVA = "Install Java 17 or newer (Debian: apt-get install default-jre-headless), or set JAVA_HOME."

MEMORY_ADVICE = (
    "Raise `{option}` in the spark-defaults.conf of the folder that SPARK_CONF_DIR names, or spread the work over "
    "more executors; then train again."
)

OUT_OF_MEMORY = re.compile(
    r"OutOfMemoryError|exited with code (?:52|137)|Command exited with code (?:52|137)|exit code:? (?:52|137)|"
    r"exceeding (?:memory|physical|virtual)|OOMKilled"
)
RESULT_SIZE = re.compile(r"spark\.driver\.maxResultSize")
UNREACHABLE = re.compile(r"All masters are unresponsive|Could not parse Master URL|Failed to connect to master")
JVM_GONE = re.compile(
    r"JAVA_GATEWAY_EXITED|Answer from Java side is empty|An error occurred while trying to connect to the Java server|"
    r"Connection refused|Connection reset"
)
CAUSE = re.compile(r"(?:Caused by: |: )((?:[\w$]+\.)+[\w$]*(?:Exception|Error)(?:: [^\n]*)?)")

MAX_TEXT = 300


@dataclass(frozen=True)
class SparkOptions:
    """`master`: as of `RECKON_SPARK_MASTER`. `folder`: as of `RECKON_SPARK_FOLDER`; empty: in the data folder."""

    master: str = "local[*]"
    folder: str = ""

    @property
    def is_local(self) -> bool:
        """Whether all processes of Spark run on this machine."""
        return self.master.startswith("local")

    @property
    def is_local_cluster(self) -> bool:
        return self.master.startswith("local-cluster")

    def check(self) -> None:
        """Raises `TrainingFailedError`, with what to install or to set, where Spark cannot be used."""
        if find_spec("pyspark") is None or find_spec("pyarrow") is None:
            raise TrainingFailedError("the engine spark needs pyspark, which is not installed", INSTALL)
        home = os.environ.get("JAVA_HOME")
        if shutil.which("java") is None and not (home and Path(home, "bin", "java").exists()):
            raise TrainingFailedError("the engine spark needs Java, which was not found", JAVA)
        if not self.is_local and not self.folder:
            raise TrainingFailedError(
                "executors on other machines read what this one writes, and no folder is set for it",
                "Set `RECKON_SPARK_FOLDER` to a folder that this machine and all executors see under one path.",
            )


class SparkFailedError(TrainingFailedError):
    """Spark failed, which says nothing of what was to be learned."""


def failure(text: str, log: str, options: SparkOptions) -> SparkFailedError:
    """The error for what Spark said, `text`: the reason, and which option to change where memory is short.

    `log`: the end of the driver's log, which alone says why its process has ended.
    """
    # The log may tell of executors that were lost long before, so it is read only where the driver says nothing more.
    is_gone = JVM_GONE.search(text) is not None
    text = f"{text}\n{log}" if is_gone else text
    if RESULT_SIZE.search(text):
        advice = MEMORY_ADVICE.format(option="spark.driver.maxResultSize")
        return SparkFailedError("Spark: a result is larger than the driver may hold", advice)
    if OUT_OF_MEMORY.search(text):
        is_driver = is_gone or (options.is_local and not options.is_local_cluster)
        who, option = ("the driver", "spark.driver.memory") if is_driver else ("an executor", "spark.executor.memory")
        return SparkFailedError(f"Spark: {who} ran out of memory", MEMORY_ADVICE.format(option=option))
    if UNREACHABLE.search(text):
        return SparkFailedError(
            "Spark: the master does not answer, or its address is wrong",
            "Check `RECKON_SPARK_MASTER` and that this machine reaches it; then train again.",
        )
    if is_gone:
        return SparkFailedError(
            "Spark: the driver's Java process ended",
            "Java must be version 17 or newer. Raise `spark.driver.memory` if the system ended it for lack of memory.",
        )
    causes = CAUSE.findall(text)
    cause = causes[-1] if causes else text.strip().partition("\n")[0]
    return SparkFailedError(f"Spark: {cause[:MAX_TEXT]}", "The log of Spark says more.")
