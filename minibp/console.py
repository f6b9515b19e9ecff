"""What scripts write to, whatever is at the other end: a broken pipe, few letters, nothing."""

import contextlib
import errno
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TextIO

OUT_OF_MEMORY = (
    "out of memory: what was finished is kept. Use a smaller --batch-size, a smaller network, or "
    "fewer runs at a time (sweep.py --at-once or --workers)"
)


class Stream:
    """A text stream that goes silent once nobody reads it: what is computed matters more.

    Letters that its encoding has not are replaced.
    """

    def __init__(self, stream: TextIO):
        self._stream = stream
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.reconfigure(errors="replace")

    def write(self, text: str) -> int:
        """Write a text, or drop it; return its length."""
        with self._silenced():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Have what was written written through, or dropped."""
        with self._silenced():
            self._stream.flush()

    def is_silent(self, stream: TextIO) -> bool:
        """Whether nobody reads the stream that this one was made of."""
        self.flush()
        return self._stream is not stream

    @contextlib.contextmanager
    def _silenced(self) -> Iterator[None]:
        try:
            yield
        except (BrokenPipeError, ValueError):  # nobody is at the other end; or it is closed
            self._stream = _nowhere()
        except OSError as error:
            if error.errno != errno.EBADF:  # such as a full disk, which is to be told
                raise
            self._stream = _nowhere()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def run(main: Callable[[], int]) -> int:
    """Return the exit status of a script's main function, called with streams that cannot end it.

    Warnings are one line each on stderr.
    """
    kept = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (Stream(stream or _nowhere()) for stream in kept)
    warnings.showwarning = one_line
    try:
        status = main()
        sys.stdout.flush()
        return status
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except MemoryError as error:  # CuPy's is one, too
        print(f"error: {OUT_OF_MEMORY} ({error})", file=sys.stderr)
        return 1
    finally:
        for stream, wrapped in zip(kept, (sys.stdout, sys.stderr), strict=True):
            if stream is not None and wrapped.is_silent(stream):
                _discard(stream)
        sys.stdout, sys.stderr = kept


def tell(note: str) -> None:
    """Print a note on stderr, unless it is empty."""
    if note:
        print(f"note: {note}", file=sys.stderr)


def one_line(message: Warning | str, *_: object, **__: object) -> None:
    """Print a warning: in the place of `warnings.showwarning`."""
    print(f"warning: {message}", file=sys.stderr)


def _nowhere() -> TextIO:
    """Return a stream that goes nowhere. One that was closed before the start, leaves its number
    free, and a file of results must not get it: so this one does."""
    return open(os.devnull, "w")


def _discard(stream: TextIO) -> None:
    """Let what a broken stream still holds go nowhere, or Python would complain at its end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
