"""Start the studio: `transfer-studio app`, `streamlit run app.py` or `uvicorn app:app`."""

import sys
from pathlib import Path

import streamlit as st

from transfer_core import http, logs
from transfer_core.errors import StudioError
from transfer_core.settings import check_or_exit, terminal_language
from transfer_core.store import Store

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))  # pages/ is imported by name, whatever folder the server was started from

from pages.shared import delivery, people, shell  # noqa: E402

check_or_exit()
people.check_or_exit()
logs.to_terminal("web")
delivery.deliver_all()
try:
    store = Store()
except StudioError as error:  # a database that is away, locked or newer: said in words, not as a traceback
    said = terminal_language()
    sys.exit(f"{error.message(said)}\n{error.hint(said)}")
# The entry script lies in pages/shared/: beside pages/, Streamlit would run a deep link's page without it.
app = st.App(HERE / "pages" / "shared" / "entry.py",
             routes=http.routes(store, people.identify), middleware=[*http.middleware(), *shell.middleware()],
             lifespan=http.lifespan(store))
