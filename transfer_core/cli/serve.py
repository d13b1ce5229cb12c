"""`app`: open the studio in the browser. `worker`: look after its queue without one."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Annotated

from transfer_core.cli.answer import Answer, language
from transfer_core.cli.command import command, option
from transfer_core.cli.tell import Teller
from transfer_core.paths import studio
from transfer_core.settings import PREFIX, check, set_unless_given
from transfer_core.words import message, say

EVERY = 0.5
"""Seconds between two looks at what is wrong with the cluster."""


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


@command("worker")
def worker(ray: Annotated[str | None, option("--ray", words="option_ray", metavar="ADDRESS")] = None) -> Answer:
    if ray:
        os.environ[f"{PREFIX}RAY_ADDRESS"] = ray
        check()
    from transfer_core.cluster.state import trouble
    from transfer_core.jobs import Supervisor
    from transfer_core.store import Store

    store, tell, ended = Store(), Teller(), threading.Event()
    supervisor = Supervisor(store)
    before = {number: signal.signal(number, lambda *_: ended.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    tell.say(message("cli.worker_begins", folder=str(store.home.root)))
    supervisor.start()
    told = None
    try:
        while not ended.wait(EVERY):
            if (wrong := trouble(store.home)) != told:
                told = wrong
                if wrong:
                    tell.say(wrong)
    finally:
        supervisor.stop()
        for number, handler in before.items():
            signal.signal(number, handler)
    return Answer({"handed_out": supervisor.count}, say("cli.worker_ended", language(), count=supervisor.count))
