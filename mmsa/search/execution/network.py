"""Addresses of this machine, for processes that find each other."""

from __future__ import annotations

import fcntl
import socket
import struct

LOOPBACK = "127.0.0.1"
_ADDRESS_OF_INTERFACE = 0x8915  # SIOCGIFADDR of Linux
_REQUEST = "256s"


def listening_socket(address: str) -> socket.socket:
    """A socket that listens on a free port of ``address`` and on no other address."""
    return socket.create_server((address, 0))


def interface_of(address: str) -> str:
    """The name of the network interface that has the IPv4 ``address``.

    gloo and NCCL take names; left alone, gloo takes the address that the host's name resolves to, which on
    many machines is a loopback address.

    Raises:
        OSError: where no interface has it.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for _, name in socket.if_nameindex():
            try:
                request = struct.pack(_REQUEST, name.encode())
                answer = fcntl.ioctl(any_socket, _ADDRESS_OF_INTERFACE, request)
            except OSError:  # an interface without an address
                continue
            if socket.inet_ntoa(answer[20:24]) == address:
                return name
    raise OSError(f"no network interface of {socket.gethostname()} has the address {address}")
