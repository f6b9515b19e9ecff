"""Which folders are parts of a data set, to train on, to test and the like, by their names."""

import re
from collections.abc import Collection

WORDS = {
    "train": "train training trn trainval",
    "test": "test tests testing tst",
    "eval": "eval evaluation",
    "val": "val valid validate validation dev devel development",
    "none": "pred predict prediction unlabeled unlabelled",
}
KINDS = {word: kind for kind, words in WORDS.items() for word in words.split()}
FILLERS = set("set data dataset image images img imgs picture pictures photos samples".split())
FOLD = re.compile(r"(fold|split|part|batch|cv)[\W_]*\d+", re.IGNORECASE)
STICKING = re.compile(f"({'|'.join(KINDS)})({'|'.join(FILLERS)})")


def roles(folders: Collection[str], deep: Collection[str]) -> dict[str, str]:
    """Return which folders are "train", "test" and "unused"; nothing if they are no parts.

    deep  those of them that have images in folders of their own, as a part has

    Evaluation is the test where there is no other, and else validation is. Names of which a part's
    is only a word count if all do, since there are classes such as "bullet train".

    >>> roles(["train", "tests", "dev", "x"], [])
    {'train': 'train', 'tests': 'test', 'dev': 'unused'}
    >>> roles(["seg_train", "seg_test"], ["seg_train", "seg_test"])
    {'seg_train': 'train', 'seg_test': 'test'}
    >>> roles(["train", "plane"], []), roles(["bullet_train", "test_tube"], [])
    ({}, {})
    """
    exact = {name: kind_of(name) for name in folders}
    loose = {name: kind_in(name) for name in folders}
    kinds = exact
    if not _complete(exact):
        if not _complete(loose) or not all(loose.values()) or not _deep(loose, deep):
            return {}
        kinds = loose
    test = next(kind for kind in ("test", "eval", "val") if kind in kinds.values())
    part = {"train": "train", test: "test"}
    return {name: part.get(kind, "unused") for name, kind in kinds.items() if kind}


def suspects(folders: Collection[str], deep: Collection[str]) -> list[str]:
    """Return those folders, none of which has a role, that are rather parts than classes: all of
    them by their names, or those with a part's name and images in folders of their own.

    >>> suspects(["train", "extra"], ["train", "extra"]), suspects(["fold1", "fold2"], [])
    (['train'], ['fold1', 'fold2'])
    >>> suspects(["valid", "invalid"], []), suspects(["train", "plane"], [])
    ([], [])
    """
    named = [name for name in folders if kind_of(name) or FOLD.fullmatch(name)]
    if len(named) == len(folders):
        return named
    loose = {name: kind_in(name) for name in folders}
    if all(loose.values()) and _deep(loose, deep):
        return list(folders)
    return [name for name in named if name in deep]


def kind_of(name: str) -> str | None:
    """Return the kind of part that a whole name stands for.

    >>> kind_of("Training_Set"), kind_of("testset"), kind_of("val2017"), kind_of("train tracks")
    ('train', 'test', 'val', None)
    """
    return KINDS.get("".join(word for word in _words(name) if word not in FILLERS))


def kind_in(name: str) -> str | None:
    """Return the kind of part that occurs in a name, if it is one kind.

    >>> kind_in("seg_train"), kind_in("train_test"), kind_in("cat")
    ('train', None, None)
    """
    kinds = {KINDS[word] for word in _words(name) if word in KINDS}
    return kind_of(name) or (kinds.pop() if len(kinds) == 1 else None)


def _words(name: str) -> list[str]:
    text = re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()
    words = re.findall(r"[^\W\d_]+", text)
    return [part for word in words for part in _parts_of(word)]


def _parts_of(word: str) -> tuple[str, ...]:
    sticking = STICKING.fullmatch(word)
    return sticking.groups() if sticking else (word,)


def _complete(kinds: dict[str, str | None]) -> bool:
    found = set(kinds.values())
    return "train" in found and bool(found & {"test", "eval", "val"})


def _deep(kinds: dict[str, str | None], deep: Collection[str]) -> bool:
    return all(name in deep for name, kind in kinds.items() if kind != "none")
