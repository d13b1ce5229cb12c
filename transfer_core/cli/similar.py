"""`nearest` and `map`: which training photos a model finds most like a photo, and all photos as a map of what is alike."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from transfer_core.cli.answer import Answer, language, table
from transfer_core.cli.command import argument, command, option
from transfer_core.cli.foreground import run_here
from transfer_core.cli.results import trained
from transfer_core.cli.tell import Teller
from transfer_core.depot.jobs import working_in
from transfer_core.errors import BadImage, NotFound
from transfer_core.jobs import devices
from transfer_core.jobs.worker import limit_threads
from transfer_core.paths import replacing
from transfer_core.store import Store
from transfer_core.words import Message, say


@command("nearest")
def nearest(
    run: Annotated[str, argument("option_run")],
    image: Annotated[Path, argument("option_image")],
    k: Annotated[int, option("--k", words="option_nearest", min=1, max=24)] = 6,
    device: Annotated[str | None, option("--device", words="option_device")] = None,
) -> Answer:
    from transfer_core.jobs.similar import manifest_of

    store = Store()
    job = trained(store, run)
    if not image.is_file():
        raise BadImage("unreadable_file")
    limit_threads()
    from transfer_core.training.similar import nearest

    with working_in(store, job):
        tell, work = Teller(), nearest(store.home.run(job.id), manifest_of(store, job), store.home, [image], k,
                                       device=device or devices()[0])
        while True:
            try:
                tell(next(work))
            except StopIteration as end:
                found = end.value
                break
    (photo,) = found.pop("photos")
    if "error" in photo:
        error = Message(**photo["error"])
        raise BadImage(error.key.split(".")[1], **error.values)
    rows = [{"similarity": f"{each['similarity']:.3f}", "label": each["label"], "file": each["file"]} for each in photo["near"]]
    return Answer({"run": job.id, "image": str(image), **photo, **found}, f"{table(rows)}\n{_told(photo['usual'])}".rstrip())


def _told(usual: dict[str, Any] | None) -> str:
    if usual is None:
        return ""
    return say("similar.unlike" if usual["unlike"] else "similar.usual", language(), closer=usual["closer"], n=usual["n"])


@command("map")
def photo_map(
    run: Annotated[str, argument("option_run")],
    out: Annotated[Path, option("--out", words="option_map_out", metavar="FILE.json|FILE.csv")] = Path("map.json"),
    device: Annotated[str | None, option("--device", words="option_device")] = None,
) -> Answer:
    from transfer_core.jobs.similar import map_file, read_map, table_of

    store = Store()
    job = trained(store, run)
    if out.suffix.lower() not in (".json", ".csv"):
        raise NotFound("unknown_choice", kind="--out", name=out.name, allowed="FILE.json, FILE.csv")
    made = run_here(store, store.submit("map", {"run": job.id}, device or devices()[0]))
    if not made.result:  # stopped
        return Answer({}, table([]))
    file = map_file(store.home, made.id)
    with replacing(out) as part:
        if out.suffix.lower() == ".csv":
            part.write_text(table_of(read_map(file)), "utf-8-sig")  # with the mark by which Excel knows Chinese names
        else:
            part.write_bytes(file.read_bytes())
    trust = "–" if made.result["trust"] is None else f"{made.result['trust']:.2f}"
    return Answer({"run": job.id, **made.result, "out": str(out.resolve())},
                  say("cli.mapped", language(), shown=made.result["shown"], of=made.result["of"], trust=trust, file=str(out)))
