"""``sms up``: everything on this machine, until Ctrl-C."""

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from redis import Redis
from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Table
from sqlalchemy.engine import make_url

from migrations.schema import sqlite_file
from worker.cli.db import bring_to_this_release, looking_at
from worker.embedded import home as homes
from worker.embedded.home import LOGIN, PASSWORD, Home
from worker.embedded.supervisor import LOGS, Part, Supervisor, only_one, stopping_on_signals
from worker.errors import SettingsError
from worker.setting_errors import read_env_file
from worker.settings import SECRETS_DIR, Settings, load_settings
from worker.store.schema import check_schema
from worker.urls import without_secrets

DATABASE = {"SMS_DATABASE_URL"}
A_LOOK = "SELECT uid, phone, state, reason FROM messages"
BROKER = {"SMS_REDIS_URL", "SMS_BROKER_URL"}  # whoever has set either has a broker
GATEWAY = {"SMS_GATEWAY_URL", "SMS_GATEWAY_LOGIN", "SMS_GATEWAY_PASSWORD"}
LOOK_SECONDS = 3
FAKE_PHONE = "998900001234"
OWN_PHONE = "998… (your own number: this one really goes out)"

console = Console(highlight=False, markup=False, emoji=False)


def up(
    state: Annotated[Path, typer.Option(help="The folder of everything that a later start goes on with.")] = Path(
        ".sms/up"
    ),
) -> None:
    """Run everything on this machine until Ctrl-C.

    That is a Redis-compatible server, SQLite, the sandbox gateway, the worker, beat, and the web page. What the
    environment or .env sets (SMS_REDIS_URL, SMS_DATABASE_URL, SMS_GATEWAY_URL) is used instead of the embedded part.
    """
    homes.expect_writable(state)
    with only_one(state, "sms up"):
        home = homes.open_home(state)
        yours = _given()
        os.environ.update(_embedded_env(home, yours))
        settings = load_settings()
        _prepare_database(settings, mine="SMS_DATABASE_URL" not in yours)
        if "SMS_REDIS_URL" in yours:
            _look_at_redis(settings.redis_url)
        supervisor = Supervisor(
            _parts(home, yours), folder=home.folder, env=os.environ, cwd=Path.cwd(), say=console.print
        )
        _run(supervisor, home, settings, yours)


def _run(supervisor: Supervisor, home: Home, settings: Settings, yours: set[str]) -> None:
    with stopping_on_signals(supervisor):
        try:
            console.print("Starting …")
            supervisor.start()
            if not supervisor.stopping:
                _show(home, settings, yours)
            supervisor.run()
            console.print("Stopping; a second Ctrl-C kills.")
        finally:
            supervisor.stop()
    console.print("Stopped. The next `sms up` goes on from here.")


def _given() -> set[str]:
    """The names of all settings that the person has set in some way."""
    secrets = Path(os.environ.get(SECRETS_DIR) or os.devnull)
    files = {file.name: "set" for file in secrets.iterdir()} if secrets.is_dir() else {}
    every = {**files, **read_env_file(), **os.environ}
    return {name.upper() for name, value in every.items() if value}


def _embedded_env(home: Home, yours: set[str]) -> dict[str, str]:
    env: dict[str, str] = {}
    if not yours & BROKER:
        env["SMS_REDIS_URL"] = home.redis_url
    if "SMS_DATABASE_URL" not in yours:
        env["SMS_DATABASE_URL"] = home.database_url
    if "SMS_GATEWAY_URL" not in yours:
        env |= home.gateway_env()  # never the person's own login to a gateway that only plays
    return env


def _parts(home: Home, yours: set[str]) -> list[Part]:
    parts = [] if yours & BROKER else [homes.redis_part(home)]
    if "SMS_GATEWAY_URL" not in yours:
        parts.append(homes.sandbox_part(home))
    return [*parts, homes.worker_part(home), homes.beat_part(), homes.web_part(home)]


def _prepare_database(settings: Settings, *, mine: bool) -> None:
    """Migrate the embedded database. The person's own is only looked at: raises `SchemaMismatch`."""
    if mine:
        bring_to_this_release(settings.database_url)
        return
    with looking_at(settings.database_url) as engine:
        check_schema(engine)


def _look_at_redis(url: str) -> None:
    try:
        with Redis.from_url(url, socket_timeout=LOOK_SECONDS, socket_connect_timeout=LOOK_SECONDS) as redis:
            redis.ping()
    except RedisError as error:
        why = str(error).splitlines()[0]
        raise SettingsError(f"SMS_REDIS_URL: Redis at {without_secrets(url)} does not answer: {why}") from None


def _show(home: Home, settings: Settings, yours: set[str]) -> None:
    console.print(f"\nLook at it:  {home.web_url}\n", soft_wrap=True)
    table = Table("part", "whose", "address")
    for part, names, url in (
        ("broker", BROKER, settings.broker),
        ("database", DATABASE, settings.database_url),
        ("gateway", {"SMS_GATEWAY_URL"}, settings.gateway_url),
    ):
        table.add_row(part, "yours" if yours & names else "embedded", without_secrets(url))
    console.print(table)
    plays = "SMS_GATEWAY_URL" not in yours
    lines = [
        f"Logs:    {home.folder / LOGS}",
        *([f"Ask it:  sqlite3 {home.database} {shlex.quote(A_LOOK)}"] * (not yours & DATABASE)),
        *([f"Sandbox: {home.control_url}/journal; it answers like the vendor's gateway and sends nothing."] * plays),
        f"\nA first SMS, from another terminal:\n\n  {_first_sms(settings, FAKE_PHONE if plays else OWN_PHONE)}",
        f"\nBefore any other `sms` command, in another terminal, paste:\n\n  {_export(settings, yours)}",
        f"\nThen, for example:\n\n  {shlex.quote(str(Path(sys.executable).with_name('sms')))} costs",
        "\nCtrl-C stops everything.",
    ]
    console.print(*lines, sep="\n", soft_wrap=True)


def _export(settings: Settings, yours: set[str]) -> str:
    """What leads another terminal here, without a password of the person's own: whoever has one has set it."""
    there = {"SMS_DATABASE_URL": _from_any_folder(settings.database_url)}
    if settings.broker_is_redis:
        there["SMS_REDIS_URL"] = settings.redis_url
    if settings.redis_key_prefix:
        there["SMS_REDIS_KEY_PREFIX"] = settings.redis_key_prefix
    shown = {name: url for name, url in there.items() if "://" not in url or url == without_secrets(url)}
    missing = there.keys() - shown.keys()
    if "SMS_GATEWAY_URL" in yours:
        missing |= GATEWAY
    else:
        shown |= {"SMS_GATEWAY_URL": settings.gateway_url, "SMS_GATEWAY_LOGIN": LOGIN, "SMS_GATEWAY_PASSWORD": PASSWORD}
    values = " \\\n    ".join(f"{name}={shlex.quote(value)}" for name, value in shown.items())
    line = [f"export {values}"] * bool(shown)
    hint = [f"(and set there as you have set it here: {', '.join(sorted(missing))})"] * bool(missing)
    return "\n\n  ".join(line + hint)


def _from_any_folder(url: str) -> str:
    file = sqlite_file(url)
    made = make_url(url)
    return (made.set(database=str(file.absolute())) if file else made).render_as_string(hide_password=False)


def _first_sms(settings: Settings, phone: str) -> str:
    broker = without_secrets(settings.broker)
    prefix = {"broker_transport_options": {"global_keyprefix": settings.redis_key_prefix}}
    changes = f", changes={json.dumps(prefix)}" if settings.redis_key_prefix else ""
    script = (
        f'from celery import Celery; print(Celery(broker="{broker}"{changes})'
        f'.send_task("sms.send", args=["{phone}", "Your code is 4821"], queue="sms.otp").id)'
    )
    hint = "" if broker == settings.broker else "\n\n  (with your broker's password and options put in)"
    return f"{shlex.quote(sys.executable)} -c {shlex.quote(script)}{hint}"
