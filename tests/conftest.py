"""For all tests: no deadline for a single example. A busy machine is no defect."""

from hypothesis import settings

settings.register_profile("studio", deadline=None)
settings.load_profile("studio")
