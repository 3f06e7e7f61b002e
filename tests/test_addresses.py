"""Photos at http(s) addresses: what is fetched, what is refused, and that names can't lead to private servers."""

import socket
from pathlib import Path

import httpcore
import pytest
from PIL import Image

from temu_vtoff.pictures import downloading
from temu_vtoff.pictures.addresses import address_stem, is_address
from temu_vtoff.pictures.downloading import fetch_picture, is_public
from tests.picture_server import png, serving

PICTURE = png(Image.new("RGB", (8, 6), "red"))


@pytest.fixture(scope="module")
def server():
    with serving({"/photo": PICTURE, "/page.png": b"<html>no picture</html>"}) as (address, hosts):
        yield address, hosts


@pytest.fixture
def fetch(server, tmp_path):
    """Fetches a path of the server, whose own address is allowed."""
    return lambda path, **how: fetch_picture(f"{server[0]}{path}", tmp_path, "name", **{"private": True} | how)


def refused(call, words: str, folder: Path) -> None:
    with pytest.raises(ValueError, match=words) as raised:
        call()
    assert "\n" not in str(raised.value) and not list(folder.iterdir())


def test_a_picture_gets_the_suffix_of_its_content(fetch, tmp_path):
    path = fetch("/photo")
    assert path == tmp_path / "name.png" and path.read_bytes() == PICTURE
    assert fetch("/to//photo").read_bytes() == PICTURE


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/page.png", "is no picture"),
        ("/gone", "status 404"),
        ("/loop", "redirected more than 5 times"),
        ("/to/ftp://example.org/a.png", "no http"),
        ("/to/file:///etc/passwd", "no http"),
        ("/to/http://localhost:1/", "localhost is a private address"),
        ("/to/http://[::ffff:127.0.0.1]:1/", "private address"),
        ("/to/http://169.254.169.254/latest", "169.254.169.254 is a private address"),
        ("/to/http://[bad", "can't be fetched"),
    ],
)
def test_what_is_refused_is_one_sentence(fetch, tmp_path, path, words):
    refused(lambda: fetch(path), words, tmp_path)


def test_private_addresses_need_leave(fetch, tmp_path):
    refused(lambda: fetch("/photo", private=False), r"127\.0\.0\.1 is a private address", tmp_path)


def test_limits_of_size_and_time(fetch, tmp_path, monkeypatch):
    monkeypatch.setattr(downloading, "MOST_BYTES", 2**20)
    refused(lambda: fetch("/endless"), "more than 1 MB", tmp_path)
    monkeypatch.setattr(downloading, "SECONDS", 0.4)  # though a byte comes every 0.05 s
    refused(lambda: fetch("/slow"), "takes too long", tmp_path)


def test_a_name_that_changes_its_address_leads_where_it_was_checked(server, tmp_path, monkeypatch):
    resolve, asked = socket.getaddrinfo, []

    def rebinding(host, port, *more, **how):
        if host != "shop.example":
            return resolve(host, port, *more, **how)
        asked.append(host)
        return resolve("127.0.0.1" if len(asked) == 1 else "127.0.0.9", port, *more, **how)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    port = server[0].rsplit(":", 1)[1]
    fetch_picture(f"http://shop.example:{port}/photo", tmp_path, "name", private=True)
    assert asked == ["shop.example"] and server[1][-1] == f"shop.example:{port}"


def test_the_connection_goes_to_the_checked_address(tmp_path, monkeypatch):
    def found(*addresses: str) -> list:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in addresses]

    went = []

    def connect(self, host, *args, **how):
        went.append(host)
        raise httpcore.ConnectError("closed")

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", connect)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **how: found("93.184.216.34", "93.184.216.35"))
    refused(lambda: fetch_picture("http://shop.example/a", tmp_path, "name"), "closed", tmp_path)
    assert went == ["93.184.216.34", "93.184.216.35"]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **how: found("93.184.216.34", "10.0.0.5"))
    refused(lambda: fetch_picture("http://shop.example/a", tmp_path, "name"), "private address", tmp_path)
    assert len(went) == 2


def test_addresses_within_others_count_as_private_too():
    assert all(map(is_public, ("8.8.8.8", "2606:4700::1111", "64:ff9b::808:808")))
    private = (
        *("127.0.0.1", "10.0.0.1", "100.64.0.1", "169.254.1.1", "0.0.0.0", "224.0.0.1", "255.255.255.255"),
        *("::1", "::", "fe80::1", "fd00::1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::a00:1", "ff02::1"),
    )
    assert not any(map(is_public, private))


def test_names_hold_only_what_files_may_be_called():
    assert is_address("HTTPS://a.b/c") and not is_address("ftp://a.b/c") and not is_address(Path("http://a"))
    stems = {
        "https://a.b/shop/red%20shirt.jpg?size=2": "red_shirt",
        "https://a.b/": "photo",
        "https://a.b/..%2F..%2Fetc": "etc",
        "http://[bad": "photo",
        "https://a.b/x/größe.1.png": "größe.1",
    }
    assert {address: address_stem(address) for address in stems} == stems
