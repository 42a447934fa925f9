"""Addresses as people may see them."""

from urllib.parse import urlsplit


def without_secrets(url: str) -> str:
    """Scheme, host, port and path: a password may stand in the user part, and in the query too.

    >>> without_secrets("redis://:secret@10.0.0.1:6379/3?password=secret")
    'redis://10.0.0.1:6379/3'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
