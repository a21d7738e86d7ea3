"""Records of the store in packs, beside one JSON file a record.

    .venv/bin/python benchmarks/store.py [N]

Writes N (100 000) records as 64 jobs would, reads those of one job and all of them, and prints
seconds, files and bytes on disk of both ways, and their ratios.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))
from voicekiln.provenance import sha256_json  # noqa: E402
from voicekiln.store.files import write_atomic  # noqa: E402
from voicekiln.store.records import Records  # noqa: E402

JOBS = 64


def files(folder, jobs):
    """One file a record, replaced by rename."""
    for job in jobs:
        for key, text in job:
            write_atomic(folder / key[:2] / f"{key}.json", text)
    return lambda keys: [(folder / key[:2] / f"{key}.json").read_text() for key in keys]


def packs(folder, jobs):
    """One pack and one index a job."""
    for job in jobs:
        records = Records(folder)
        for key, text in job:
            records.put(key, text)
        records.close()

    def read(keys):
        records = Records(folder)
        return [records.get(key) for key in keys]

    return read


def measure(way, jobs):
    keys = [key for job in jobs for key, _ in job]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        row = {}
        began = time.perf_counter()
        read = way(folder, jobs)
        row["write, s"] = time.perf_counter() - began
        for name, some in (("read one job's, s", keys[: len(jobs[0])]), ("read all, s", keys)):
            began = time.perf_counter()
            assert all(text for text in read(some))
            row[name] = time.perf_counter() - began
        found = [entry for entry in folder.rglob("*") if entry.is_file()]
        row["files"] = len(found)
        row["MB on disk"] = sum(os.stat(path).st_blocks for path in found) * 512 / 1e6
    return row


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    text = '{"files":{},"record":{"segments":[' + ",".join(["[0,1]"] * 100) + "]}}"  # 0.6 kB
    records = [(sha256_json(i)[:32], text) for i in range(n)]
    jobs = [records[i::JOBS] for i in range(JOBS)]
    ways = {"packs": measure(packs, jobs), "files": measure(files, jobs)}
    print(f"{n} records of {len(text)} bytes, {JOBS} jobs")
    print(f"{'':20}{'packs':>12}{'files':>12}{'ratio':>10}")
    for name in ways["packs"]:
        ours, theirs = (ways[way][name] for way in ("packs", "files"))
        print(f"{name:20}{ours:12.2f}{theirs:12.2f}{theirs / ours:9.1f}x")


if __name__ == "__main__":
    main()
