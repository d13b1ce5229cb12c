import streamlit as st

st.title("share")
