"""Where things are."""

from urllib.parse import quote


def message_url(uid: str) -> str:
    """The story of one message.

    >>> message_url("shop/7 a")
    '/message/shop/7%20a'
    """
    return f"/message/{quote(uid)}"
