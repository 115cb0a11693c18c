"""A proxy in front of a Unix socket that loses connections when asked to: what a bad network does
to a client of PostgreSQL. Runs as a process of its own, so that it doesn't slow the test down.

Proxy(listen, target): drop() cuts all connections, stall(seconds) passes nothing for that time, or
until flow(), and refuses new ones, stop() ends it."""
import asyncio
import contextlib
import multiprocessing
import os


class Proxy:
    def __init__(self, listen, target):
        os.makedirs(os.path.dirname(listen), exist_ok=True)
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("fork").Process(
            target=_main, args=(listen, target, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.pipe.recv()  # it listens

    def drop(self):
        """Number of connections cut."""
        self.pipe.send(("drop", 0))
        return self.pipe.recv()

    def stall(self, seconds):
        self.pipe.send(("stall", seconds))
        return self.pipe.recv()

    def flow(self):
        self.pipe.send(("flow", 0))
        return self.pipe.recv()

    def stop(self):
        self.process.kill()
        self.process.join()


def _main(listen, target, pipe):
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(listen, target, pipe))


async def _serve(listen, target, pipe):
    links, flowing = set(), asyncio.Event()
    flowing.set()
    loop = asyncio.get_running_loop()

    async def pump(reader, writer):
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await flowing.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()

    async def accept(reader, writer):
        if not flowing.is_set():
            writer.transport.abort()
            return
        try:
            up_reader, up_writer = await asyncio.open_unix_connection(target)
        except OSError:
            writer.transport.abort()
            return
        link = (writer.transport, up_writer.transport)
        links.add(link)
        try:
            await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))
        finally:
            links.discard(link)

    def command():
        try:
            what, seconds = pipe.recv()
        except EOFError:
            os._exit(0)
        if what == "stall":
            flowing.clear()
            loop.call_later(seconds, flowing.set)
        elif what == "flow":
            flowing.set()
        else:
            for link in links:
                for transport in link:
                    transport.abort()
        pipe.send(len(links))

    with contextlib.suppress(FileNotFoundError):
        os.unlink(listen)
    server = await asyncio.start_unix_server(accept, listen)
    loop.add_reader(pipe.fileno(), command)
    pipe.send("listening")
    async with server:
        await server.serve_forever()
