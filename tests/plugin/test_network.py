import socket
import sys

import pytest

EVENTS = ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname")


@pytest.fixture(scope="module")
def heard():
    """What was asked of the network; Python forgets no such listener, so it only notes."""
    heard = []
    sys.addaudithook(lambda event, _arguments: heard.append(event) if event in EVENTS else None)
    return heard


def test_nothing_in_the_widget_asks_the_network(open_widget, start, finish, heard):
    heard.clear()
    viewer, widget = open_widget()
    start(viewer, widget, steps=2)
    finish(widget)
    assert heard == []
    with socket.socket() as line:
        line.connect_ex(("127.0.0.1", 9))
    assert heard == ["socket.connect"]
