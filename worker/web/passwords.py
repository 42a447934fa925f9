"""The passwords of the two roles."""

from itertools import permutations

from anyio import CapacityLimiter, to_thread
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError

from worker.errors import SettingsError
from worker.settings import Settings
from worker.web.visitors import Role

HASH = "$argon2"
AT_ONCE = 2  # each takes 64 MiB while it lasts
_hasher = PasswordHasher()
SAME = "SMS_WEB_VIEWER_PASSWORD must be another than SMS_WEB_PASSWORD."
_SETTINGS = {Role.OPERATOR: "SMS_WEB_PASSWORD", Role.VIEWER: "SMS_WEB_VIEWER_PASSWORD"}


def hashed(password: str) -> str:
    """What may stand in a setting in the place of *password*."""
    return _hasher.hash(password)


class Passwords:
    """Which role a password opens the page for."""

    def __init__(self, settings: Settings) -> None:
        """Raises `SettingsError` for a hash that is none, and for two roles with the same password."""
        set_ = {Role.OPERATOR: settings.web_password, Role.VIEWER: settings.web_viewer_password}
        known = {role: password.get_secret_value() for role, password in set_.items() if password}  # empty is none
        if len(set(known.values())) < len(known):
            raise SettingsError(SAME)
        self._hashes = {role: _as_hash(_SETTINGS[role], password) for role, password in known.items()}
        # Threads of their own: whoever guesses does not take those that the pages need.
        self._turns = CapacityLimiter(AT_ONCE)
        for one, other in permutations(known, 2):
            if _fits(self._hashes[one], known[other]):
                raise SettingsError(SAME)

    def __bool__(self) -> bool:
        """Whether anybody has to log in at all."""
        return bool(self._hashes)

    async def tried(self, password: str) -> Role | None:
        """The same as `role_of`, in a thread, when it is its turn."""
        return await to_thread.run_sync(self.role_of, password, limiter=self._turns)

    def role_of(self, password: str) -> Role | None:
        """The role that *password* opens, or None. Takes as long whichever it is, some tens of milliseconds.

        Two hashes may be of one password, and nobody sees it: that opens the lesser role.
        """
        fitting = [role for role, hash_ in self._hashes.items() if _fits(hash_, password)]
        return fitting[-1] if fitting else None


def _as_hash(setting: str, password: str) -> str:
    if not password.startswith(HASH):
        return hashed(password)
    try:
        extract_parameters(password)
    except (InvalidHashError, ValueError):
        raise SettingsError(f"{setting}: this is no hash of argon2: write what `sms web --hash` prints.") from None
    return password


def _fits(hash_: str, password: str) -> bool:
    try:
        return _hasher.verify(hash_, password)
    except (VerificationError, InvalidHashError):
        return False
