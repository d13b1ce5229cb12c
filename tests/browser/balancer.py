"""A proxy as one stands in front of several web servers: each new connection goes to the next one that lives."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress


class Balancer:
    def __init__(self, port: int, behind: Sequence[int]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._port, self._behind, self._next = port, list(behind), 0
        self.served = dict.fromkeys(behind, 0)
        """Port → connections it was given."""

    async def start(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", self._port)

    async def end(self, server: asyncio.Server) -> None:
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in self._behind:
            port = self._behind[self._next % len(self._behind)]
            self._next += 1
            with suppress(OSError):
                there, back = await asyncio.open_connection("127.0.0.1", port)
                break
        else:
            writer.close()
            return
        self.served[port] += 1
        await asyncio.gather(self._pass_on(reader, back), self._pass_on(there, writer))

    @staticmethod
    async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        with suppress(OSError):
            writer.close()


@contextmanager
def balancing(port: int, behind: Sequence[int]) -> Iterator[Balancer]:
    made, loop = Balancer(port, behind), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(made.start(), loop).result(10)
    yield made
    asyncio.run_coroutine_threadsafe(made.end(server), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
