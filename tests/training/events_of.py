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


def until(store, job, kind, most):
    """Work at a job as a worker would, its events in the store, until it has said so many of a kind; what it returned by then."""
    from transfer_core.jobs import TASKS

    events, work = [], TASKS[job.kind](job, store)
    while len(of(kind, events)) < most:
        try:
            event = next(work)
        except StopIteration as end:
            return events, end.value
        events.append(event)
        store.append(job.id, event)
    work.close()
    return events, None
