"""``sms metrics``: figures for Prometheus, once or for as long as somebody asks."""

import signal
from threading import Event
from typing import Annotated

import typer
from prometheus_client import CollectorRegistry, generate_latest, start_http_server

from worker.cli.db import looking_at
from worker.cli.given import WrongInput, address
from worker.clock import utc_now
from worker.metrics import registry
from worker.settings import load_settings
from worker.store.engine import make_engine, make_sessions
from worker.store.schema import check_schema
from worker.wiring import looking_lists, quiet_lanes

DEFAULT_ADDRESS = "127.0.0.1:9178"
SCRAPES_AT_ONCE = 2


def metrics(
    where: Annotated[
        str | None, typer.Argument(metavar="HOST:PORT", help=f"For --serve: where ({DEFAULT_ADDRESS} if not given).")
    ] = None,
    *,
    serve: Annotated[bool, typer.Option("--serve", help="Serve http://HOST:PORT/metrics until Ctrl-C.")] = False,
) -> None:
    """Print the house's figures in Prometheus' text format.

    They come from the database, so they are true when all workers are dead, too.

    While the database is away, sms_database_up is 0 and the others are absent; so it is with Redis and sms_redis_up.

    The view v_attention shows what needs a person, row by row, and what to do.

    Exit code 2: wrong input or settings, an unreachable database, an address in use.
    """
    if where and not serve:
        raise WrongInput(f"An address is only for --serve: sms metrics --serve {where}")
    host, port = address(where or DEFAULT_ADDRESS)
    settings = load_settings()
    with looking_at(settings.database_url) as engine:
        check_schema(engine)
    engine = make_engine(settings.database_url, connections=SCRAPES_AT_ONCE)
    lists, quiet = looking_lists(settings), quiet_lanes(settings)
    house = registry(make_sessions(engine), settings, now=utc_now, quiet_lanes=quiet, lists=lists)
    if serve:
        _serve(house, host, port)
    else:
        typer.echo(generate_latest(house), nl=False)
    engine.dispose()


def _serve(house: CollectorRegistry, host: str, port: int) -> None:
    try:
        server, thread = start_http_server(port, host, house)
    except OSError as error:
        raise WrongInput(f"{host}:{port} cannot be listened on: {error.strerror or error}. Choose another.") from None
    stopping = Event()
    for number in (signal.SIGINT, signal.SIGTERM):  # without a handler, process 1 of a container would hear neither
        signal.signal(number, lambda *_: stopping.set())
    name = f"[{host}]" if ":" in host else host
    typer.echo(f"Serving http://{name}:{server.server_port}/metrics until Ctrl-C.")
    stopping.wait()
    server.shutdown()
    server.server_close()
    thread.join()
