"""The pretrained networks of some metrics: found on disk or downloaded."""

import socket
from pathlib import Path
from urllib.parse import urlparse

import torch

TIMEOUT = 20  # seconds without an answer


class BackboneUnavailableError(ValueError):
    """A metric's network is not on disk and can't be downloaded; the message has the reason and the file's path."""


def backbone_file(url: str, what: str) -> Path:
    """The file behind `url`, in torch's hub folder (`TORCH_HOME`), where torchvision looks too.

    Raises:
        BackboneUnavailableError: It is not on disk and can't be downloaded.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    if path.is_file():
        return path
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), progress=False)
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise BackboneUnavailableError(
            f"{what} can't be fetched from {url} ({reason}); put that file at {path}."
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)
    return path
