"""Python files that users write: loaded once, known by their text, and named in their errors."""

import ast
import contextlib
import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from minibp.errors import InputError

# Never taken from beside a user's file, whatever lies there.
INSTALLED = {"minibp", "minibp_datasets", "numpy", "cupy", "scipy", *sys.stdlib_module_names}
_loaded: dict[Path, "UserFile"] = {}


@dataclass(frozen=True)
class UserFile:
    """A file as it was loaded.

    module  what is in it
    sha256  the checksum of its text and of the files beside it that it imports, which is the same
            wherever they lie
    files   those files
    """

    module: ModuleType
    sha256: str
    files: frozenset[Path]


def load(path: Path | str) -> UserFile:
    """Return a user's file, loaded if it was not, or if its text is another than it was.

    It can import modules that lie beside it. Raises InputError if there is no such file, or if it
    cannot be executed; the error shows the line of the user's own that raised.
    """
    path = Path(path).resolve()
    known = _loaded.get(path)
    if known is None or known.sha256 != _digest(path, known.files):
        files = _files(path)
        module, more = _execute(path, files)
        files |= more
        known = _loaded[path] = UserFile(module, _digest(path, files), frozenset(files))
    return known


def checksum(path: Path | str) -> str:
    """Return the `sha256` of a file without loading it, as far as its imports can be read."""
    path = Path(path).resolve()
    return _digest(path, _files(path))


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
    except (Exception, SystemExit) as error:
        own = {str(vars(file.module)["__file__"]) for file in _loaded.values()}
        raise InputError(f"{what}: {_where(error, own)}{_words(error)}") from error


def _words(error: BaseException) -> str:
    text = str(error)
    if isinstance(error, InputError):
        return text
    if isinstance(error, ModuleNotFoundError):
        text += ". A file beside this one can be imported at the top of it, not within a function"
    elif isinstance(error, ImportError) and "relative import" in text:
        text += ": leave out the dot, from NAME import …"
    return f"{type(error).__name__}{f': {text}' if text else ''}"


def _where(error: BaseException, own: set[str]) -> str:
    """Return place and text of the innermost line in a user's own files, or ""."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename in own]
    if not frames:
        return ""
    return f"{frames[-1].filename}:{frames[-1].lineno}: `{frames[-1].line}` raised "


def _digest(path: Path, files: Collection[Path]) -> str:
    """Return the checksum of texts, and of their files' names seen from the first's folder."""
    digest = hashlib.sha256()
    for name, file in sorted(("" if f == path else _name(path, f), f) for f in files):
        text = _read(file)
        digest.update(f"{name} {len(text)}\n".encode())
        digest.update(text)
    return digest.hexdigest()


def _name(path: Path, file: Path) -> str:
    return file.relative_to(path.parent).as_posix().removesuffix(".py").removesuffix("/__init__")


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        if not file.exists():
            raise InputError(f"no file {str(file)!r} to load.") from error
        raise InputError(f"cannot read {str(file)!r}: {error.strerror}.") from error


def _files(path: Path) -> set[Path]:
    """Return a file and those beside it, at any depth, that its text and theirs import."""
    files: set[Path] = set()
    waiting = [path]
    while waiting:
        file = waiting.pop()
        if file not in files:
            files.add(file)
            for name in _imports(_read(file)):
                steps = name.split(".")
                for depth in range(1, len(steps) + 1):
                    place = path.parent.joinpath(*steps[:depth])
                    beside = (place.with_suffix(".py"), place / "__init__.py")
                    waiting += [found for found in beside if found.is_file()]
    return files


def _imports(text: bytes) -> set[str]:
    """Return the names, with their dots, of the modules that a text may import."""
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except (SyntaxError, ValueError):  # it is told when the text is executed
        return set()
    found = {alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names}
    for n in nodes:
        if isinstance(n, ast.ImportFrom) and n.module and not n.level:
            found |= {n.module, *(f"{n.module}.{alias.name}" for alias in n.names)}
    return {name for name in found if name.partition(".")[0] not in INSTALLED}


def _execute(path: Path, files: Collection[Path]) -> tuple[ModuleType, set[Path]]:
    """Return the module of a file, and the files beside it that were imported meanwhile. Modules
    beside it are its own: another folder's of the same name do not stand in for them."""
    text = _read(path)
    name = f"minibp_user_{path.stem}_{hashlib.sha256(text).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    own = {_name(path, file).partition("/")[0] for file in files} - {path.stem}
    own |= {file.stem for file in path.parent.glob("*.py")}
    own |= {file.parent.name for file in path.parent.glob("*/*.py")}
    with _beside(path.parent, own - INSTALLED) as imported:
        sys.modules[name] = module  # where dataclasses look for a class's module
        try:
            # The text that is hashed, and no bytecode, which may be of an earlier text.
            exec(compile(text, str(path), "exec"), vars(module))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit, too: it would end the caller
            del sys.modules[name]
            where = "" if isinstance(error, InputError) else _where(error, {str(path)})
            raise InputError(f"{path} cannot be loaded: {where}{_words(error)}") from error
        more = imported()
    return module, more


@contextlib.contextmanager
def _beside(folder: Path, names: set[str]) -> Iterator[Callable[[], set[Path]]]:
    """Have modules of these names imported from a folder within the block, and forget them. Gives a
    function that returns the files that were."""

    def own() -> list[str]:
        return [key for key in sys.modules if key.partition(".")[0] in names]

    def files() -> set[Path]:
        places = [getattr(sys.modules[key], "__file__", None) for key in own()]
        found = {Path(place).resolve() for place in places if place}
        return {file for file in found if file.is_relative_to(folder)}

    def forget() -> dict[str, ModuleType]:
        return {key: sys.modules.pop(key) for key in own()}

    others, bytecode = forget(), sys.dont_write_bytecode
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    importlib.invalidate_caches()
    try:
        yield files
    finally:
        sys.path.remove(str(folder))
        sys.dont_write_bytecode = bytecode
        forget()
        sys.modules.update(others)
