"""Python files that users write: loaded once, known by their text, and named in their errors."""

import ast
import contextlib
import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from minibp.errors import InputError

# Never taken from beside a user's file, whatever lies there.
INSTALLED = {"minibp", "minibp_datasets", "numpy", "cupy", "scipy", *sys.stdlib_module_names}
_loaded: dict[str, "UserFile"] = {}  # by the path and the texts, so that an edited file is new


@dataclass(frozen=True)
class UserFile:
    """A file as it was loaded.

    module  what is in it
    sha256  the checksum of its text and of the files beside it that it imports, which is the same
            wherever they lie
    """

    module: ModuleType
    sha256: str


def load(path: Path | str) -> UserFile:
    """Return a user's file, loaded if it was not, or if its text is another than it was.

    It can import modules that lie beside it. Raises InputError if there is no such file, or if it
    cannot be executed; the error shows the line of the user's own that raised.
    """
    path = Path(path).resolve()
    texts = _texts(path)
    sha256 = _digest(texts)
    key = f"{path} {sha256}"
    if key not in _loaded:
        _loaded[key] = UserFile(_execute(path, texts, sha256), sha256)
    return _loaded[key]


def checksum(path: Path | str) -> str:
    """Return the `sha256` of a file without loading it."""
    return _digest(_texts(Path(path).resolve()))


def file_of(cls: type) -> Path | None:
    """Return the file of a user's class, or None for one of minibp or of an interactive session."""
    module = sys.modules.get(cls.__module__)
    path = getattr(module, "__file__", None)
    return None if path is None or cls.__module__.partition(".")[0] == "minibp" else Path(path)


def split(name: str) -> tuple[str, str] | None:
    """Return path and class of a name such as "rules.py:MyRule", or None for any other name.

    >>> split("my/rules.py:MyRule"), split("frSF")
    (('my/rules.py', 'MyRule'), None)
    """
    path, colon, cls = name.rpartition(":")
    return (path, cls) if colon and path.endswith(".py") else None


@contextlib.contextmanager
def named(what: str) -> Iterator[None]:
    """Turn an exception of a user's code into an InputError with the line that raised it.

    what  whose code it is, such as "rule rules.py:MyRule, layer 'fc1'"
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        own = {str(vars(file.module)["__file__"]) for file in _loaded.values()}
        raise InputError(f"{what}: {_where(error, own)}{_words(error)}") from error


def _words(error: BaseException) -> str:
    text = str(error)
    if isinstance(error, InputError):
        return text
    return f"{type(error).__name__}{f': {text}' if text else ''}"


def _where(error: BaseException, own: set[str]) -> str:
    """Return place and text of the innermost line in a user's own files, or ""."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename in own]
    if not frames:
        return ""
    return f"{frames[-1].filename}:{frames[-1].lineno}: `{frames[-1].line}` raised "


def _digest(texts: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, text in texts.items():
        digest.update(f"{name} {len(text)}\n".encode())
        digest.update(text)
    return digest.hexdigest()


def _texts(path: Path) -> dict[str, bytes]:
    """Return the text of a file, under "", and those of the files beside it that it imports."""
    texts: dict[str, bytes] = {}
    waiting = [("", path)]
    while waiting:
        name, place = waiting.pop()
        if name in texts:
            continue
        try:
            texts[name] = place.read_bytes()
        except OSError as error:
            if not place.exists():
                raise InputError(f"no file {str(place)!r} to load.") from error
            raise InputError(f"cannot read {str(place)!r}: {error.strerror}.") from error
        for imported in _imports(texts[name]):
            beside = (path.parent / f"{imported}.py", path.parent / imported / "__init__.py")
            waiting += [(imported, file) for file in beside if file.is_file()][:1]
    return dict(sorted(texts.items()))


def _imports(text: bytes) -> list[str]:
    """Return the first names of the modules that a text imports."""
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except (SyntaxError, ValueError):  # it is told when the text is executed
        return []
    found = [alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names]
    found += [n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module and not n.level]
    return sorted({name.partition(".")[0] for name in found} - INSTALLED)


def _execute(path: Path, texts: dict[str, bytes], sha256: str) -> ModuleType:
    """Return the module of a file. Modules beside it are its own: another folder's of the same
    name do not stand in for them."""
    name = f"minibp_user_{path.stem}_{sha256[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    with _beside(path.parent, set(texts) - {""}):
        sys.modules[name] = module  # where dataclasses look for a class's module
        try:
            # The text that was hashed, and no bytecode, which may be of an earlier text.
            exec(compile(texts[""], str(path), "exec"), vars(module))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit, too: it would end the caller
            del sys.modules[name]
            where = "" if isinstance(error, InputError) else _where(error, {str(path)})
            raise InputError(f"{path} cannot be loaded: {where}{_words(error)}") from error
    return module


@contextlib.contextmanager
def _beside(folder: Path, names: set[str]) -> Iterator[None]:
    """Have modules of these names imported from a folder within the block, and forget them."""

    def forget() -> dict[str, ModuleType]:
        own = [key for key in sys.modules if key.partition(".")[0] in names]
        return {key: sys.modules.pop(key) for key in own}

    others, bytecode = forget(), sys.dont_write_bytecode
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        sys.dont_write_bytecode = bytecode
        forget()
        sys.modules.update(others)
