"""TIMIT-80: 80 classes of speech sounds, 15 frames of 123 features, from the original recordings.

The paper gives the numbers of classes, samples and inputs, no more. 1,845 inputs are 15 frames of
40 log-mel energies and energy with first and second differences, as in the recognizers of the time,
which told 183 states apart: the beginning, middle and end of each of 61 phones. So here the classes
are 80 of these 183, drawn at random as the paper draws its 80 people.
"""

import re
from collections.abc import Iterator

import numpy as np
from minibp_datasets import speech, sphere
from minibp_datasets.about import About, File
from minibp_datasets.originals import Originals
from minibp_datasets.protocols import sample_classes
from minibp_datasets.reading import Block, Reading
from minibp_datasets.tree import Tree

from minibp.errors import DamagedFileError
from minibp.rng import Streams

CLASSES, TRAIN, TEST = 80, 400, 100
THIRDS = ("beginning", "middle", "end")
RATE = 16000  # Hz
LONGEST = 60 * RATE  # samples of a recording
SHAPE = (speech.FEATURES * (2 * speech.CONTEXT + 1),)

ABOUT = About(
    name="timit80",
    title="TIMIT-80",
    classes=CLASSES,
    train=CLASSES * TRAIN,
    test=CLASSES * TEST,
    network="timit",
    terms="licensed by the Linguistic Data Consortium (LDC93S1); never downloaded",
    origin="https://catalog.ldc.upenn.edu/LDC93S1",
    protocol="80 of 183 thirds of phones, 400 frames of TRAIN and 100 of TEST each, by the seed; "
    "without the sentences SA1 and SA2, which all speakers read",
    files=(File("TIMIT"),),
    by_hand="get the licensed corpus (LDC93S1) from the Linguistic Data Consortium; the folders "
    "TRAIN and TEST with their .WAV (NIST SPHERE) and .PHN files are needed, as a folder, tar or "
    "zip.",
)


def read(originals: Originals, seed: int, resize: str) -> Reading:
    """Return vectors (N, 1845), float32."""
    tree = originals.anything()
    recordings, frames = {}, {"TRAIN": {}, "TEST": {}}
    names = {part: _utterances(tree, part) for part in frames}
    for part, utterances in names.items():
        wanted = {phn: key for key, (phn, _) in utterances.items()}
        for name, content in tree.read(wanted):
            phones = parse_phones(content, f"{tree}, {name}")
            last = speech.frame_count(phones[-1][1], RATE)
            for start, end, phone in phones:
                for frame, third in _frames(start, end, last):
                    kind = f"{phone} {THIRDS[third]}"
                    frames[part].setdefault(kind, []).append((wanted[name], frame))
        recordings |= {wav: key for key, (_, wav) in utterances.items()}
    enough = [
        kind
        for kind, found in frames["TRAIN"].items()
        if len(found) >= TRAIN and len(frames["TEST"].get(kind, ())) >= TEST
    ]
    classes = sample_classes(enough, CLASSES, ABOUT.name, seed)
    rows, labels = {}, {}
    for part, count in (("train", TRAIN), ("test", TEST)):
        labels[part] = np.repeat(np.arange(CLASSES), count)
        for label, kind in enumerate(classes):
            found = sorted(frames[part.upper()][kind])
            order = Streams(seed)[f"protocol/timit80/{kind}/{part}"].at(0).permutation(len(found))
            for k, row in enumerate(order[:count]):
                key, frame = found[row]
                rows.setdefault(key, []).append((part, label * count + k, frame))

    def blocks() -> Iterator[Block]:
        wavs = [wav for wav, key in recordings.items() if key in rows]
        for name, content in tree.read(wavs):
            rate, samples = sphere.read(content, f"{tree}, {name}")
            if rate != RATE:
                raise DamagedFileError(f"{tree}, {name}: {rate} Hz, expected {RATE}.")
            if not speech.frame_count(len(samples), rate):
                raise DamagedFileError(f"{tree}, {name} has only {len(samples)} samples.")
            x = speech.features(samples, rate)
            for part, row, frame in rows[recordings[name]]:
                if frame >= len(x):
                    raise DamagedFileError(f"{tree}, {name} is shorter than its .PHN file says.")
                yield part, row, speech.in_context(x, frame)

    return Reading(labels["train"], labels["test"], SHAPE, tuple(classes), blocks, dtype="float32")


def parse_phones(content: bytes, what: str) -> list[tuple[int, int, str]]:
    """Return (first sample, end, phone) from the lines of a .PHN file."""
    rows = []
    for number, line in enumerate(content.decode("ascii", "replace").splitlines(), start=1):
        if not line.strip():
            continue
        match = re.fullmatch(r"\s*([0-9]{1,7})\s+([0-9]{1,7})\s+(\S{1,9})\s*", line)
        before = rows[-1][1] if rows else 0
        if not match or not before <= int(match[1]) <= int(match[2]) <= LONGEST:
            raise DamagedFileError(
                f"{what}, line {number}: {line[:60]!r} is no 'start end phone' after sample "
                f"{before}, up to {LONGEST}."
            )
        rows.append((int(match[1]), int(match[2]), match[3].lower()))
    if not rows:
        raise DamagedFileError(f"{what} has no phones.")
    return rows


def _frames(start: int, end: int, last: int) -> Iterator[tuple[int, int]]:
    """Yield the frames below `last` whose centre is within a phone, and in which third of it."""
    hop, half = round(speech.HOP * RATE), round(speech.WINDOW * RATE) // 2
    first = max(0, -(-(start - half) // hop))
    for frame in range(first, min(last, (end - half - 1) // hop + 1)):
        yield frame, 3 * (frame * hop + half - start) // (end - start)


def _utterances(tree: Tree, part: str) -> dict[str, tuple[str, str]]:
    """Return (.PHN, .WAV) by utterance, of TRAIN or TEST, without SA1 and SA2."""
    found: dict[str, dict[str, str]] = {}
    for name in tree.names():
        stem, _, ending = name.rpartition(".")
        folders = stem.upper().split("/")
        parts = [folder for folder in folders[:-1] if folder in ("TRAIN", "TEST")]
        if parts[-1:] == [part] and not folders[-1].startswith("SA"):
            found.setdefault(stem.upper(), {})[ending.upper()] = name
    pairs = {
        key: (files["PHN"], files["WAV"])
        for key, files in found.items()
        if {"PHN", "WAV"} <= files.keys()
    }
    if not pairs:
        raise DamagedFileError(f"{tree} has no .PHN and .WAV files below a folder {part}.")
    return pairs
