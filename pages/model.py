"""Choose a model, what of it stays, and what the training minimises."""

import streamlit as st

from pages.shared import draft, navigation, place
from pages.shared.bound import bind_to
from pages.shared.model import cards, freezing, objective, settings, structure, weights
from pages.shared.text import plain, t

DEPTHS = ("simple", "guided", "expert")

depth = place.get("depth") if place.get("depth") in DEPTHS else "guided"
now = draft.current()

with st.container(horizontal=True, vertical_alignment="bottom", key="model-title"):
    st.title(t("model.title"), width="content")
    st.space("stretch")
    st.segmented_control(t("model.depth"), DEPTHS, required=True, format_func=lambda name: t(f"model.depth_{name}"),
                         help=t("model.depth_help"),
                         **bind_to("depth-choice", depth, lambda name: place.put(depth=name), start="default"))

if now.dataset:
    st.caption(t("model.for_dataset", name=plain(now.dataset.name), count=now.images, classes=now.classes))
else:
    with st.container(horizontal=True, vertical_alignment="center", key="model-no-dataset"):
        st.info(t("model.no_dataset"), icon=":material/photo_library:")
        navigation.link("data", t("model.to_data"), ":material/add_photo_alternate:")
if now.dropped:
    names = ", ".join(t(f"settings.{name}") for name in now.dropped)
    st.warning(t("model.dropped", names=names), icon=":material/link_off:")
    draft.reset(*now.dropped)

cards.section(now)
if depth != "simple":
    weights.section(now)
freezing.section(now, depth)
if depth != "simple":
    structure.section(now, depth)
    objective.section(now)
    settings.section(now, depth)
settings.differences(now)

with st.container(horizontal=True, vertical_alignment="center", key="model-go"):
    if now.dataset:
        if st.button(t("model.go"), type="primary", icon=":material/arrow_forward:", key="go-train"):
            navigation.go("train")
    elif st.button(t("model.to_data"), type="primary", icon=":material/add_photo_alternate:", key="go-data"):
        navigation.go("data")
    st.caption(t("model.go_text") if now.dataset else t("model.go_first"), width="content")
