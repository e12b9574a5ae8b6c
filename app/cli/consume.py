"""`reckon consume`: ratings and events from a broker of the Kafka protocol."""

import typer


def consume(
    metrics_port: int = typer.Option(0, min=0, max=65535, help="Port of GET /metrics of this process; 0: none"),
    metrics_host: str = typer.Option("127.0.0.1", help="Address of GET /metrics"),
) -> None:
    """Store ratings and events from Kafka, until stopped. Several consumers of one group share the partitions.

    With --tenant, for this tenant alone; otherwise the header `reckon-tenant` of a message may name one.
    """
    from app.cli.terminal import set_by_signals
    from app.errors import InvalidInputError
    from app.observability.consumption import ConsumerMetrics
    from app.observability.logs import configure_logs
    from app.settings import Settings
    from app.store.presence import Presence
    from app.wiring import open_store
    from app.worker.consumption import Consumption
    from app.worker.kafka import Broker
    from app.worker.messages import kinds_of
    from app.worker.receivers import Receivers

    settings = Settings()
    configure_logs(settings.log_format)
    if not settings.kafka_servers:
        raise InvalidInputError("RECKON_KAFKA_SERVERS names no broker")
    kinds = kinds_of(settings)
    stopping = set_by_signals()
    store = open_store(settings)
    # The processes of all tenants are in the main database.
    main = store if not settings.tenant else open_store(Settings(tenant=""))
    receivers, metrics = Receivers(settings, store), ConsumerMetrics()
    presence = Presence(main, "consumer", activity=metrics.as_json)
    try:
        consumption = Consumption(receivers, kinds, metrics, stopping)
        broker = Broker(settings, sorted(kinds), consumption.drop)
        if metrics_port:
            metrics.serve(metrics_host, metrics_port)
        presence.start()
        try:
            consumption.run(broker)
        finally:
            presence.stop()
    finally:
        receivers.close()
        store.close()
        if main is not store:
            main.close()
