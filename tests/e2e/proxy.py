#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A wire between a client and the API server that can be cut.

    proxy.py LISTEN_PORT SERVER_PORT [DELAY_MS]

SIGUSR1 cuts it: connections end at once and new ones are refused until
SIGUSR2. DELAY_MS holds every piece of data back, in order, both ways.
"""
import asyncio
import signal
import sys

PIECE = 1 << 16


class Wire:
    def __init__(self, server_port, delay_s):
        self.server_port, self.delay_s = server_port, delay_s
        self.cut, self.writers = False, set()

    async def copy(self, reader, writer):
        try:
            while data := await reader.read(PIECE):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def accept(self, reader, writer):
        if self.cut:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.server_port)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, far_writer}
        self.writers |= both
        await asyncio.gather(self.copy(reader, far_writer), self.copy(far_reader, writer))
        self.writers -= both

    def sever(self):
        self.cut = True
        for writer in self.writers:
            writer.transport.abort()

    def mend(self):
        self.cut = False


async def main():
    listen_port, server_port = int(sys.argv[1]), int(sys.argv[2])
    wire = Wire(server_port, int(sys.argv[3]) / 1000 if len(sys.argv) > 3 else 0)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, wire.sever)
    loop.add_signal_handler(signal.SIGUSR2, wire.mend)
    server = await asyncio.start_server(wire.accept, "127.0.0.1", listen_port)
    async with server:
        await server.serve_forever()


asyncio.run(main())
