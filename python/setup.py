# SPDX-License-Identifier: BSD-3-Clause
"""Puts the shared library into the package.

It is that of SWIFTCODEC_LIBRARY, or the one that `make shared` has built in the repository, or is built now. With
SWIFTCODEC_LIBRARY=system nothing is put in, and the library is looked for when the package is imported.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py
from setuptools.dist import Distribution

ROOT = Path(__file__).resolve().parent.parent
NAME = "libswiftcodec.dylib" if sys.platform == "darwin" else "libswiftcodec.so"


def built_library():
    """The newest one that `make shared` has built; None if there is none."""
    pattern = "libswiftcodec.*.dylib" if sys.platform == "darwin" else "libswiftcodec.so.*.*"
    found = sorted((ROOT / ".build" / "make").glob(pattern), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else None


def library():
    given = os.environ.get("SWIFTCODEC_LIBRARY")
    if given == "system":
        return None
    if given:
        return Path(given)
    path = built_library()
    if path is None:
        if not (ROOT / "Makefile").exists():
            raise SystemExit("swiftcodec: set SWIFTCODEC_LIBRARY to the shared library, or install from the repository")
        subprocess.run(["make", "shared"], cwd=ROOT, check=True)
        path = built_library()
    if path is None:
        raise SystemExit("swiftcodec: make shared has built no library")
    return path


class Build(build_py):
    def run(self):
        super().run()
        path = library()
        if path is not None:
            target = Path(self.build_lib) / "swiftcodec" / NAME
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


class Wheel(bdist_wheel):
    """Any Python 3, this platform."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


class PlatformDistribution(Distribution):
    def has_ext_modules(self):
        return True


setup(cmdclass={"build_py": Build, "bdist_wheel": Wheel}, distclass=PlatformDistribution)
