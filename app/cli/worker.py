"""`reckon worker`: the training loop."""


def worker() -> None:
    """Train when a run is due or requested, until stopped. Several workers may run at the same time."""
    from app.cli.terminal import set_by_signals
    from app.observability.logs import configure_logs
    from app.settings import Settings
    from app.store.presence import Presence
    from app.wiring import open_store, snapshot_folders
    from app.worker.rounds import Rounds

    settings = Settings()
    configure_logs(settings.log_format)
    snapshot_folders(settings).check()
    stopping = set_by_signals()
    store = open_store(settings)
    presence = Presence(store, "worker")
    presence.start()
    try:
        Rounds(settings, store).run(stopping)
    finally:
        presence.stop()
        store.close()
