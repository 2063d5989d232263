"""The address that a console listens on."""

import socket

import pytest

from console.serve import _listen
from processor.settings import SettingsError


def test_connections_send_at_once_what_they_have():
    with _listen("127.0.0.1", 0) as listening:
        listening.listen()
        with socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
            # By this asyncio knows a connection on which it is to set TCP_NODELAY.
            assert accepted.proto == socket.IPPROTO_TCP


def test_an_address_that_is_taken_is_named():
    with _listen("127.0.0.1", 0) as first:
        first.listen()
        port = first.getsockname()[1]

        with pytest.raises(SettingsError, match=rf"CONSOLE_PORT.*127\.0\.0\.1:{port}: Address"):
            _listen("127.0.0.1", port)
