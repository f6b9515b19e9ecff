"""A shared folder as it may be: every look takes its time, and new records are seen late.

Dask's workers load it by --preload; FOLDER is the environment variable that names the folder.
"""

import builtins
import os
import time

FOLDER = "MINIBP_TEST_SLOW_FOLDER"
DELAY = 0.02  # seconds for each open, look and rename
BLIND = 1.5  # seconds in which a run.json written by another process is not there


def install() -> None:
    """Slow down this process's use of the folder."""
    folder, mine = os.environ[FOLDER], set()
    real_open, real_stat, real_replace = builtins.open, os.stat, os.replace

    def inside(path) -> bool:
        return isinstance(path, str | os.PathLike) and os.fspath(path).startswith(folder)

    def slow_open(file, *args, **kwargs):
        if inside(file):
            time.sleep(DELAY)
        return real_open(file, *args, **kwargs)

    def slow_stat(path, *args, **kwargs):
        found = real_stat(path, *args, **kwargs)
        if inside(path):
            time.sleep(DELAY)
            name = os.fspath(path)
            new = time.time() - found.st_mtime < BLIND
            if name.endswith("run.json") and new and name not in mine:
                raise FileNotFoundError(2, "not seen yet", name)
        return found

    def slow_replace(source, target, **kwargs):
        if inside(target):
            time.sleep(DELAY)
            mine.add(os.fspath(target))
        return real_replace(source, target, **kwargs)

    builtins.open, os.stat, os.replace = slow_open, slow_stat, slow_replace


def dask_setup(worker) -> None:
    """Called by Dask in a worker that preloads this file."""
    install()
