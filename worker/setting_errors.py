"""What is said of settings that are wrong: one line each, which names the setting and quotes no value."""

import difflib
from collections.abc import Iterable
from io import StringIO
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import ValidationError

from worker.errors import SettingsError

PREFIX = "SMS_"
ENV_FILE = ".env"
NONE_OF_THEM = {"SMS_QUIET_HOURS_OTP": " OTP is posted at any hour."}  # what one may look for, and why it is not there
SECRETS = ("PASSWORD", "SECRET")  # how the names of settings end whose value may begin with anything
NEAR = 0.5  # of what stands behind the prefix, which all of them have

_NUMBER, _WHOLE, _WRITTEN = "must be a number such as 95", "must be a whole number", "must not be empty"
#: pydantic's type of an error, and what is allowed; in brackets a name of the error's own context.
ALLOWED = {
    "bool_parsing": "must be true or false",
    "float_parsing": _NUMBER,
    "finite_number": _NUMBER,
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE,
    "int_from_float": _WHOLE,
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
    "string_too_short": _WRITTEN,
    "too_short": _WRITTEN,
}


def first_line(error: ValidationError) -> str:
    """All settings that are missing, or else the first that is wrong and what is allowed."""
    errors: list[Any] = error.errors(include_input=False, include_url=False)
    missing = [PREFIX + str(one["loc"][0]).upper() for one in errors if one["type"] == "missing"]
    if missing:
        return f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set. .env.example says what they mean."
    first = errors[0]
    name = PREFIX + str(first["loc"][0]).upper() if first["loc"] else ""
    return f"{name}: {_allowed(first)}".removeprefix(": ")


def _allowed(error: dict[str, Any]) -> str:
    said = ALLOWED.get(error["type"])
    if said is None:
        return str(error["msg"]).removeprefix("Value error, ")
    return said.format_map({name: _plain(limit) for name, limit in error.get("ctx", {}).items()})


def _plain(limit: object) -> str:
    """A limit as people write it: 600 and not 600.0; words without the quotes that pydantic puts around them."""
    if isinstance(limit, int | float):
        return f"{limit:.12g}"
    return str(limit).replace("'", "").replace(" or ", ", ")


def refuse_unknown(names: Iterable[str], known: Iterable[str]) -> None:
    """Raise `SettingsError` for the first of *names* that looks like a setting and is none of those *known*."""
    bare = [name.removeprefix(PREFIX) for name in known]
    for name in names:
        upper = name.upper()
        if upper.startswith(PREFIX) and upper.removeprefix(PREFIX) not in bare:
            near = difflib.get_close_matches(upper.removeprefix(PREFIX), bare, n=1, cutoff=NEAR)
            hint = NONE_OF_THEM.get(upper) or (f" Did you mean {PREFIX}{near[0]}?" if near else "")
            raise SettingsError(
                f"{_shown(name, bare)}: there is no such setting.{hint} All of them are in .env.example."
            )


def _shown(name: str, known: Iterable[str]) -> str:
    """As much of an unknown *name* as holds no value: where an = is missing, the value stands in it."""
    written = name.upper().removeprefix(PREFIX)
    begins = max((one for one in known if written.startswith(one)), key=len, default="")
    rest = written.removeprefix(begins)
    if begins and (not rest.startswith("_") or begins.endswith(SECRETS)):
        return f"{PREFIX}{begins}…"
    return name if name.isidentifier() else f"{PREFIX}…"


def read_env_file() -> dict[str, str | None]:
    """What stands in the ``.env`` of the current folder; nothing if there is none. Raises `SettingsError`."""
    try:
        text = Path(ENV_FILE).read_text("utf-8")
    except FileNotFoundError:
        return {}
    except IsADirectoryError:
        raise SettingsError(f"{ENV_FILE} is a folder. It is to be a file of lines NAME=value, or not there.") from None
    except (OSError, ValueError) as error:
        raise SettingsError(f"{ENV_FILE} cannot be read ({type(error).__name__}). It is text in UTF-8.") from None
    lines = parse_stream(StringIO(text))
    broken = next((one.original.line for one in lines if one.error or (one.key and one.value is None)), None)
    if broken is not None:
        raise SettingsError(f"{ENV_FILE}: line {broken} cannot be read. Write NAME=value, and close each quote.")
    return dotenv_values(stream=StringIO(text))
