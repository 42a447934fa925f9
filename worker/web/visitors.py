"""Who is looking: a name for the audit, and a role."""

from enum import StrEnum
from typing import NamedTuple, cast

from starlette.requests import HTTPConnection


class Role(StrEnum):
    """What somebody may do."""

    VIEWER = "viewer"  #: look, with phones masked and without texts
    OPERATOR = "operator"  #: see everything, and act


class Visitor(NamedTuple):
    """Somebody who is logged in."""

    who: str  #: the name that was typed at log in
    role: Role

    @property
    def audit_name(self) -> str:
        """As it stands in ``decisions.who``."""
        return f"web:{self.who}"

    @property
    def reveals(self) -> bool:
        """Whether whole phones, texts and bodies may be shown."""
        return self.role == Role.OPERATOR

    @property
    def may_act(self) -> bool:
        """Whether anything may be changed."""
        return self.role == Role.OPERATOR


LOCAL = Visitor("local", Role.OPERATOR)  # everybody on this machine, where no password is set


def visitor(request: HTTPConnection) -> Visitor:
    """Who sent *request*; only where somebody is logged in."""
    return cast("Visitor", request.scope["visitor"])
