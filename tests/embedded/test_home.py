import json
import socket
from pathlib import Path

import pytest

from worker.embedded import home as homes
from worker.errors import SmsError


def test_a_folder_keeps_its_addresses(tmp_path: Path) -> None:
    first = homes.open_home(tmp_path)

    assert homes.open_home(tmp_path) == first
    assert len({first.redis_port, first.gateway_port, first.control_port, first.web_port}) == 4


def test_a_folder_of_an_earlier_release_gets_a_port_for_the_web_page_and_keeps_the_others(tmp_path: Path) -> None:
    kept = {"redis_port": 20001, "gateway_port": 20002, "control_port": 20003}
    (tmp_path / "state.json").write_text(json.dumps(kept))

    first = homes.open_home(tmp_path)

    assert (first.redis_port, first.gateway_port, first.control_port) == (20001, 20002, 20003)
    assert homes.open_home(tmp_path) == first


@pytest.mark.parametrize("folder", ["file/x", "file"], ids=["in a file", "a file"])
def test_a_folder_that_cannot_be_one_is_named_with_what_to_do(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(SmsError, match=f"{tmp_path / folder} cannot be used: .* Name one that you may write"):
        homes.expect_writable(tmp_path / folder)


@pytest.mark.parametrize(
    "kept",
    ["", "{}", "[1]", '{"redis_port": 1}', '{"redis_port": 1, "gateway_port": 2, "control_port": 3, "web": 4}'],
    ids=["empty", "nothing", "a list", "a part", "something else"],
)
def test_an_unreadable_state_says_what_to_do(tmp_path: Path, kept: str) -> None:
    (tmp_path / "state.json").write_text(kept)

    with pytest.raises(SmsError, match="Remove it: new ports are chosen then, the database stays"):
        homes.open_home(tmp_path)


def test_a_port_that_somebody_else_has_taken_is_named(tmp_path: Path) -> None:
    home = homes.open_home(tmp_path)

    with (
        socket.create_server(("127.0.0.1", home.redis_port)),
        pytest.raises(SmsError, match=f"Port {home.redis_port} is taken"),
    ):
        homes.redis_part(home)
