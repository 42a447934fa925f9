"""``sms sandbox``: the vendor's gateway as a local server."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from worker.sandbox.config import SandboxConfig
from worker.sandbox.server import serve

DEFAULT = SandboxConfig()


def sandbox(
    *,
    host: Annotated[str, typer.Option(help="Where the gateway listens.")] = DEFAULT.host,
    port: Annotated[int, typer.Option(help="0 picks a free one.")] = DEFAULT.port,
    control_port: Annotated[int, typer.Option(help="Journal and faults, on loopback.")] = DEFAULT.control_port,
    login: Annotated[str, typer.Option(help="The only login that it lets in.")] = DEFAULT.login,
    password: Annotated[str, typer.Option(help="Its password.")] = DEFAULT.password,
    nickname: Annotated[
        list[str] | None, typer.Option(help="A sender name it knows; may be repeated. None: it knows them all.")
    ] = None,
    nickname_required: Annotated[bool, typer.Option(help="Refuse requests without a nickname.")] = False,
    request_ids: Annotated[
        Literal["per-message", "shared", "colliding"], typer.Option(help="What one request_id stands for.")
    ] = DEFAULT.request_ids,
    delivery_seconds: Annotated[
        tuple[float, float], typer.Option(help="Shortest and longest way to a phone.")
    ] = DEFAULT.delivery_seconds,
    fail_suffix: Annotated[
        list[str] | None, typer.Option(help="Phones that end so are never reached; may be repeated. [default: 0000]")
    ] = None,
    latency_seconds: Annotated[float, typer.Option(help="Before each answer.")] = DEFAULT.latency_seconds,
    journal: Annotated[Path | None, typer.Option(help="A file that keeps what was taken beyond a restart.")] = None,
    batch_limit: Annotated[int, typer.Option(help="Most messages in a request.")] = DEFAULT.batch_limit,
) -> None:
    """Run the vendor's gateway, re-created from its document, until it is interrupted."""
    config = SandboxConfig(
        host=host,
        port=port,
        control_port=control_port,
        login=login,
        password=password,
        nicknames=tuple(nickname or ()),
        nickname_required=nickname_required,
        request_ids=request_ids,
        delivery_seconds=delivery_seconds,
        failing_suffixes=tuple(fail_suffix or DEFAULT.failing_suffixes),
        latency_seconds=latency_seconds,
        journal=journal,
        batch_limit=batch_limit,
    )
    try:
        serve(config)
    except OSError as error:
        typer.echo(f"The sandbox cannot start: {error}", err=True)
        raise typer.Exit(1) from None
