"""`reckon worker`: the training loop."""


def worker() -> None:
    """Train when a run is due or requested, until stopped. Several workers may run at the same time."""
    import signal
    import threading
    from types import FrameType

    from app.observability.logs import configure_logs
    from app.settings import Settings
    from app.store.presence import Presence
    from app.wiring import open_store, snapshot_folders
    from app.worker.rounds import Rounds

    settings = Settings()
    configure_logs(settings.log_format)
    snapshot_folders(settings).check()
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # `nohup` makes the process ignore SIGHUP, because the worker is to outlive its terminal.
        if not (number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN):
            signal.signal(number, stop)
    store = open_store(settings)
    presence = Presence(store, "worker")
    presence.start()
    try:
        Rounds(settings, store).run(stopping)
    finally:
        presence.stop()
        store.close()
