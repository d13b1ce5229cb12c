"""What a generator of events said, and what it returned."""


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def ended(work):
    """Its events, and what it returns."""
    events = []
    while True:
        try:
            events.append(next(work))
        except StopIteration as end:
            return events, end.value
