"""The connections that nobody uses, and which of them count as warm."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier
from typing import Any

import pytest
from servers import wait_for
from wires import TAKEN, Answer, Heard, Wire, listening, nothing, take_and_leave

from worker.errors import NeverPosted, SubmissionUnconfirmed
from worker.gateway import OutgoingSms
from worker.gateway.http import MAX_IDLE_SECONDS, HttpGateway

OpenGateway = Callable[..., HttpGateway]
A_MOMENT = 0.5


class Watch:
    """Seconds that pass only when somebody says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def post(gateway: HttpGateway, number: int = 1) -> None:
    gateway.submit([OutgoingSms(number, f"99890111223{number}", "Salom")], nickname=None, begin=nothing)


def post_together(gateway: HttpGateway, pool: ThreadPoolExecutor, posts: int) -> None:
    """Each waits in its begin until all have a connection."""
    all_connected = Barrier(posts, timeout=20)

    def begin() -> None:
        all_connected.wait()

    def one(number: int) -> None:
        gateway.submit([OutgoingSms(number, f"99890111223{number}", "Salom")], nickname=None, begin=begin)

    list(pool.map(one, range(posts)))


def test_a_connection_is_warm_after_a_post_and_until_it_was_idle_for_long(
    open_gateway: OpenGateway, serve: Any, accepting: Any, watch: Watch
) -> None:
    gateway = open_gateway(url=serve(accepting).url, monotonic=watch)

    before = gateway.warm()
    post(gateway)
    after = gateway.warm()
    watch.seconds += MAX_IDLE_SECONDS
    too_late = gateway.warm()

    assert (before, after, too_late) == (0, 1, 0)


def test_a_connection_in_use_is_not_counted(open_gateway: OpenGateway, serve: Any, accepting: Any) -> None:
    warm: list[int] = []

    def count_and_accept(handler: Any) -> None:
        warm.append(gateway.warm())
        accepting(handler)

    gateway = open_gateway(url=serve(count_and_accept).url)
    post(gateway)
    post(gateway)

    assert warm == [0, 0]


def test_as_many_are_warm_as_were_used_together(
    open_gateway: OpenGateway, serve: Any, accepting: Any, watch: Watch, pool: ThreadPoolExecutor
) -> None:
    server = serve(accepting)
    gateway = open_gateway(url=server.url, monotonic=watch)

    post_together(gateway, pool, 3)
    post_together(gateway, pool, 3)

    assert (gateway.warm(), server.connections) == (3, 3)


def test_the_one_that_was_used_last_is_used_next_and_the_others_go_cold(
    open_gateway: OpenGateway, serve: Any, accepting: Any, watch: Watch, pool: ThreadPoolExecutor
) -> None:
    server = serve(accepting)
    gateway = open_gateway(url=server.url, monotonic=watch)
    post_together(gateway, pool, 2)

    for _ in range(5):
        watch.seconds += A_MOMENT
        post(gateway)

    assert (gateway.warm(), server.connections) == (1, 2)


def test_any_thread_uses_what_another_has_left(
    open_gateway: OpenGateway, serve: Any, accepting: Any, watch: Watch
) -> None:
    server = serve(accepting)
    gateway = open_gateway(url=server.url, monotonic=watch)

    for _ in range(3):
        thread = threading.Thread(target=post, args=(gateway,))
        thread.start()
        thread.join()

    assert (len(server.forms), server.connections) == (3, 1)


def hang_up(handler: Any) -> None:
    handler.close_connection = True


def test_a_connection_whose_post_was_cut_off_is_not_warm(open_gateway: OpenGateway, serve: Any) -> None:
    gateway = open_gateway(url=serve(hang_up).url)

    with pytest.raises(SubmissionUnconfirmed):
        post(gateway)

    assert gateway.warm() == 0


def saying(answer: bytes) -> Answer:
    """Answer so, and leave it to the client to close the connection."""

    def say(heard: Heard) -> None:
        heard.sock.sendall(answer)

    return say


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(saying(TAKEN.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n")), id="it says that it closes"),
        pytest.param(saying(TAKEN.replace(b"200 OK", b"502 Bad Gateway")), id="an answer that is not read to its end"),
        pytest.param(take_and_leave, id="it closes without a word"),
    ],
)
def test_a_connection_that_ended_with_its_answer_is_not_warm(
    open_gateway: OpenGateway, answer: Answer, watch: Watch
) -> None:
    wire = Wire(answer)
    with listening(wire):
        gateway = open_gateway(url=f"http://127.0.0.1:{wire.port}", monotonic=watch)

        with suppress(SubmissionUnconfirmed):
            post(gateway)

        assert wait_for(lambda: gateway.warm() == 0)


def test_one_that_its_server_has_closed_is_passed_over_for_one_that_stands(
    open_gateway: OpenGateway, pool: ThreadPoolExecutor, watch: Watch
) -> None:
    wire = Wire()
    with listening(wire):
        gateway = open_gateway(url=f"http://127.0.0.1:{wire.port}", monotonic=watch)
        post_together(gateway, pool, 3)

        wire.connections[0].hang_up()
        wait_for(lambda: gateway.warm() == 2)
        post(gateway)
        post(gateway)

    assert len(wire.connections) == 3


def test_a_connection_whose_post_never_began_is_not_warm(open_gateway: OpenGateway, serve: Any, accepting: Any) -> None:
    def too_late() -> None:
        raise NeverPosted("the time to begin was over")

    gateway = open_gateway(url=serve(accepting).url)

    with pytest.raises(NeverPosted):
        gateway.submit([OutgoingSms(1, "998901112233", "Salom")], nickname=None, begin=too_late)

    assert gateway.warm() == 0


def test_after_trouble_the_next_post_has_a_connection_of_its_own(
    open_gateway: OpenGateway, serve: Any, accepting: Any, watch: Watch
) -> None:
    answers = iter([hang_up, accepting])

    def answer(handler: Any) -> None:
        next(answers)(handler)

    server = serve(answer)
    gateway = open_gateway(url=server.url, monotonic=watch)
    with pytest.raises(SubmissionUnconfirmed):
        post(gateway)

    post(gateway)

    assert (gateway.warm(), server.connections) == (1, 2)
