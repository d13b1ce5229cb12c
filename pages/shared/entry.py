"""The script Streamlit runs first, whatever page was asked for: language, look, header, then the page itself.

It lies here and not beside `pages/`, because with `pages/` next to it Streamlit would run a deep link's page without it.
"""

from pages.shared import frame

frame.run()
