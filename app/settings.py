"""Settings, all from the environment (`RECKON_...`); the README's table is made from these fields."""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(BaseSettings):
    """One field a setting; the description is the documentation."""

    model_config = SettingsConfigDict(env_prefix="RECKON_", extra="ignore", frozen=True)

    data_dir: Path = Field(Path("var"), description="Folder of the embedded database, the snapshots and rejected rows")
    database_url: str = Field(
        "", description="`postgresql+psycopg://...`, or `sqlite:///path`; empty: `reckon.db` in `RECKON_DATA_DIR`"
    )
    host: str = Field("127.0.0.1", description="Address to bind; another than a loopback one needs `--insecure`")
    port: int = Field(8000, ge=0, le=65535, description="Port to bind")
    log_format: str = Field("", pattern="^(|console|json)$", description="`console` or `json`; empty: by the terminal")
    train_after_changes: int = Field(
        0,
        ge=0,
        description="Train when this many ratings changed or events came since the live snapshot; 0: not by number",
    )
    train_after_percent: float = Field(
        5.0,
        ge=0,
        le=1000,
        description="Train when this share of the ratings (%) changed, or of the events came; 0: not by share",
    )
    train_interval_seconds: float = Field(
        86_400.0, ge=0, description="Train when the live snapshot is this old and anything changed; 0: not by time"
    )
    worker_poll_seconds: Positive = Field(1.0, description="How often the worker looks for jobs and triggers")
    worker_lease_seconds: Positive = Field(15.0, description="A run whose worker is silent this long is taken over")
    snapshot_poll_seconds: Positive = Field(0.5, description="How often an API process looks for a new live snapshot")
    snapshots_kept: int = Field(5, ge=1, description="The newest snapshots kept on disk; the live one always is")
