"""Runs in the guest: looks for secrets where none may be, and prints the places as JSON.

Standard input is a JSON object: `needles` (a list of [secret number, encoding, base64 of the bytes]) and
`directories`. The secrets arrive there and not as arguments, which every process could read.
"""

import base64
import json
import os
import subprocess
import sys

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

    def look_in(stream, place: str) -> None:
        tail = b""
        while chunk := stream.read(CHUNK):
            look(tail + chunk, place)
            tail = chunk[-overlap:]

    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in ("cmdline", "environ"):
            place = f"/proc/{pid}/{name}"
            try:
                with open(place, "rb") as file:
                    data = file.read()
            except OSError:
                continue  # the process has ended, or is the kernel's
            look(data, f"{place} ({_comm(pid)})")

    # As an export, because journald compresses long fields in its files.
    subprocess.run(["journalctl", "--sync"], check=True)
    with subprocess.Popen(["journalctl", "--all", "--output=export", "--no-pager"], stdout=subprocess.PIPE) as journal:
        look_in(journal.stdout, "journal")

    for directory in request["directories"]:
        for parent, _, names in os.walk(directory):
            for name in names:
                path = os.path.join(parent, name)
                look(os.fsencode(path), f"name of {path!r}")
                try:
                    if os.path.islink(path):
                        look(os.fsencode(os.readlink(path)), f"target of {path!r}")
                    elif os.path.isfile(path):
                        with open(path, "rb") as file:
                            look_in(file, path)
                except OSError:
                    continue
    json.dump(sorted(set(map(tuple, hits))), sys.stdout)


def _comm(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return "ended"


main()
