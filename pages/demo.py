"""A published model, for everybody who has the link: what it is, how good it is, and a place to ask it."""

from pages.shared.demo import public

public.show()
