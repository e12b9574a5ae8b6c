"""`reckon migrate`"""


def migrate() -> None:
    """Create the database's tables, or bring them to this version. Changes nothing when they are current."""
    from app.settings import Settings
    from app.store import migrate as migrate_database

    settings = Settings()
    migrate_database(settings.database_url, settings.data_dir)
