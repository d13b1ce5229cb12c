"""Figures as SVG, in the colours of the page they stand in: text in, text out. What comes from a person is escaped here."""
