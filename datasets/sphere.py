"""NIST SPHERE audio, the format of TIMIT's .WAV files."""

import numpy as np

from minibp.errors import DamagedFileError


def read(content: bytes, name: str) -> tuple[int, np.ndarray]:
    """Return the sampling rate in Hz and the samples, int16, of a file with one channel.

    Raises DamagedFileError for another format, a broken header, and samples that are missing.
    """
    try:
        return _read(content)
    except (ValueError, KeyError, IndexError) as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise DamagedFileError(f"{name} is not a NIST SPHERE file: {what}.") from error


def _read(content: bytes) -> tuple[int, np.ndarray]:
    if content[:4] == b"RIFF":
        raise ValueError("it is a RIFF .wav, a conversion; the original's begin with NIST_1A")
    magic, size, *_ = content[:16].decode("ascii").split("\n")
    if magic != "NIST_1A":
        raise ValueError("it does not begin with NIST_1A")
    length = int(size)
    if not 16 < length <= len(content):
        raise ValueError(f"a header of {length} bytes in a file of {len(content)}")
    fields = {}
    lines = content[16:length].decode("ascii").split("\n")
    if "end_head" not in (line.strip() for line in lines):
        raise ValueError("its header has no end")
    for line in lines:
        if line.strip() == "end_head":
            break
        if line.strip():
            key, kind, value = line.split(maxsplit=2)
            fields[key] = int(value) if kind == "-i" else value.strip()
    coding = fields.get("sample_coding", "pcm")
    if coding != "pcm":
        raise ValueError(f"its samples are coded as {coding!r}; unpack it with sph2pipe -p")
    if fields["channel_count"] != 1 or fields["sample_n_bytes"] != 2:
        raise ValueError("expected one channel of two-byte samples")
    order = {"01": "<i2", "10": ">i2"}[str(fields["sample_byte_format"])]
    count, rate = fields["sample_count"], fields["sample_rate"]
    if not isinstance(count, int) or not isinstance(rate, int) or rate < 1:
        raise ValueError("sample_count and sample_rate are to be integers")
    if not 0 <= count <= (len(content) - length) // 2:
        raise ValueError(f"{count} samples, of which {(len(content) - length) // 2} are there")
    return rate, np.frombuffer(content, order, count, offset=length).astype(np.int16)
