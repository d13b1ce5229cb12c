"""Start the studio: `transfer-studio app`, `streamlit run app.py` or `uvicorn app:app`."""
