"""`app`: open the studio in the browser."""

from __future__ import annotations

import os
import sys
from typing import Annotated

from transfer_core.cli.answer import Answer
from transfer_core.cli.command import command, option
from transfer_core.paths import studio
from transfer_core.settings import set_unless_given


@command("app")
def app_(
    port: Annotated[int, option("--port", words="option_port")] = 8501,
    host: Annotated[str, option("--host", words="option_host")] = "127.0.0.1",
    browser: Annotated[bool, option("--browser/--no-browser", words="option_browser")] = True,
) -> Answer:
    from transfer_core.http.guard import Hosts, is_loopback
    from transfer_core.store import Store

    Store().close()  # a database that cannot be used is said here, in words, and not in the middle of the server's start
    if not is_loopback(host.strip("[]").lower()):  # opened to a network on purpose: by which names it is called there is unknown
        set_unless_given("allowed_hosts", "*")
    # Streamlit looks at the names, too, before it opens a page's WebSocket.
    names = [part for name in sorted({"localhost", "127.0.0.1", "::1", host.strip("[]"), *Hosts.allowed().names})
             for part in ("--server.allowedHosts", name)]
    # This process becomes the server, so that signals and its exit status are the server's own.
    os.execv(sys.executable, [  # noqa: S606
        sys.executable, "-m", "streamlit", "run", str(studio() / "app.py"), "--server.port", str(port),
        "--server.address", host, "--server.headless", str(not browser).lower(), "--server.showEmailPrompt", "false", *names])
