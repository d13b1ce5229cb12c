"""Files through an object store (`TRANSFER_STUDIO_ARTIFACTS`), for machines that share no folder. Without the setting: nothing.

The data home of each machine is a working copy then. What is made there is pushed, what is missing there is fetched:

    runs, jobs, demos, uploads    a folder each: objects by content, and an index written last (`folders`)
    images, weights               by content hash, pushed once
    thumbnails, datasets          one object each, sealed with its own size and hash (`things`)

Keys are laid out as the data home is: a person's lie below `people/<person>`, and are made from that person's `Home` alone.
Caches stay where they are. A look at a folder (`Home.at`) brings what is small of it, asking for a file brings that file; a
worker gets all its job needs before it begins, and pushes at every checkpoint and at its end (`jobs`).
"""

from __future__ import annotations

from transfer_core.settings import raw

AWS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION")
"""What the store is opened with, as everywhere with S3. Passed on to the nodes of a cluster."""


def is_on() -> bool:
    """Asked at every path of every page; what the setting says was checked at the start."""
    return bool(raw("artifacts"))
