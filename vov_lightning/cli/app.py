"""``vov-app``: the app for the browser, on this machine."""

import os
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

from vov_lightning.cli.common import command
from vov_lightning.cli.parser import command_parser
from vov_lightning.cli.settings import APP
from vov_lightning.errors import SettingError


@command
def main(args: list[str] | None = None) -> None:
    parser = command_parser(APP)
    parser.add_argument("--host", type=str, default="127.0.0.1", help=APP.text_of("--host"))
    parser.add_argument("--port", type=int, default=7860, help=APP.text_of("--port"))
    parser.add_argument("--base", type=str, default="nano", help=APP.text_of("--base"))
    parser.add_argument("--device", type=str, default="cpu", help=APP.text_of("--device"))
    parser.add_argument("--max_mb", type=int, default=100, help=APP.text_of("--max_mb"))
    parser.add_argument("--max_seconds", type=float, default=10.0, help=APP.text_of("--max_seconds"))
    parser.add_argument("--max_rows", type=int, default=288, help=APP.text_of("--max_rows"))
    options = parser.instantiate(parser.parse_args(args))
    for name in ("max_mb", "max_seconds", "max_rows"):
        if options[name] <= 0:
            raise SettingError(f"--{name} {options[name]} is not above 0; leave it out for the default")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the folder is removed
    with TemporaryDirectory(prefix="vov-app-") as folder:
        page = page_in(Path(folder))

        from vov_lightning.app.work import Workshop
        from vov_lightning.bases import load_base
        from vov_lightning.bases.memory import check_device

        check_device(options.device)
        base = load_base(options.base).to(options.device)
        shop = Workshop(base, Path(folder), options.max_mb, options.max_seconds, options.max_rows)
        page.serve(shop, options.host, options.port)


def page_in(folder: Path) -> ModuleType:
    """The module with the page; everything that Gradio keeps goes into ``folder``.

    Raises:
        SettingError: If Gradio is not installed.
    """
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "gradio")
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    try:
        from vov_lightning.app import page
    except ImportError as error:
        raise SettingError(f'vov-app needs Gradio ({error}); pip install "vov_lightning[app]"') from error
    return page
