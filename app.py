"""A local web page: drop a photo, touch up mask and caption, see the product picture emerge, take it home.

    python app.py
    python app.py --pretrained_model_name_or_path stabilityai/stable-diffusion-3-medium-diffusers \\
        --pretrained_model_name_or_path_sd3_tryoff davidelobba/TEMU-VTOFF

It is reachable from this machine only, at the address that it prints; Ctrl+C ends it. Nothing that visitors send or
make stays on the disk afterwards.
"""

import argparse
import os
import signal
import tempfile
from pathlib import Path

import command_line

EXAMPLES = Path(__file__).parent / "examples"


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    add = parser.add_argument_group("server").add_argument
    add("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 lets the whole network in")
    add(
        "--allowed_host",
        nargs="+",
        default=[],
        metavar="NAME",
        help="further names by which browsers may call the server, behind a proxy; others than --host are refused",
    )
    add("--port", type=int, help="when absent, the first free one from 7860 on")
    add("--share", action="store_true", help="a public link through Gradio's servers")
    add("--inbrowser", action="store_true", help="open the page in the browser")
    add = parser.add_argument_group("limits").add_argument
    add("--max_upload_mb", type=command_line.positive, default=20, help="of one file")
    add("--max_megapixels", type=command_line.positive, default=50, help="of one photo")
    add("--max_photos", type=command_line.positive, default=16, help="at once")
    add("--max_waiting", type=command_line.positive, default=20, help="requests in the queue; more are turned away")
    command_line.add_model_flags(parser)
    command_line.add_device_flags(parser)
    command_line.add_speed_flags(parser)
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl+C does, with the files deleted
    with tempfile.TemporaryDirectory(prefix="temu_vtoff_page_") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder  # read when gradio is imported: uploads go with the folder
        os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
        from web_page.models import Models

        command_line.quiet_libraries()
        models = Models.load(args)
        if models.notice:
            command_line.say(models.notice)
        serve(args, models, Path(folder))


def serve(args: argparse.Namespace, models: "Models", folder: Path) -> None:  # noqa: F821
    """Opens the page and stays until it is interrupted."""
    import shutil

    from PIL import Image
    from starlette.middleware import Middleware

    from web_page.guard import EXAMPLES as SHARED
    from web_page.guard import Gate, Hosts
    from web_page.handlers import Limits
    from web_page.layout import CSS, THEME, build_page
    from web_page.visits import Visits

    Image.MAX_IMAGE_PIXELS = args.max_megapixels * 1_000_000  # for what Gradio itself decodes: the painted mask
    limits = Limits(megapixels=args.max_megapixels, photos=args.max_photos)
    (folder / SHARED).mkdir()
    examples = [Path(shutil.copy(path, folder / SHARED)) for path in sorted(EXAMPLES.glob("*.jpg"))]
    hosts = Hosts(args.host, args.allowed_host)
    page = build_page(models, Visits(folder), limits, examples)
    page.queue(max_size=args.max_waiting)
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
        app_kwargs={"middleware": [Middleware(Gate, hosts=hosts)]},
    )
    hosts.add(shared_address)
    command_line.say(f"The page is at {address} (Ctrl+C ends it).")
    page.block_thread()


if __name__ == "__main__":
    arguments = parse_args()
    command_line.run(main, arguments)
