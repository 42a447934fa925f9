"""Connections that tell exactly whether anything can have reached the gateway."""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import SSLError
from urllib3.util import Retry
from urllib3.util.ssl_match_hostname import CertificateError

from worker.cutter import CUTTER

#: Called with the socket right before the first byte of a request. urllib3 makes its connections by itself, so nothing
#: can be handed to them.
_before_writing: ContextVar[Callable[[Any], None]] = ContextVar("_before_writing")


@contextmanager
def one_request(begin: Callable[[], None], *, longest_seconds: float) -> Iterator[None]:
    """What surrounds a request of this thread, its answer's body included: it is cut off after *longest_seconds*.

    *begin* is called once the connection stands, right before the first byte; the seconds count from there. What it
    raises keeps the request from being written, and comes through if urllib3 and requests do not know its class.
    """
    with ExitStack() as ending:

        def begin_and_watch(sock: Any) -> None:
            begin()
            with before_the_first_byte():  # a system without a thread to spare cannot cut off
                CUTTER.watch(sock, seconds=longest_seconds)
            ending.callback(CUTTER.leave, sock)

        ending.callback(_before_writing.reset, _before_writing.set(begin_and_watch))
        yield


class ConnectFailed(Exception):
    """No connection came about, so no byte of the request was sent. *kind* is a word or two, without the address.

    It is none of the classes that urllib3 and requests catch and rename, so it comes through both as it is.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class _ConnectsFirst(HTTPConnection):
    # http.client would open a lost connection anew in the middle of a request; a failure then proves nothing.
    auto_open = 0
    _used = False

    def connect(self) -> None:
        self._used = False
        with before_the_first_byte():
            super().connect()

    def putrequest(self, method: str, url: str, skip_host: bool = False, skip_accept_encoding: bool = False) -> None:
        if self.sock is None:
            self.connect()
        super().putrequest(method, url, skip_host, skip_accept_encoding)

    def endheaders(self, *arguments: Any, **options: Any) -> None:
        # Up to here the request was only gathered.
        _before_writing.get()(self.sock)
        # A new connection may have something to read: the tickets of TLS.
        if self._used and not self.is_connected:
            raise ConnectFailed("closed before the first byte")
        self._used = True
        super().endheaders(*arguments, **options)

    def _tunnel(self) -> None:
        # A proxy's answer may trickle, too.
        sock = self.sock
        CUTTER.watch(sock, seconds=self.timeout)  # type: ignore[arg-type]  # nobody connects without one
        try:
            super()._tunnel()
        finally:
            CUTTER.leave(sock)


class _ConnectsFirstSecurely(_ConnectsFirst, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _ConnectsFirst


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _ConnectsFirstSecurely


KINDS = (
    (socket.gaierror, "DNS"),
    (ConnectionRefusedError, "refused"),
    (TimeoutError, "time-out"),
    ((ssl.SSLCertVerificationError, CertificateError), "TLS certificate"),
    ((ssl.SSLError, SSLError), "TLS"),
)
POOLS = {"http": _Pool, "https": _SecurePool}


class ConnectsFirstAdapter(HTTPAdapter):
    """Sends over one kept connection, never twice, and only within `one_request`.

    Raises `ConnectFailed` for all that goes wrong before the request.
    """

    def __init__(self) -> None:
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=Retry(0, read=False))

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = POOLS
        return manager

    def get_connection_with_tls_context(self, *arguments: Any, **options: Any) -> Any:
        with before_the_first_byte():
            return super().get_connection_with_tls_context(*arguments, **options)

    def cert_verify(self, *arguments: Any, **options: Any) -> None:
        with before_the_first_byte():
            super().cert_verify(*arguments, **options)  # type: ignore[no-untyped-call]


@contextmanager
def before_the_first_byte() -> Iterator[None]:
    """Turn any exception into `ConnectFailed`."""
    try:
        yield
    except Exception as error:
        raise ConnectFailed(kind_of(error)) from error


def kind_of(error: Exception) -> str:
    """What went wrong while connecting, in a word or two: it must not name the address, which may hold a password."""
    cause = error.__cause__ or error
    if "Tunnel connection failed" in str(error):
        return "proxy"
    return next((kind for classes, kind in KINDS if isinstance(cause, classes)), type(cause).__name__)
