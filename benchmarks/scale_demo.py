"""`make scale-demo`: every step beyond one machine, end to end, as processes of this machine.

Postgres, a bucket of an S3 server, a broker of the Kafka protocol, two replicas of the API with a data folder each, a
consumer of ratings, and a training run on Spark whose snapshot both replicas fetch and serve. A fleet runs the same
commands. Each step prints what it does, what came of it, and how long it took.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

from app.intake.generated import SCALE, generate_catalogue
from tests.support.kafka_broker import RATINGS, Consumers, KafkaBroker
from tests.support.object_storage import S3Server, s3_server
from tests.support.postgres import Postgres
from tests.support.service import Instance, RunningService, wait_until

N_RATINGS, N_READ = 50_000, 100
PREFIX = "demo"
SEGMENTS = [
    {"name": "rating", "algorithm": "biases"},
    {"name": "taste", "algorithm": "als_implicit", "hyperparameters": {"n_factors": 16}},
    {"name": "popularity", "algorithm": "popularity"},
]

Say = Callable[[str], None]


def main() -> None:
    has_spark = find_spec("pyspark") is not None and shutil.which("java") is not None
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="reckon-scale-demo-")))
        with step("start Postgres, an S3 server and a broker"):
            url = stack.enter_context(Postgres(folder / "postgres", is_durable=True).database())
            s3 = stack.enter_context(s3_server(folder))
            broker = stack.enter_context(started_broker(folder / "broker"))
        with step("start two replicas, each with an empty data folder"):
            instances = [instance(folder / name, url, s3) for name in ("one", "two")]
            replicas = [stack.enter_context(each.serving("--no-worker")) for each in instances]
            instances[0].run("scale", "set", str(SCALE))
        with step(f"send {N_RATINGS:,} ratings to the broker, and consume them") as say:
            consume(broker, folder / "consumer", url)
            say(f"{replicas[0].get('/counts')['ratings']:,} ratings are in Postgres")
        with step("train on Spark" if has_spark else "train without Spark, since pyspark or Java is missing") as say:
            version = train(instance(folder / "trainer", url, s3), "spark" if has_spark else "local")
            say(f"snapshot {version}: {len(s3.keys(PREFIX)):,} objects are in the bucket")
        with step("wait until both replicas serve it"):
            for each in replicas:
                wait_until(partial(serves, each, version), 60)
        with step(f"rate through one replica and ask the other, {N_READ} times") as say:
            say(f"{n_stale(replicas)} of {N_READ} lists were stale")
        with step("stop all of it"):
            stack.close()


@contextmanager
def step(what: str) -> Iterator[Say]:
    print(f"{what} ...", flush=True)
    said: list[str] = []
    since = time.monotonic()
    yield said.append
    print("".join(f"  {each}\n" for each in [*said, f"{time.monotonic() - since:.1f} s"]), end="", flush=True)


def instance(folder: Path, url: str, s3: S3Server) -> Instance:
    folder.mkdir()
    return Instance(folder, url, settings=s3.environment(PREFIX))


@contextmanager
def started_broker(folder: Path) -> Iterator[KafkaBroker]:
    folder.mkdir()
    broker = KafkaBroker(folder)
    broker.start()
    try:
        broker.make_topics()
        yield broker
    finally:
        broker.kill()


def consume(broker: KafkaBroker, folder: Path, url: str) -> None:
    """`reckon consume`, until all ratings that were sent are stored and their offsets committed."""
    folder.mkdir()
    consumers = Consumers.of(broker, folder, url)
    try:
        for _ in range(2):
            consumers.start()
        ratings = generate_catalogue().ratings
        columns = zip(ratings.user_id, ratings.item_id, ratings.value.tolist(), strict=True)
        sent = [{"user_id": user, "item_id": item, "value": value} for user, item, value in islice(columns, N_RATINGS)]
        broker.send(RATINGS, sent, keys=[each["user_id"] for each in sent])
        wait_until(broker.is_consumed, 120)
        consumers.stop()
    finally:
        consumers.end()


def train(trainer: Instance, engine: str) -> int:
    """`reckon train`; the version that it published."""
    recipe = trainer.data_dir / "recipe.json"
    recipe.write_text(json.dumps({"segments": SEGMENTS}))
    command = ("train", "--recipe", str(recipe), "--engine", engine, "--json")
    trained = json.loads(trainer.run(*command, timeout_seconds=900).stdout)
    version: int = trained["snapshot_version"]
    return version


def serves(replica: RunningService, version: int) -> bool:
    answer = replica.get("/users/1/recommendations")
    return bool(answer["snapshot_version"] == version)


def n_stale(replicas: Sequence[RunningService]) -> int:
    """How often a list of one replica still held what had been rated through another."""
    n = 0
    for turn in range(N_READ):
        one, other = replicas[turn % len(replicas)], replicas[(turn + 1) % len(replicas)]
        user = str(1 + turn)
        first = one.items(user)[0]
        status, _ = one.call("POST", "/ratings", {"user_id": user, "item_id": first, "value": 4.0})
        if status not in {200, 201}:
            raise RuntimeError(f"the rating was answered with {status}")
        n += first in other.items(user)
    return n


if __name__ == "__main__":
    main()
