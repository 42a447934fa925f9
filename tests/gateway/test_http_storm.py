"""Many threads, every fault at once: what the client says is held against the gateway's own journal."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from wires import nothing

from worker.errors import GatewayError, SubmissionUnconfirmed
from worker.gateway import OutgoingSms
from worker.gateway.http import HttpGateway
from worker.sandbox.faults import Fault, Kind

THREADS, POSTS = 8, 240
FAULTS: tuple[Kind, ...] = (
    "cut-before",
    "cut-after",
    "hang",
    "bad-gateway-before",
    "bad-gateway-after",
    "half-json",
    "half-answer",
    "forbidden",
    "error",
)


# asyncio forgets a connection that it accepted while the sandbox's server was being closed.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_what_is_said_of_each_post_is_what_happened(open_gateway: Callable[..., HttpGateway], sandbox: Any) -> None:
    gateway = open_gateway(read_timeout_seconds=0.5, connections=THREADS)
    sandbox.control.set_faults(*(Fault(kind, probability=0.05) for kind in FAULTS))

    def post(number: int) -> tuple[str, dict[str, tuple[str | None, ...]]]:
        messages = [OutgoingSms(of, f"998{number:07}{of:02}", "text") for of in range(3)]
        if number == POSTS // 2:
            with sandbox.control.having(Fault("refuse-connections")):
                pass
        try:
            accepted = gateway.submit(messages, nickname=None, begin=nothing).accepted
        except SubmissionUnconfirmed:
            return "nobody knows", {}
        except GatewayError:
            return "not taken", {sms.phone: () for sms in messages}
        return "taken", {messages[sms.reference].phone: (sms.request_id, sms.message_id) for sms in accepted}

    with ThreadPoolExecutor(THREADS) as pool:
        said = list(pool.map(post, range(POSTS)))

    ids = {sms["phone"]: (str(sms["request_id"]), str(sms["message_id"])) for sms in sandbox.taken()}
    taken = {phone: of_phone for outcome, sms in said if outcome == "taken" for phone, of_phone in sms.items()}
    not_taken = {phone for outcome, sms in said if outcome == "not taken" for phone in sms}
    assert {"taken", "not taken", "nobody knows"} == {outcome for outcome, _ in said}
    assert taken == {phone: of_phone for phone, of_phone in ids.items() if phone in taken}
    assert not not_taken & ids.keys()
    assert len(ids) == len(sandbox.taken())
