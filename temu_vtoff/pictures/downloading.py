"""Fetches photos from http(s) addresses: within limits of size and time, from public servers, and only pictures.

Each host is resolved once, its addresses are checked, and the connection goes to a checked one. So neither a redirect
nor a name that changes its address in between (DNS rebinding) leads to a private server.
"""

from __future__ import annotations

import io
import ipaddress
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpcore
import httpx
from PIL import Image

from temu_vtoff.errors import reason_of
from temu_vtoff.files import write_bytes
from temu_vtoff.pictures.formats import HEIF_SUFFIXES, register_plugin

MOST_BYTES = 64 * 2**20
SECONDS = 60  # for one picture, redirects included
SILENCE = 15  # seconds without an answer
MOST_REDIRECTS = 5
_PIECE = 2**16  # bytes
_HEADERS = {"User-Agent": "temu-vtoff-toolkit", "Accept": "image/*", "Accept-Encoding": "identity"}
# Of Pillow's formats; the others' are the format's name.
_SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "JPEG2000": ".jp2", "TIFF": ".tif"}
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # IPv4 addresses as networks with IPv6 only write them


def fetch_picture(address: str, folder: str | Path, name: str, *, private: bool = False) -> Path:
    """Writes the picture at an address to `<folder>/<name>` with its format's suffix, and returns that path.

    Args:
        address: http:// or https://.
        folder: Made when there is a picture to write.
        private: Whether the address's own host may be a private one: this computer, or one of the local network.
            Redirects to other private hosts are refused all the same. Proxies are not used.

    Raises:
        ValueError: It can't be fetched, is too large or too slow, or is no picture; one sentence, which names it.
    """
    data = fetch_bytes(address, private=private)
    path = Path(folder) / f"{name}{_suffix(data, address)}"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, data)
    return path


def fetch_bytes(address: str, *, private: bool = False) -> bytes:
    """What is at an address, within the limits above.

    Args:
        address, private: Arguments of `fetch_picture`.

    Raises:
        ValueError: It can't be fetched, is too large or too slow; one sentence, which names it.
    """
    try:
        return _download(httpx.URL(address), private)
    except (httpcore.TimeoutException, TimeoutError) as error:
        raise ValueError(f"{address} can't be fetched: the server takes too long.") from error
    except (ValueError, OSError, httpx.InvalidURL, httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise ValueError(f"{address} can't be fetched: {reason_of(error)}.") from error


def _download(url: httpx.URL, private: bool) -> bytes:
    network = _Network(url.raw_host.decode("ascii") if private else None, time.monotonic() + SECONDS)
    with httpcore.ConnectionPool(ssl_context=httpx.create_ssl_context(), network_backend=network) as pool:
        for _ in range(MOST_REDIRECTS + 1):
            if url.scheme not in ("http", "https") or not url.host:
                raise ValueError("it leads to no http(s) address")
            target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
            limits = dict.fromkeys(("connect", "read", "write", "pool"), SILENCE)
            with pool.stream("GET", target, headers=_HEADERS, extensions={"timeout": limits}) as response:
                headers = httpx.Headers(response.headers)
                if response.status in (301, 302, 303, 307, 308) and "location" in headers:
                    url = url.join(headers["location"])
                    continue
                if response.status != 200:
                    raise ValueError(f"the server answers with status {response.status}")
                return _read(response.iter_stream())
    raise ValueError(f"it is redirected more than {MOST_REDIRECTS} times")


def _read(pieces: Iterable[bytes]) -> bytes:
    data = bytearray()
    for piece in pieces:
        data += piece
        if len(data) > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES // 2**20} MB")
    return bytes(data)


def _suffix(data: bytes, address: str) -> str:
    """The suffix of a picture's format.

    Raises:
        ValueError: It is no picture.
    """
    register_plugin(HEIF_SUFFIXES[0])
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return _SUFFIXES.get(picture.format, f".{picture.format.lower()}")
    except Exception as error:  # Pillow's readers raise all kinds on what is none
        raise ValueError(f"{address} is no picture that can be read.") from error


class _Network(httpcore.NetworkBackend):
    """Connects to checked addresses only, and until a moment only.

    Args:
        private_host: A host that may be private.
        end: When it must be over, of `time.monotonic()`.
    """

    def __init__(self, private_host: str | None, end: float) -> None:
        self.private_host, self.end = private_host, end
        self.backend = httpcore.SyncBackend()

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, **how: Any) -> httpcore.NetworkStream:
        failure: Exception | None = None
        for address in _resolve(host, port, private=host == self.private_host):
            try:
                stream = self.backend.connect_tcp(address, port, timeout=_left(self.end, timeout), **how)
                return _Stream(stream, self.end)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


class _Stream(httpcore.NetworkStream):
    """A connection that ends at a moment, however slowly the bytes come."""

    def __init__(self, stream: httpcore.NetworkStream, end: float) -> None:
        self.stream, self.end = stream, end

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.stream.read(min(max_bytes, _PIECE), _left(self.end, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.stream.write(buffer, _left(self.end, timeout))

    def close(self) -> None:
        self.stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self.stream.start_tls(ssl_context, server_hostname, _left(self.end, timeout)), self.end)

    def get_extra_info(self, info: str) -> Any:
        return self.stream.get_extra_info(info)


def _left(end: float, timeout: float | None) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left if timeout is None else min(left, timeout)


def _resolve(host: str, port: int, private: bool) -> list[str]:
    """The addresses of a host.

    Raises:
        ValueError: There is no such host, or one of its addresses is private and must not be.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ValueError(f"there is no server {host}") from error
    addresses = list(dict.fromkeys(entry[4][0] for entry in found))
    if not private and not all(map(is_public, addresses)):
        raise ValueError(f"{host} is a private address, of this computer or a local network")
    return addresses


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, also the IPv4 address within an IPv6 one."""
    ip = ipaddress.ip_address(address)
    if ip.version == 6:
        translated = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _TRANSLATED else None
        within = ip.ipv4_mapped or ip.sixtofour or translated
        if within is not None:
            return is_public(str(within))
    return ip.is_global and not ip.is_multicast and not ip.is_reserved
