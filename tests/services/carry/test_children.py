"""Where the children of a demo listen."""

import socket

from services.carry.demo.children import free_port

EPHEMERAL = 32_768  # the first port that Linux gives an outgoing connection


def test_a_port_is_one_that_no_connection_is_given_and_none_is_offered_twice() -> None:
    ports = [free_port() for _ in range(200)]
    assert len(set(ports)) == 200
    assert max(ports) < EPHEMERAL


def test_a_wanted_port_is_kept_and_another_one_found_where_somebody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        wanted = int(taken.getsockname()[1])
        assert free_port(wanted) != wanted
    assert free_port(wanted) == wanted
