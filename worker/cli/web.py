"""``sms web``: the web page."""

import signal
import socket
from ipaddress import ip_address
from typing import Annotated

import typer
import uvicorn

from worker.cli.db import looking_at
from worker.cli.given import WrongInput, address
from worker.clock import utc_now
from worker.settings import Settings, load_settings
from worker.store.engine import make_engine, make_sessions
from worker.store.schema import check_schema
from worker.web.app import make_app
from worker.web.passwords import hashed
from worker.web.patience import Impatient

DEFAULT_ADDRESS = "127.0.0.1:8088"
LOOK_SECONDS = 10  # a page that nobody waits for any more is not to keep others waiting
LOOKS_AT_ONCE = 10


def web(
    where: Annotated[
        str, typer.Argument(metavar="[HOST:PORT]", help="Where to listen; other than loopback only with a password.")
    ] = DEFAULT_ADDRESS,
    *,
    print_hash: Annotated[
        bool, typer.Option("--hash", help="Ask for a password and print what SMS_WEB_PASSWORD may hold instead of it.")
    ] = False,
) -> None:
    """Serve the web page until Ctrl-C.

    Without SMS_WEB_PASSWORD it is for this machine alone.

    Exit code 0: ended by Ctrl-C or SIGTERM. 2: wrong input or settings, an unreachable database, an address in use.
    """
    if print_hash:
        _print_hash()
        return
    host, port = address(where)
    settings = load_settings()
    _refuse_strangers(settings, host)
    with looking_at(settings.database_url) as engine:
        check_schema(engine)
    engine = make_engine(settings.database_url, connections=LOOKS_AT_ONCE, statement_timeout_seconds=LOOK_SECONDS)
    try:
        _serve(settings, uvicorn_config(make_app(settings, make_sessions(engine), now=utc_now)), host, port)
    finally:
        engine.dispose()


def uvicorn_config(app: object) -> uvicorn.Config:
    """How the page is served: without an access log, for phones stand in its queries, and without a server's name."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=Impatient,
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        ws="none",
        lifespan="off",
        timeout_keep_alive=30,
        timeout_graceful_shutdown=5,
        limit_concurrency=200,
    )


def _serve(settings: Settings, config: uvicorn.Config, host: str, port: int) -> None:
    listening = bound(host, port)
    name = f"[{host}]" if ":" in host else host
    url = f"http://{name}:{listening.getsockname()[1]}/"
    needs = "" if has_password(settings) else " (no password: for this machine alone)"
    typer.echo(f"Serving {url} until Ctrl-C{needs}.")
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn raises again what it was stopped by, when it is done
        signal.signal(number, lambda *_: None)
    uvicorn.Server(config).run(sockets=[listening])


def bound(host: str, port: int) -> socket.socket:
    """A socket for the page. Raises `WrongInput` if it cannot be had."""
    try:
        return _bound(host, port)
    except OSError as error:
        raise WrongInput(f"{host}:{port} cannot be listened on: {error.strerror or error}. Choose another.") from None


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(where)
    except OSError:
        listening.close()
        raise
    return listening


def has_password(settings: Settings) -> bool:
    """Whether anybody has to log in."""
    return bool(settings.web_password or settings.web_viewer_password)


def _refuse_strangers(settings: Settings, host: str) -> None:
    if not has_password(settings) and not _is_loopback(host):
        raise WrongInput(f"{host} is reached from other machines: set SMS_WEB_PASSWORD, or listen on 127.0.0.1.")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _print_hash() -> None:
    password: str = typer.prompt("Password", hide_input=True, confirmation_prompt="Again", err=True)
    typer.echo(hashed(password))
