#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Signals, full disks and folders that may not be written to: test_kill.py TOOL [--times 20] [--seed 1]

Encodes and decodes over files that are there, and ends the tool by SIGTERM and SIGKILL at random moments. Afterwards the
target is what it was or what it should become, whole; nothing else is there, but after SIGKILL one temporary file. Then files
that cannot grow (RLIMIT_FSIZE, /dev/full) and a folder that may not be written to.
"""
import argparse
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIZE = (512, 384)
OLD = b"what was there before"


def draw(path):
    """A PPM picture that takes a moment."""
    width, height = SIZE
    generator = random.Random(1)
    noise = generator.randbytes(3 * width)
    rows = [bytes((x // 9 + y // 2 + (noise[(x * 7 + y * 13) % len(noise)] & 15)) & 255 for x in range(3 * width))
            for y in range(height)]
    path.write_bytes(b"P6\n%d %d\n255\n" % SIZE + b"".join(rows))


class Case:
    """A command that writes `target` in `folder`, where `inputs` stand."""

    def __init__(self, name, folder, command, target):
        self.name, self.folder, self.command, self.target = name, folder, command, folder / target
        self.others = {path.name for path in folder.iterdir()}

    def start(self, **options):
        return subprocess.Popen(self.command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options)

    def measure(self):
        """The whole result, and the seconds that it takes."""
        start = time.monotonic()
        process = self.start()
        error = process.communicate()[1]
        if process.returncode != 0:
            sys.exit(f"{self.name}: {error.decode()}")
        self.result = self.target.read_bytes()
        return time.monotonic() - start

    def check(self, what, temporary=0, changed=True):
        """Whether nothing was lost and at most so many temporary files are left, which are removed."""
        found = self.target.read_bytes()
        if found != OLD and not (changed and found == self.result):
            sys.exit(f"{self.name}, {what}: the target has {len(found)} bytes, neither the old nor the new ones")
        left = {path.name for path in self.folder.iterdir()} - self.others - {self.target.name}
        if len(left) > temporary:
            sys.exit(f"{self.name}, {what}: left behind: {', '.join(sorted(left))}")
        for name in left:
            (self.folder / name).unlink()
        return found == OLD, len(left)


def killed(case, times, generator):
    seconds = case.measure()
    kept = finished = left = 0
    for i in range(times):
        number = signal.SIGKILL if i % 2 else signal.SIGTERM
        case.target.write_bytes(OLD)
        process = case.start()
        time.sleep(generator.uniform(0, 1.05 * seconds))
        process.send_signal(number)
        process.communicate()
        is_old, temporary = case.check(f"{number.name} {i}", temporary=1 if number == signal.SIGKILL else 0)
        kept += is_old
        finished += not is_old
        left += temporary
    print(f"{case.name}: {times} signals, target as before {kept} times, whole result {finished} times, "
          f"{left} temporary files after SIGKILL")


def limited(case):
    """The file may not grow beyond some bytes: as on a full disk."""
    for limit in (0, len(case.result) - 1):
        for ignored in (False, True):
            case.target.write_bytes(OLD)

            def limit_size():
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
                # Ignored, it is an error of write; else a signal ends the tool.
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN if ignored else signal.SIG_DFL)

            process = case.start(preexec_fn=limit_size)
            error = process.communicate()[1]
            if process.returncode == 0:
                sys.exit(f"{case.name}: success with a limit of {limit} bytes")
            if process.returncode > 0 and not error:
                sys.exit(f"{case.name}: exit code {process.returncode} without a word")
            case.check(f"limit of {limit} bytes", changed=False)
    print(f"{case.name}: files that may not grow: an error, the target as before")


def read_only(case):
    case.target.write_bytes(OLD)
    # The superuser may write everywhere.
    def drop():
        if os.getuid() == 0:
            os.setgid(65534)
            os.setuid(65534)

    case.folder.chmod(0o555)
    try:
        process = case.start(preexec_fn=drop)
        error = process.communicate()[1]
    finally:
        case.folder.chmod(0o755)
    if process.returncode == 0 or not error:
        sys.exit(f"{case.name}: exit code {process.returncode} in a folder that may not be written to")
    case.check("read-only folder", changed=False)
    print(f"{case.name}: a folder that may not be written to: {error.decode().strip().splitlines()[-1]}")


def full_device(case):
    command = [word if word != case.target.name else "/dev/full" for word in case.command]
    if case.name == "decode":
        command += ["--format", "png"]
    process = subprocess.run(command, cwd=case.folder, capture_output=True)
    if process.returncode == 0 or not process.stderr:
        sys.exit(f"{case.name}: exit code {process.returncode} with /dev/full")
    print(f"{case.name}: /dev/full: {process.stderr.decode().strip().splitlines()[-1]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tool", type=Path)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    generator = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        place.chmod(0o755)
        # Where another user may run it.
        tool = place / "tool"
        shutil.copy(arguments.tool, tool)
        folder = place / "encode"
        folder.mkdir()
        draw(folder / "in.ppm")
        encode = Case("encode", folder, [tool, "encode", "-q60", "--quiet", "in.ppm", "out.sci"], "out.sci")
        killed(encode, arguments.times, generator)
        limited(encode)
        read_only(encode)
        full_device(encode)
        folder = place / "decode"
        folder.mkdir()
        (folder / "in.sci").write_bytes(encode.result)
        decode = Case("decode", folder, [tool, "decode", "--quiet", "in.sci", "out.png"], "out.png")
        killed(decode, arguments.times, generator)
        limited(decode)
        read_only(decode)
        full_device(decode)
    print("No partial file, nothing destroyed.")


if __name__ == "__main__":
    main()
