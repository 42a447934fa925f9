"""The one who cuts off: only those whose time is over, whatever they wait for, and in every process anew."""

import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from wires import server_context

from worker.cutter import Cutter

SELF_SIGNED = Path(__file__).parent / "self_signed.pem"
Pair = tuple[socket.socket, socket.socket]

FORKING = """
import os
import socket
from worker.cutter import CUTTER

def cuts_off(seconds):
    near, far = socket.socketpair()
    near.settimeout(20)
    CUTTER.watch(near, seconds=seconds)
    return near.recv(1) == b""

assert cuts_off(0.0), "in the parent"
mine, peer = socket.socketpair()
CUTTER.watch(mine, seconds=0.5)
child = os.fork()
if child == 0:
    os._exit(0 if cuts_off(0.6) else 1)
CUTTER.leave(mine)
assert os.waitpid(child, 0)[1] == 0, "in the child"
mine.sendall(b"x")
assert peer.recv(2) == b"x", "the child cut off its parent's connection"
"""


@pytest.fixture
def cutter() -> Cutter:
    return Cutter(look_every_seconds=0.01)


@pytest.fixture(params=["in clear", "TLS"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Two ends of a connection."""
    near, far = a_pair()
    if request.param == "TLS":
        with ThreadPoolExecutor(1) as other_side:
            answering = other_side.submit(server_context(SELF_SIGNED).wrap_socket, far, server_side=True)
            near = ssl.create_default_context(cafile=SELF_SIGNED).wrap_socket(near, server_hostname="127.0.0.1")
            far = answering.result(20)
    with near, far:
        yield near, far


def a_pair() -> Pair:
    near, far = socket.socketpair()
    near.settimeout(20)
    far.settimeout(20)
    return near, far


def test_who_reads_sees_the_end(cutter: Cutter, pair: Pair) -> None:
    near, _ = pair
    with ThreadPoolExecutor(1) as reading:
        read = reading.submit(near.recv, 1)

        cutter.watch(near, seconds=0.05)

        assert read.result(20) == b""


def test_who_writes_to_one_that_does_not_read_cannot_go_on(cutter: Cutter, pair: Pair) -> None:
    near, _ = pair
    with ThreadPoolExecutor(1) as writing:
        written = writing.submit(near.sendall, b"x" * 2**26)

        cutter.watch(near, seconds=0.05)

        assert isinstance(written.exception(20), OSError)


def test_who_was_left_in_time_is_not_cut_off(cutter: Cutter, pair: Pair) -> None:
    near, far = pair
    later, peer = a_pair()
    with later, peer:
        cutter.watch(near, seconds=0.3)
        cutter.leave(near)
        cutter.watch(later, seconds=0.3)
        assert later.recv(1) == b""

    far.sendall(b"x")

    assert near.recv(1) == b"x"


def test_one_that_is_closed_already_keeps_nobody_from_being_cut_off(cutter: Cutter, pair: Pair) -> None:
    near, _ = pair
    closed, peer = a_pair()
    cutter.watch(closed, seconds=0.0)
    closed.close()
    peer.close()

    cutter.watch(near, seconds=0.0)

    assert near.recv(1) == b""


def test_all_of_them_need_one_thread(cutter: Cutter) -> None:
    before = threading.active_count()
    with ExitStack() as closing:
        for near, far in [a_pair() for _ in range(50)]:
            closing.enter_context(near)
            closing.enter_context(far)
            cutter.watch(near, seconds=20)

        assert threading.active_count() == before + 1


def test_a_child_of_a_fork_cuts_off_its_own_connections_and_not_its_parents() -> None:
    forked = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, timeout=60, check=False)

    assert (forked.returncode, forked.stderr) == (0, "")
