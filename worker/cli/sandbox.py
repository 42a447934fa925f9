"""``sms sandbox``: the vendor's gateway as a local server."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from worker.sandbox.config import SandboxConfig
from worker.sandbox.server import serve

DEFAULT = SandboxConfig()

Host = Annotated[str, typer.Option(help="Where the gateway listens.")]
Port = Annotated[int, typer.Option(help="0 picks a free one.")]
ControlPort = Annotated[int, typer.Option(help="Journal and faults, on loopback.")]
Login = Annotated[str, typer.Option(help="The only login that it lets in.")]
Password = Annotated[str, typer.Option(help="Its password.")]
Nicknames = Annotated[
    list[str] | None, typer.Option(help="A sender name it knows; may be repeated. None: it knows them all.")
]
NicknameRequired = Annotated[bool, typer.Option(help="Refuse requests without a nickname.")]
RequestIds = Annotated[
    Literal["per-message", "shared", "colliding"], typer.Option(help="What one request_id stands for.")
]
DeliverySeconds = Annotated[tuple[float, float], typer.Option(help="Shortest and longest way to a phone.")]
FailSuffixes = Annotated[
    list[str] | None, typer.Option(help="Phones that end so are never reached; may be repeated. [default: 0000]")
]
LatencySeconds = Annotated[float, typer.Option(help="Before each answer.")]
Journal = Annotated[Path | None, typer.Option(help="A file that keeps what was taken beyond a restart.")]
BatchLimit = Annotated[int, typer.Option(help="Most messages in a request.")]


def sandbox(
    *,
    host: Host = DEFAULT.host,
    port: Port = DEFAULT.port,
    control_port: ControlPort = DEFAULT.control_port,
    login: Login = DEFAULT.login,
    password: Password = DEFAULT.password,
    nickname: Nicknames = None,
    nickname_required: NicknameRequired = False,
    request_ids: RequestIds = DEFAULT.request_ids,
    delivery_seconds: DeliverySeconds = DEFAULT.delivery_seconds,
    fail_suffix: FailSuffixes = None,
    latency_seconds: LatencySeconds = DEFAULT.latency_seconds,
    journal: Journal = None,
    batch_limit: BatchLimit = DEFAULT.batch_limit,
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
