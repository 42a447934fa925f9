"""docs/settings.md and .env.example say what `Settings` says. Run as a script, this file writes both anew."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from worker.settings import PREFIX, SECRETS_DIR, Settings, load_settings

ROOT = Path(__file__).parents[2]
PAGE, EXAMPLE = ROOT / "docs/settings.md", ROOT / ".env.example"
REQUIRED = {
    "SMS_GATEWAY_URL": "https://gateway.example/smsgateway",
    "SMS_GATEWAY_LOGIN": "we",
    "SMS_GATEWAY_PASSWORD": "x",
}
SECRETS_MEANING = "A folder of secret files, each named like its setting. Only from the environment, not from .env."

PAGE_HEAD = """# Settings

Written by `make docs` from `worker/settings.py`.

A setting comes from the environment, else from `.env` in the current folder, else from a file of its name in the folder
`SMS_SECRETS_DIR`. A wrong or missing one, and an `SMS_…` name that is not here, stop the start with one line that says
what is allowed. Every process reads them all: the worker, beat, and `celery -A worker …` of any kind. `sms db` needs
`SMS_DATABASE_URL` alone.

| setting | default | meaning |
|---|---|---|
"""
EXAMPLE_HEAD = """# Every setting, with its default and meaning. Copy to .env, fill in the first
# three, uncomment what you change. Written by `make docs` from worker/settings.py.
"""


def fields() -> Iterator[tuple[str, FieldInfo]]:
    """Every setting by its name in the environment, the required ones first."""
    found = {PREFIX + name.upper(): field for name, field in Settings.model_fields.items()}
    yield from sorted(found.items(), key=lambda named: not named[1].is_required())


def written(default: Any) -> str:
    """A default as it stands in the environment; nothing for None."""
    if default is None:
        return ""
    if isinstance(default, tuple):
        return ",".join(map(written, default))
    if isinstance(default, dict):
        return ",".join(f"{name}={price:g}" for name, price in default.items())
    return str(default).lower() if isinstance(default, bool) else str(default)


def allowed(field: FieldInfo) -> str:
    """The words that are allowed, where only some are, unless the description names them."""
    words = [word for word in get_args(field.annotation) if isinstance(word, str)]
    return f" One of {', '.join(words)}." if any(word not in str(field.description) for word in words) else ""


def page() -> str:
    rows = []
    for name, field in fields():
        default = "**required**" if field.is_required() else f"`{written(field.default)}`".replace("``", "–")
        rows.append(f"| `{name}` | {default} | {field.description}{allowed(field)} |")
    rows.append(f"| `{SECRETS_DIR}` | – | {SECRETS_MEANING} |")
    return PAGE_HEAD + "\n".join(rows) + "\n"


def example() -> str:
    blocks = []
    for name, field in fields():
        line = f"{name}=" if field.is_required() else f"#{name}={written(field.default)}"
        blocks.append(f"\n# {field.description}{allowed(field)}\n{line}\n")
    return EXAMPLE_HEAD + "".join(blocks)


@pytest.mark.check
@pytest.mark.parametrize(
    ("file", "render"), [pytest.param(PAGE, page, id="page"), pytest.param(EXAMPLE, example, id="env")]
)
def test_a_page_of_settings_says_what_the_code_says(file: Path, render: Any) -> None:
    assert file.read_text(encoding="utf-8") == render(), "run `make docs`"


@pytest.mark.check
def test_every_setting_says_in_one_line_what_it_means() -> None:
    for name, field in fields():
        assert field.description, name
        assert "\n" not in field.description, name
        assert "|" not in field.description, name


@pytest.mark.check
@pytest.mark.parametrize("uncommented", [False, True], ids=["required ones filled in", "every line uncommented"])
def test_the_example_is_a_valid_env_file_once_filled_in(
    uncommented: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    lines = [line.removeprefix("#") if uncommented and line.startswith("#SMS_") else line for line in lines]
    filled = [line + REQUIRED.get(line.removesuffix("="), "") for line in lines]
    (tmp_path / ".env").write_text("\n".join(filled), encoding="utf-8")
    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    settings = load_settings()

    assert settings.gateway_url == REQUIRED["SMS_GATEWAY_URL"]
    for name, field in Settings.model_fields.items():
        if not field.is_required():
            assert (plain(getattr(settings, name)) or None) == (field.default or None), name


@pytest.mark.check
def test_a_secret_file_is_read_and_loses_its_last_line_end(tmp_path: Path) -> None:
    (tmp_path / "SMS_GATEWAY_PASSWORD").write_text("hush\n")
    (tmp_path / "sms_gateway_login").write_text("we")
    env = {"SMS_SECRETS_DIR": str(tmp_path), "SMS_GATEWAY_URL": REQUIRED["SMS_GATEWAY_URL"], "PATH": os.environ["PATH"]}
    ask = "from worker.settings import load_settings; s = load_settings()"
    ask += "; print(s.gateway_login, s.gateway_password.get_secret_value())"

    answer = subprocess.run(
        [sys.executable, "-c", ask], env=env, cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert answer.stdout == "we hush\n"


def plain(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    EXAMPLE.write_text(example(), encoding="utf-8")
