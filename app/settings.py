"""Settings from the environment (`RECKON_...`). The table in the README repeats these fields; a test compares them."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, quote, urlencode

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.texts import is_origin

HOST = re.compile(r"\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*")
SIZE = re.compile(r"([0-9.]+)\s*([A-Za-z]*)")
UNITS = {"B": 1} | {
    f"{letter}{middle}B": base**power
    for power, letter in enumerate("KMGT", start=1)
    for middle, base in (("", 1000), ("i", 1024))
}
ANY_ORIGIN = ANY_HOST = "*"

TENANTS_FOLDER = "tenants"
"""In the data folder: the data folders of the tenants, by name."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(BaseSettings):
    """One field for each setting; its description is the documentation."""

    model_config = SettingsConfigDict(env_prefix="RECKON_", extra="ignore", frozen=True)

    data_dir: Path = Field(Path("var"), description="Folder for the SQLite database, the snapshots and rejected rows")
    database_url: str = Field(
        "", description="`postgresql+psycopg://...` or `sqlite:///path`; empty: `reckon.db` in `RECKON_DATA_DIR`"
    )
    database_read_url: str = Field(
        "",
        pattern=r"^(|postgresql.*)$",
        description="A read replica of the Postgres in `RECKON_DATABASE_URL`, asked first for histories of users; "
        "empty: none",
    )
    tenant: str = Field(
        "",
        pattern="^(|[a-z][a-z0-9_]{0,39})$",
        description="The tenant whose catalogue a command works on, as `reckon --tenant NAME`; empty: the main one",
    )
    host: str = Field(
        "127.0.0.1",
        description="Address to bind; one that other machines can reach needs an API key, or `--insecure`",
    )
    port: int = Field(8000, ge=0, le=65535, description="Port to bind")
    require_keys: bool = Field(
        False,
        description="Refuse requests even while no API key exists, for a proxy on the same machine. "
        "`reckon serve` sets it on an address that other machines can reach",
    )
    rate_limits_file: str = Field(
        "",
        description="File in which the API processes of a machine share their counts of requests; "
        "`reckon serve` makes one",
    )
    log_format: str = Field(
        "", pattern="^(|console|json)$", description="`console` or `json`; empty: `console` on a terminal, else `json`"
    )
    unknown_items: Literal["create", "reject"] = Field(
        "create",
        description="`create` or `reject`: what to do with ratings and events of items that are not stored. "
        "`create` does not bring a deleted item back",
    )
    cors_origins: str = Field(
        "",
        description="Origins whose pages may call the API, separated by commas, such as `https://shop.example.com`; "
        "`*`: any; empty: none. Credentials are never allowed",
    )
    allowed_hosts: str = Field(
        "",
        description="Names by which the service is called, separated by commas, such as `reckon.example.com`;"
        " `.example.com`: all names below; `*`: any. Addresses, names without a dot and `localhost` are always allowed",
    )
    image_hosts: str = Field(
        "",
        description="Hosts whose pictures of items (`image_url`) the console shows, separated by commas, such as "
        "`images.example.com`; only by HTTPS. Empty: it shows generated covers",
    )
    connections_per_peer: int = Field(
        512,
        ge=0,
        description="Connections that one address may open to an API process. A further one takes the place of an idle"
        " one; 0: no limit, for a service behind a proxy, whose address all requests have",
    )
    drain_seconds: float = Field(
        5.0,
        ge=0,
        allow_inf_nan=False,
        description="After SIGTERM, `/readyz` is 503 and requests are answered for this long before the service stops, "
        "so that a balancer sends them elsewhere first",
    )
    kafka_servers: str = Field(
        "",
        description="Brokers from which `reckon consume` reads ratings and events, as `HOST:PORT`, separated by commas",
    )
    kafka_group: str = Field("reckon", min_length=1, description="The group that all consumers of a deployment share")
    kafka_ratings_topic: str = Field("reckon.ratings", description="The topic of ratings; empty: none")
    kafka_events_topic: str = Field("reckon.events", description="The topic of events; empty: none")
    kafka_dead_letters_topic: str = Field(
        "reckon.dead-letters", min_length=1, description="Where messages go that are refused, each with its reason"
    )
    kafka_config_file: str = Field(
        "",
        description="File with properties of librdkafka, `name=value` in each line, such as those of TLS and SASL;"
        " empty: none",
    )
    train_after_changes: int = Field(
        0,
        ge=0,
        description="Train after this many changed ratings and new events since the live snapshot; 0: never by count",
    )
    train_after_percent: float = Field(
        5.0,
        ge=0,
        le=1000,
        description="Train after this percentage of ratings changed or of events is new; 0: never by percentage",
    )
    train_interval_seconds: float = Field(
        86_400.0,
        ge=0,
        description="Train when the live snapshot is this old and something has changed; 0: never by age",
    )
    training_memory: str = Field(
        "",
        pattern=r"^(|[0-9]+(\.[0-9]+)?\s*([KMGT]i?B|B)?)$",
        description="Most resident memory of a training run, such as `8GB`. Ratings that need more stay in files below"
        " the data folder; learners that need them in memory are refused. Empty: no limit",
    )
    worker_poll_seconds: Positive = Field(
        1.0, description="Interval at which the worker checks for jobs and for due training"
    )
    worker_lease_seconds: Positive = Field(
        15.0, description="Another worker takes over a run whose worker has not reported for this long"
    )
    snapshot_poll_seconds: Positive = Field(
        0.5, description="Interval at which an API process checks for a new live snapshot"
    )
    snapshots_kept: int = Field(
        5, ge=1, description="Number of newest snapshots to keep on disk; the live one is always kept"
    )

    snapshot_users: int = Field(
        2_000_000,
        ge=1_000,
        description="Users whose vectors and histories a snapshot holds. Of more users it holds this many, and the "
        "others are folded in from their stored ratings and events at each request",
    )
    snapshot_url: str = Field(
        "",
        pattern=r"^(|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_.-]+)*)$",
        description="`s3://BUCKET/PREFIX`, where snapshots are published for replicas on other machines; empty: in the "
        "data folder alone. Credentials, region and endpoint: the standard `AWS_...` variables",
    )
    spark_master: str = Field(
        "local[*]",
        pattern=r"^\S+$",
        description="Master of Spark for recipes with the engine `spark`, such as `spark://host:7077`; "
        "further options by Spark's own means",
    )
    spark_folder: str = Field(
        "",
        description="Folder through which training and the executors of Spark exchange files, under one path on all of "
        "them; empty: in `RECKON_DATA_DIR`, which suffices where Spark runs on this machine alone",
    )
    erasure_hours: Positive = Field(
        24.0, description="Within this time nothing is left of a deleted user in snapshots, the database and files"
    )

    @property
    def training_bytes(self) -> int | None:
        """`training_memory` in bytes; None for no limit."""
        if not self.training_memory:
            return None
        number, unit = SIZE.fullmatch(self.training_memory).groups()  # type: ignore[union-attr]  # the pattern holds
        return int(float(number) * UNITS[unit or "B"])

    def model_post_init(self, _context: object, /) -> None:
        # Whatever reads these settings then works on the tenant, and on nothing else.
        if self.tenant:
            self.__dict__.update(self._places_of(self.tenant))

    def of_tenant(self, name: str) -> "Settings":
        """Return these settings of the deployment with the database and the data folder of a tenant."""
        return self.model_copy(update={"tenant": name, **self._places_of(name)})

    def _places_of(self, name: str) -> dict[str, Any]:
        snapshot_url = f"{self.snapshot_url}/{TENANTS_FOLDER}/{name}" if self.snapshot_url else ""
        is_postgres, schema = self.database_url.startswith("postgresql"), schema_of(name)
        return {
            "data_dir": self.data_dir / TENANTS_FOLDER / name,
            "snapshot_url": snapshot_url,
            "database_url": _with_schema(self.database_url, schema) if is_postgres else "",
            "database_read_url": _with_schema(self.database_read_url, schema) if self.database_read_url else "",
        }

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, text: str) -> str:
        origins = _split(text)
        if ANY_ORIGIN in origins and len(origins) > 1:
            raise PydanticCustomError("origins", "`*` stands alone, since it includes every other origin")
        for origin in origins:
            if origin != ANY_ORIGIN and not is_origin(origin):
                raise PydanticCustomError(
                    "origins",
                    "{origin} is not an origin: SCHEME://HOST[:PORT] without a path or a slash at its end",
                    {"origin": repr(origin)},
                )
        return text

    @field_validator("allowed_hosts", "image_hosts")
    @classmethod
    def _check_hosts(cls, text: str, checked: ValidationInfo) -> str:
        for host in _split(text):
            is_any = host == ANY_HOST and checked.field_name == "allowed_hosts"
            if not is_any and not HOST.fullmatch(host):
                raise PydanticCustomError(
                    "hosts",
                    "{host} is not the name of a host: it has neither a scheme nor a port",
                    {"host": repr(host)},
                )
        return text

    @property
    def host_names(self) -> list[str]:
        """The names of `allowed_hosts` in lower case."""
        return _split(self.allowed_hosts)

    @property
    def image_host_names(self) -> list[str]:
        """The names of `image_hosts` in lower case; `*.example.com` for all names below, as browsers write it."""
        return [f"*{host}" if host.startswith(".") else host for host in _split(self.image_hosts)]

    @property
    def allowed_origins(self) -> list[str]:
        """The origins of `cors_origins`, as browsers write them: in lower case."""
        return _split(self.cors_origins)


def schema_of(tenant: str) -> str:
    """Return the name of the Postgres schema of a tenant."""
    return f"tenant_{tenant}"


def _with_schema(url: str, schema: str) -> str:
    """Return the URL with the option that makes the schema the only one in which tables are looked for."""
    address, _, query = url.partition("?")
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    parameters["options"] = f"{parameters.get('options', '')} -csearch_path={schema}".strip()
    return f"{address}?{urlencode(parameters, quote_via=quote)}"


def _split(text: str) -> list[str]:
    return [origin for part in text.split(",") if (origin := part.strip().lower())]
