"""The page's server: from loaded models to the last clean-up."""

import argparse
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from PIL import Image
from starlette.middleware import Middleware

import command_line
from temu_vtoff.errors import reason_of
from temu_vtoff.stages import TryOnOptions
from web_page.gate import Gate, Hosts
from web_page.guard import EXAMPLES
from web_page.layout import build_page
from web_page.models import Models
from web_page.server_folder import LOCK
from web_page.studio import Limits, Studio
from web_page.style import CSS, THEME
from web_page.visits import Visits

PICTURES = Path(__file__).parent.parent / "examples"
PATIENCE = 10.0  # seconds that work may take to end, in the middle of a step


def serve(args: argparse.Namespace, folder: Path) -> None:
    """Loads the models, opens the page and stays until the process is asked to end.

    Args:
        args: As `app.parse_args` gives them.
        folder: Of uploads and results: what the environment variable GRADIO_TEMP_DIR names.
    """
    Image.MAX_IMAGE_PIXELS = args.max_megapixels * 1_000_000
    command_line.quiet_libraries()
    models = Models(command_line.options(args), tryon_options(args))
    (folder / EXAMPLES).mkdir()
    examples = [Path(shutil.copy(path, folder / EXAMPLES)) for path in sorted(PICTURES.glob("*.jpg"))]
    visits = Visits(folder, kept=[EXAMPLES, LOCK])
    visits.keep_tidy()
    page = build_page(Studio(models, visits, Limits(megapixels=args.max_megapixels, photos=args.max_photos)), examples)
    page.queue(max_size=args.max_waiting)
    try:
        address = _launch(page, args, visits)
        command_line.say(f"The page is at {address} (Ctrl+C ends it).")
        while True:
            time.sleep(3600)
    finally:
        _end(page, models, visits)


def tryon_options(args: argparse.Namespace) -> TryOnOptions | None:
    """How try-on runs; None where published weights take garments off and no try-on model is named.

    Raises:
        ArgumentError: A value that can't be.
    """
    if args.tryon_model is None and not command_line.options(args).sources.is_builtin:
        return None
    return command_line.options(args, TryOnOptions)


def _launch(page, args: argparse.Namespace, visits: Visits) -> str:
    hosts = Hosts(args.host, args.allowed_host)
    try:
        _, address, shared_address = page.launch(
            server_name=args.host,
            server_port=args.port,
            share=args.share,
            inbrowser=args.inbrowser,
            max_file_size=args.max_upload_mb * 2**20,
            theme=THEME,
            css=CSS,
            footer_links=["api"],
            ssr_mode=False,
            quiet=True,
            prevent_thread_lock=True,
            app_kwargs={"middleware": [Middleware(Gate, hosts=hosts, visits=visits)]},
        )
    except OSError as error:  # no free port any more
        raise ValueError(f"The page can't be opened: {reason_of(error)}.") from error
    hosts.add(shared_address)
    return address


def _end(page, models: Models, visits: Visits) -> None:
    """Stops all work, closes the page, and leaves the process where work can't be stopped in time.

    Python would end with an abort when a thread is inside of a model then.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # the end is near: nothing may interrupt the clean-up
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    deadline = time.monotonic() + PATIENCE
    ended = visits.close(PATIENCE)
    ended = models.rest(max(0.0, deadline - time.monotonic())) and ended
    page.close(verbose=False)
    if not ended:
        shutil.rmtree(visits.folder, ignore_errors=True)
        print("Interrupted.", file=sys.stderr, flush=True)
        os._exit(130)
