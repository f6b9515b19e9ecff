"""Keep the line numbers of docs/paper.md right.

python scripts/dev/paper_map.py            # after code has moved
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "paper.md"
ROW = re.compile(r"`(?P<file>[\w/.]+):(?P<line>\d+)` \| `(?P<code>[^`]+)`")


def line_of(file: str, code: str) -> int:
    """Return the number of the one line in which the code is; raise ValueError if none or two."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    found = [k for k, line in enumerate(lines, start=1) if code in line]
    if len(found) != 1:
        raise ValueError(f"{file}: {code!r} is in {len(found)} lines, expected one.")
    return found[0]


def with_lines(text: str) -> str:
    """Return the page with the line numbers of today."""

    def renumbered(row: re.Match) -> str:
        return f"`{row['file']}:{line_of(row['file'], row['code'])}` | `{row['code']}`"

    return ROW.sub(renumbered, text)


def main() -> int:
    """Rewrite the page; return the exit status."""
    try:
        PAGE.write_text(with_lines(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
