// The language of what Streamlit's own frontend leaves in English: the document's, and the link past the header.

export default function ({ data }) {
  document.documentElement.lang = data.language;
  const skip = document.querySelector('[data-testid="stSkipToContent"]');
  if (skip) skip.textContent = data.skip;
}
