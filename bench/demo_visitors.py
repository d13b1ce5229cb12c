"""How a published demo answers when many people ask at once: waiting time, errors, and the memory of the server.

    python bench/demo_visitors.py ../shared/data/ants_bees.zip [--visitors 50] [--photos 6]

Each visitor sends one photo after the other to the demo's address, as its page does, with a pause of up to a second between them,
and comes again when told to wait. Prints one JSON object; seconds include every wait. The model is EfficientNet-Lite0.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import os
import random
import secrets
import statistics
import tempfile
import time
import zipfile
from pathlib import Path

import httpx
from memory import watching
from web_process import core, studio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zip", type=Path)
    parser.add_argument("--visitors", type=int, default=50)
    parser.add_argument("--photos", type=int, default=6)
    asked = parser.parse_args()
    os.environ["TRANSFER_STUDIO_DEMO_PER_MINUTE"] = "1000000"
    os.environ["TRANSFER_STUDIO_WARM"] = "0"
    with zipfile.ZipFile(asked.zip) as packed:
        photos = [packed.read(name) for name in sorted(packed.namelist()) if name.lower().endswith(".jpg")][:40]
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        core(home, "import", str(asked.zip), "--name", "photos")
        run = core(home, "train", "--dataset", "photos", "--preset", "head_only", "--epochs", "2")["run"]
        demo = core(home, "publish", run)["id"]
        with studio(home) as (address, pid), watching(pid) as peak:
            print(json.dumps(asyncio.run(visit(address, demo, photos, asked)) | {"server_mb": round(peak.all)}, indent=1))


async def visit(address: str, demo: str, photos: list[bytes], asked: argparse.Namespace) -> dict[str, object]:
    async with httpx.AsyncClient(base_url=address, timeout=120, limits=httpx.Limits(max_connections=None)) as client:
        await client.get(f"/api/demos/{demo}")
        seconds, lost = list[float](), list[float]()
        answers: collections.Counter[int] = collections.Counter()

        async def one(number: int) -> None:
            chance, token = random.Random(number), secrets.token_urlsafe(32)
            headers = {"x-studio-token": token, "cookie": f"studio_token={token}",
                       "x-forwarded-for": f"10.0.{number // 200}.{number % 200 + 1}"}  # as a proxy would say it
            for _ in range(asked.photos):
                began = time.perf_counter()
                while True:
                    answer = await client.post(f"/api/demos/{demo}/predict", headers=headers,
                                               files={"image": ("photo.jpg", chance.choice(photos))})
                    answers[answer.status_code] += 1
                    if "retry-after" not in answer.headers:  # an answer, or a refusal for good
                        break
                    await asyncio.sleep(float(answer.headers["retry-after"]))
                (seconds if answer.is_success else lost).append(time.perf_counter() - began)
                await asyncio.sleep(chance.random())

        began = time.perf_counter()
        await asyncio.gather(*map(one, range(asked.visitors)))
        whole = time.perf_counter() - began
    return {"visitors": asked.visitors, "photos": len(seconds), "not_answered": len(lost),
            "photos_a_second": round(len(seconds) / whole, 1),
            "p50": round(statistics.median(seconds), 2), "p95": round(statistics.quantiles(seconds, n=20)[-1], 2),
            "most": round(max(seconds), 2), "answers": {str(code): count for code, count in sorted(answers.items())}}


if __name__ == "__main__":
    main()
