"""A hub on this machine that serves folders as repositories, as far as a download asks for them."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.web_server import QuietHandler, running

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def serving(repositories: dict[str, Path], cards: dict[str, dict]) -> Iterator[tuple[str, list[str]]]:
    """Serves folders by their ids; yields the address and the list of the files that were sent so far.

    Args:
        cards: Metadata of the model cards, by id.
    """
    sent: list[str] = []

    class Hub(QuietHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            if asked := re.fullmatch(r"/api/models/(\w+/[\w.-]+)(?:/revision/\w+)?", path):
                return self.tell(asked[1])
            asked = re.fullmatch(r"/(\w+/[\w.-]+)/resolve/\w+/(.+)", path)
            file = repositories[asked[1]] / asked[2] if asked and asked[1] in repositories else None
            if file is None or not file.is_file():
                code = "EntryNotFound" if asked and asked[1] in repositories else "RepoNotFound"
                return self.answer(404, b"", {"X-Error-Code": code, "X-Repo-Commit": COMMIT})
            content = file.read_bytes()
            if self.command == "GET":
                sent.append(f"{asked[1]}/{asked[2]}")
            tag = hashlib.sha256(content).hexdigest()
            self.answer(200, content, {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT})

        do_HEAD = do_GET

        def tell(self, repository: str) -> None:
            if repository not in repositories:
                return self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})
            folder = repositories[repository]
            files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
            siblings = [{"rfilename": str(path.relative_to(folder)), "size": path.stat().st_size} for path in files]
            about = {"id": repository, "sha": COMMIT, "siblings": siblings, "cardData": cards.get(repository, {})}
            self.answer(200, json.dumps(about).encode(), {"Content-Type": "application/json"})

        def answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(content))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

    with running(Hub) as port:
        yield f"http://127.0.0.1:{port}", sent
