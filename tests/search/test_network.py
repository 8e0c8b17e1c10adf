"""Addresses and interfaces of this machine."""

from __future__ import annotations

import socket

import pytest

from mmsa.search.execution.gang import LOOPBACK, interface_of, listening_socket


def test_the_loopback_address_is_that_of_a_loopback_interface():
    assert interface_of(LOOPBACK).startswith("lo")


def test_an_address_of_another_machine_has_no_interface_here():
    with pytest.raises(OSError, match=r"no network interface of .* has the address 192\.0\.2\.1"):
        interface_of("192.0.2.1")  # reserved for documentation


def test_a_socket_listens_on_its_own_address_only():
    with listening_socket(LOOPBACK) as server:
        address, port = server.getsockname()
        assert address == LOOPBACK
        socket.create_connection((LOOPBACK, port), timeout=5.0).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=5.0)
