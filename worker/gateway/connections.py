"""Connections that tell exactly whether anything can have reached the gateway."""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import SSLError
from urllib3.util import Retry
from urllib3.util.ssl_ import create_urllib3_context
from urllib3.util.ssl_match_hostname import CertificateError
from urllib3.util.wait import wait_for_read

from worker.cutter import CUTTER

#: Called with the socket right before the first byte of a request. urllib3 makes its connections by itself, so nothing
#: can be handed to them.
_before_writing: ContextVar[Callable[[Any], None]] = ContextVar("_before_writing")


@contextmanager
def one_request(
    adapter: "ConnectsFirstAdapter", begin: Callable[[], None], *, longest_seconds: float
) -> Iterator[None]:
    """What surrounds a request of this thread, its answer's body included: it is cut off after *longest_seconds*.

    *begin* is called once the connection stands, right before the first byte; the seconds count from there. What it
    raises keeps the request from being written, and comes through if urllib3 and requests do not know its class.
    """
    with ExitStack() as ending:

        def begin_and_watch(sock: Any) -> None:
            adapter.sock = sock
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

    def __init__(self, authorities: str) -> None:
        """*authorities* is the path of those to trust over TLS, a file or a folder, for proxies as well."""
        self._authorities = Path(authorities)
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=Retry(0, read=False))
        self.sock: Any = None  #: of the request that it sent last

    def stands(self) -> bool:
        """Whether its connection is there for another request: neither side has closed it, as far as is known."""
        try:
            return self.sock is not None and not wait_for_read(self.sock, timeout=0)
        except (OSError, ValueError):  # closed on this side, perhaps in this very moment by another thread
            return False

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        if proxy.lower().startswith("https:"):
            options["proxy_ssl_context"] = trusting(self._authorities)
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = POOLS
        return manager

    def get_connection_with_tls_context(self, *arguments: Any, **options: Any) -> Any:
        with before_the_first_byte():
            return super().get_connection_with_tls_context(*arguments, **options)

    def build_connection_pool_key_attributes(self, request: Any, *_: Any, **__: Any) -> Any:
        host, options = super().build_connection_pool_key_attributes(request, verify=True)
        return host, {**options} | ({"ssl_context": trusting(self._authorities)} if host["scheme"] == "https" else {})

    def cert_verify(self, *_: Any, **__: Any) -> None:
        """Nothing is left to do: else requests would name the file of authorities for each connection to read."""


def trusting(authorities: Path) -> ssl.SSLContext:
    """What verifies whoever is connected to, by a file or folder of *authorities*.

    They are read once, and again when they change: that takes 20 to 30 ms of CPU. Raises `OSError`.
    """
    return _trusting(authorities, authorities.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _trusting(authorities: Path, _: int) -> ssl.SSLContext:
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
    place = "capath" if authorities.is_dir() else "cafile"
    context.load_verify_locations(**{place: str(authorities)})
    return context


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
