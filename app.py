"""A local web page: drop a photo, touch up mask and caption, see the product picture emerge, take it home.

    python app.py
    python app.py --pretrained_model_name_or_path stabilityai/stable-diffusion-3-medium-diffusers \\
        --pretrained_model_name_or_path_sd3_tryoff davidelobba/TEMU-VTOFF

It is reachable from this machine only, at the address that it prints; Ctrl+C ends it. What visitors send and make is
deleted when they leave, at the latest when the server ends.
"""

import argparse
import errno
import os
import signal
import socket

import command_line
from temu_vtoff.errors import ArgumentError
from temu_vtoff.hub.sources import PUBLISHED_TRYON


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    add = parser.add_argument_group("server").add_argument
    add("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 lets the whole network in")
    add("--port", type=int, help="when absent, the first free one from 7860 on")
    add(
        "--allowed_host",
        nargs="+",
        default=[],
        metavar="NAME",
        help="more names by which browsers may call the server, e.g. behind a proxy",
    )
    add("--share", action="store_true", help="a public link through Gradio's servers")
    add("--inbrowser", action="store_true", help="open the page in the browser")
    add = parser.add_argument_group("limits").add_argument
    add("--max_upload_mb", type=command_line.positive, default=20, help="size of one file")
    add("--max_megapixels", type=command_line.positive, default=50, help="size of one photo")
    add("--max_photos", type=command_line.positive, default=16, help="photos at once")
    add("--max_waiting", type=command_line.positive, default=20, help="requests in the queue; more are turned away")
    command_line.add_model_flags(parser)
    add = parser.add_argument_group("try-on").add_argument
    add(
        "--tryon_model",
        help=f"try-on model, such as {PUBLISHED_TRYON} (default: builtin beside the built-in try-off model, else none)",
    )
    command_line.add_pose_flag(add)
    command_line.add_device_flags(parser)
    command_line.add_speed_flags(parser)
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    for name in ("SIGTERM", "SIGHUP"):  # end as Ctrl+C does, with the files deleted
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) != signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(getattr(signal, name), signal.default_int_handler)
    check_address(args.host, args.port)
    from web_page.server_folder import server_folder

    with server_folder() as folder:
        os.environ["GRADIO_TEMP_DIR"] = str(folder)  # read when gradio is imported: uploads go with the folder
        os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
        from web_page.server import serve

        serve(args, folder)


def check_address(host: str, port: int | None) -> None:
    """Says before the models load what would keep the page from opening.

    Raises:
        ArgumentError: The host is no address of this machine, or the port is taken.
    """
    try:
        found = socket.getaddrinfo(host, port or 0, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, OverflowError) as error:
        raise ArgumentError(f"{{host}} {host} is no address of this machine.", "host") from error
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(address)
        except OverflowError as error:
            raise ArgumentError(f"{{port}} is {port}; give 1 to 65535.", "port") from error
        except OSError as error:
            if port is None or error.errno == errno.EADDRNOTAVAIL:
                raise ArgumentError(f"{{host}} {host} is no address of this machine.", "host") from error
            reason = "may not be used" if isinstance(error, PermissionError) else "is taken by another program"
            raise ArgumentError(
                f"{{port}} {port} {reason}: give another one, or none for the first free one.", "port"
            ) from error


if __name__ == "__main__":
    arguments = parse_args()
    command_line.run(main, arguments)
