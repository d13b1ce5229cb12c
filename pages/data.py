"""Photos: bring them, see how they were understood, look through them, put right what is wrong."""

import streamlit as st

from pages.shared import backend, place
from pages.shared.data import choose, dataset, importing, understood
from pages.shared.text import t
from transfer_core.errors import NotFound


def _job():
    try:
        return backend.store().job(place.get("job")) if place.get("job") else None
    except NotFound:
        return None


job = _job()
found = backend.dataset()
if job and job.kind == "import":
    found = importing.show(job)
elif job and job.kind == "understand":
    understood.show(job)
if found and (job is None or job.kind == "import"):
    dataset.show(found)
elif job is None:
    if place.get("job"):
        st.warning(t("data.no_such_job"), icon=":material/search_off:")
    elif place.get("dataset"):
        st.warning(t("data.no_such_dataset"), icon=":material/search_off:")
    choose.show()
