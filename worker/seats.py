"""Whose places at the turnstile are whose: so a message never waits for a connection that a later lane holds."""

from collections.abc import Sequence

from models.lifecycle import Lane
from worker.turnstile import Turnstile


def lanes_for(width: int, inside: int) -> Sequence[Lane]:
    """The lanes that the last of those *inside* may post: the last seat is kept for OTP, the last but one from bulk.

    So a message never waits for a connection that a later lane holds; with fewer than three seats none can be spared.
    """
    free = width - inside
    if width < len(Lane) or free >= len(Lane) - 1:
        return tuple(Lane)
    return tuple(Lane)[: free + 1]


class LastLook:
    """The lanes that its caller may post just now, and those that it was told last."""

    def __init__(self, turnstile: Turnstile) -> None:
        self._turnstile = turnstile
        self._told: Sequence[Lane] = tuple(Lane)

    def __call__(self) -> Sequence[Lane]:
        self._told = lanes_for(self._turnstile.width, self._turnstile.inside)
        return self._told

    @property
    def kept_from(self) -> Sequence[Lane]:
        """The lanes that its caller was not to post at last."""
        return [lane for lane in Lane if lane not in self._told]

    def would_see_more(self) -> bool:
        """Whether somebody who came in now might post lanes that the caller, who has left, was kept from."""
        return len(lanes_for(self._turnstile.width, self._turnstile.inside + 1)) > len(self._told)


def every_lane() -> Sequence[Lane]:
    """No lane is kept back."""
    return tuple(Lane)
