"""How the kernels of this folder are compiled: by Numba, without the GIL, cached on disk."""

import contextlib
import hashlib
from pathlib import Path

import numba

from minibp.files import write_atomically


def drop_stale(folder: Path) -> None:
    """Remove a folder's compiled kernels unless they are of its files as they are now.

    Numba compiles a kernel anew when its own file changes, but not when a function does that it
    calls in another file: it would go on with old code, and with other last bits than elsewhere.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.read_bytes())
    cache, now = folder / "__pycache__", digest.hexdigest().encode()
    mark = cache / "kernels.sha256"
    with contextlib.suppress(OSError):  # a folder that is not ours to write to
        if mark.exists() and mark.read_bytes() == now:
            return
        cache.mkdir(exist_ok=True)
        for path in (*cache.glob("*.nbi"), *cache.glob("*.nbc")):
            path.unlink(missing_ok=True)
        write_atomically(mark, now)


drop_stale(Path(__file__).parent)

# No fast-math: a product and a sum could be fused here and not there, as the compiler sees fit, and
# a process that compiles a kernel would not get the bits of one that loads it from the disk.
kernel = numba.njit(nogil=True, cache=True, fastmath=False, error_model="numpy")
