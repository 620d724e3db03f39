"""Runs in the guest: a small server around Qdrant's storage engine (shards, write-ahead log, segments).

    qdrant_server.py serve STORAGE       what qdrant.service runs: keeps the collection open, answers on a socket
    qdrant_server.py write TEXT COUNT    upsert COUNT points, TEXT in the payload of each
    qdrant_server.py read                print the number of points and the payload of one

There is no server binary to be had without a network, so the engine is Qdrant's own and the server is this file.
"""

import importlib
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

SOCKET = Path("/run/qdrant/socket")
DIMENSIONS = 16


def main() -> None:
    verb, *words = sys.argv[1:]
    if verb == "serve":
        serve(Path(words[0]))
    else:
        print(ask({"verb": verb, "text": words[0], "count": int(words[1])} if words else {"verb": verb}))


def serve(storage: Path) -> None:
    shard = open_collection(storage / "collections" / "demo")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with socket.socket(socket.AF_UNIX) as server:
        SOCKET.unlink(missing_ok=True)
        server.bind(str(SOCKET))
        server.listen()
        tell_systemd("READY=1")
        try:
            while True:
                connection, _ = server.accept()
                with connection, connection.makefile("rw") as stream:
                    stream.write(answer(shard, json.loads(stream.readline())) + "\n")
        finally:
            shard.close()


def storage_engine() -> Any:
    """The wheel is in the guest alone, in an environment of its own."""
    return importlib.import_module("qdrant_edge")


def open_collection(path: Path) -> Any:
    engine = storage_engine()
    if path.exists():
        return engine.EdgeShard.load(str(path))
    path.mkdir(parents=True)
    vectors = engine.EdgeVectorParams(size=DIMENSIONS, distance=engine.Distance.Cosine)
    return engine.EdgeShard.create(str(path), engine.EdgeConfig(vectors=vectors))


def answer(shard: Any, request: dict[str, Any]) -> str:
    engine = storage_engine()
    if request["verb"] == "write":
        count = request["count"]
        points = [
            engine.Point(
                number, [float((number * 7 + axis) % 11) for axis in range(DIMENSIONS)], {"t": request["text"]}
            )
            for number in range(1, count + 1)
        ]
        shard.update(engine.UpdateOperation.upsert_points(points))
        shard.flush()
        return f"{count} points written"
    (first,) = shard.retrieve([1], True, False)
    return f"{shard.count(engine.CountRequest())} {first.payload['t']}"


def ask(request: dict[str, Any]) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(SOCKET))
        with client.makefile("rw") as stream:
            stream.write(json.dumps(request) + "\n")
            stream.flush()
            return stream.readline().strip()


def tell_systemd(state: str) -> None:
    """Send one notification (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notification:
            notification.sendto(state.encode(), address.replace("@", "\0", 1))


if __name__ == "__main__":
    main()
