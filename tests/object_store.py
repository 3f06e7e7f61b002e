"""An object store in this process: as much of S3's protocol as pyarrow uses, without checking signatures."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import BinaryIO
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.web_server import QuietHandler, running

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true"}
_DATE = "Thu, 01 Jan 2026 00:00:00 GMT"


@contextmanager
def object_store(bucket: str) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yields the query that leads to the store, for addresses such as s3://BUCKET/photos?QUERY, and its objects by key.

    Args:
        bucket: The only one.
    """
    objects: dict[str, bytes] = {}
    uploads: dict[str, dict[int, bytes]] = {}
    numbers = count()

    class Handler(QuietHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            self.key, self.query = "", {}

        def parse_request(self) -> bool:
            if not super().parse_request():
                return False
            parts = urlsplit(self.path)
            self.key = unquote(parts.path).removeprefix(f"/{bucket}").removeprefix("/")
            self.query = {name: value[0] for name, value in parse_qs(parts.query, keep_blank_values=True).items()}
            return True

        def do_HEAD(self) -> None:
            self._object()

        def do_GET(self) -> None:
            self._list() if "list-type" in self.query else self._object()

        def do_PUT(self) -> None:
            data = self._body()
            if "uploadId" in self.query:
                uploads[self.query["uploadId"]][int(self.query["partNumber"])] = data
            elif (source := self.headers.get("x-amz-copy-source")) is not None:
                objects[self.key] = objects[unquote(source).removeprefix("/").removeprefix(f"{bucket}/")]
                return self._answer(
                    f'<CopyObjectResult><ETag>"e"</ETag><LastModified>{_DATE}</LastModified></CopyObjectResult>'
                )
            elif self.key:
                objects[self.key] = data
            self._answer()

        def do_POST(self) -> None:
            data = self._body()
            if "uploads" in self.query:
                upload = str(next(numbers))
                uploads[upload] = {}
                return self._answer(
                    f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
                )
            if "delete" in self.query:
                for key in re.findall(rb"<Key>(.*?)</Key>", data):
                    objects.pop(key.decode(), None)
                return self._answer("<DeleteResult></DeleteResult>")
            parts = uploads.pop(self.query["uploadId"])
            objects[self.key] = b"".join(parts[number] for number in sorted(parts))
            self._answer('<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>')

        def do_DELETE(self) -> None:
            uploads.pop(self.query.get("uploadId", ""), None)
            objects.pop(self.key, None)
            self._answer(status=204)

        def _object(self) -> None:
            if self.key and self.key not in objects:
                return self._answer("<Error><Code>NoSuchKey</Code></Error>", 404)
            data, status = objects.get(self.key, b""), 200
            if (wanted := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))) is not None:
                data, status = data[int(wanted[1]) : int(wanted[2]) + 1 if wanted[2] else None], 206
            self._answer(data, status)

        def _list(self) -> None:
            prefix, delimiter = self.query.get("prefix", ""), self.query.get("delimiter")
            keys = sorted(key for key in objects if key.startswith(prefix))
            below = {key: delimiter and key.find(delimiter, len(prefix)) for key in keys}
            folders = sorted({key[: end + 1] for key, end in below.items() if end and end >= 0})
            files = [key for key, end in below.items() if not end or end < 0]
            entries = "".join(
                f"<Contents><Key>{escape(key)}</Key><Size>{len(objects[key])}</Size>"
                "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
                for key in files
            )
            entries += "".join(f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>" for f in folders)
            number = len(files) + len(folders)
            self._answer(
                f"<ListBucketResult><IsTruncated>false</IsTruncated><KeyCount>{number}</KeyCount>{entries}</ListBucketResult>"
            )

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") == "chunked":
                data = _joined(self.rfile)
            else:
                data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            is_chunked = "aws-chunked" in self.headers.get("Content-Encoding", "")
            return _joined(io.BytesIO(data)) if is_chunked else data

        def _answer(self, body: bytes | str = b"", status: int = 200) -> None:
            data = body.encode() if isinstance(body, str) else body
            self.send_response(status)
            for name, value in {"ETag": '"e"', "Last-Modified": _DATE, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

    with running(Handler) as port:
        yield f"scheme=http&endpoint_override=127.0.0.1:{port}&region=us-east-1", objects


def _joined(chunks: BinaryIO) -> bytes:
    """The content of chunks, each after a line with its size; lines after the last one are checksums."""
    content = b""
    while (size := int(chunks.readline().split(b";")[0], 16)) > 0:
        content += chunks.read(size)
        chunks.readline()
    while chunks.readline().strip():
        pass
    return content
