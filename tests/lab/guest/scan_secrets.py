"""Runs in the guest: looks for secrets where none may be, and prints the places as JSON.

Standard input is a JSON object: `needles` (a list of [secret number, encoding, base64 of the bytes]) and
`directories`. The secrets arrive there and not as arguments, which every process could read.
"""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO

CHUNK = 8 * 1024 * 1024


def main() -> None:
    request = json.load(sys.stdin)
    needles = [(number, name, base64.b64decode(text)) for number, name, text in request["needles"]]
    overlap = max(len(needle) for _, _, needle in needles) - 1
    hits = []

    def look(data: bytes, place: str) -> None:
        for number, name, needle in needles:
            if needle in data:
                hits.append([number, name, place])

    def look_in(stream: IO[bytes], place: str) -> None:
        tail = b""
        while chunk := stream.read(CHUNK):
            look(tail + chunk, place)
            tail = chunk[-overlap:]

    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            place = process / name
            try:
                data = place.read_bytes()
                comm = (process / "comm").read_text().strip()
            except OSError:
                continue  # the process has ended
            look(data, f"{place} ({comm})")

    # As an export, because journald compresses long fields in its files.
    subprocess.run(["journalctl", "--sync"], check=True)
    export = ["journalctl", "--all", "--output=export", "--no-pager"]
    with subprocess.Popen(export, stdout=subprocess.PIPE) as journal:
        assert journal.stdout is not None
        look_in(journal.stdout, "journal")

    for directory in request["directories"]:
        for parent, _, names in os.walk(directory):
            for path in (Path(parent) / name for name in names):
                look(os.fsencode(path), f"name of {path}")
                try:
                    if path.is_symlink():
                        look(os.fsencode(path.readlink()), f"target of {path}")
                    elif path.is_file():
                        with path.open("rb") as file:
                            look_in(file, str(path))
                except OSError:
                    continue  # removed in the meantime
    json.dump(sorted(set(map(tuple, hits))), sys.stdout)


main()
