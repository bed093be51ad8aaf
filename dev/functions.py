"""The files of `api/` as Vercel sees them: the functions, their URLs and their apps."""

import ast
import sys
import traceback
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec
from pathlib import Path
from urllib.parse import quote, unquote

from starlette.types import ASGIApp

from dev.terminal import tell

EXPORTS = {"app", "handler"}
# Frames of a traceback above the developer's code begin with one of these.
OUTSIDE = (str(Path(__file__).parent), "<frozen importlib")


@dataclass(frozen=True, slots=True)
class Function:
    """One function: its URL, and its app unless it could not be loaded."""

    file: str
    segments: tuple[str, ...]
    app: ASGIApp | None

    def match(self, raw_path: bytes) -> bytes | None:
        """Match a path as it came, with its percent signs; ignore a slash at the end.

        Returns:
            The text that the path adds to the query: `id=…` for each segment `[id]`; None: the path
            is another function's.
        """
        parts = raw_path.decode("latin-1").removesuffix("/").split("/")[1:]
        if len(parts) != len(self.segments):
            return None
        added: list[str] = []
        for segment, part in zip(self.segments, parts, strict=True):
            if segment.startswith("[") and part:
                added.append(f"{segment[1:-1]}={quote(unquote(part), safe='')}")
            elif segment != unquote(part):
                return None
        return "&".join(added).encode()


def load_functions(root: Path) -> list[Function]:
    """Load all functions of a checkout, those with fixed URLs before those with segments `[id]`.

    A function that cannot be loaded is in the list without its app; the terminal says why.
    """
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    reported: set[str] = set()
    functions: list[Function] = []
    for file in sorted((root / "api").rglob("*.py")):
        path = file.relative_to(root)
        if any(part.startswith(("_", ".")) for part in path.parts):
            continue
        if not EXPORTS & _top_level_names(file):
            tell(f"{path} is no function: it has no `app` at its top level. Vercel leaves it out.")
            continue
        functions.append(Function(str(path), _segments(path), _load(file, path, reported)))
    return sorted(functions, key=lambda function: [part[:1] == "[" for part in function.segments])


def _segments(path: Path) -> tuple[str, ...]:
    parts = path.with_suffix("").parts
    return parts[:-1] if parts[-1] == "index" else parts


def _top_level_names(file: Path) -> set[str]:
    """Return the names a module binds at its top level, found without running it."""
    try:
        tree = ast.parse(file.read_bytes())
    except SyntaxError:
        return EXPORTS  # loading it reports the error
    names: set[str] = set()
    for statement in tree.body:
        match statement:
            case (
                ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.ClassDef(name=name)
            ):
                names.add(name)
            case ast.Assign(targets=targets):
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case ast.ImportFrom(names=aliases):
                names |= {alias.asname or alias.name for alias in aliases}
            case _:
                pass
    return names


def _load(file: Path, path: Path, reported: set[str]) -> ASGIApp | None:
    """Run a function's file as a module of its own; report each error once."""
    loader = SourceFileLoader(str(path), str(file))
    spec = ModuleSpec(str(path), loader, origin=str(file))
    spec.has_location = True
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        loader.exec_module(module)
        app: ASGIApp = module.app
    except (Exception, SystemExit) as error:  # noqa: BLE001 (one function must not end the others)
        text = explain(error)
        tell(f"{path} could not be loaded{': see above' if text in reported else f'.\n{text}'}")
        reported.add(text)
        return None
    return app


def explain(error: BaseException) -> str:
    """Return the text of an error: a traceback, or for wrong settings only the message."""
    settings = sys.modules.get("lib.settings")
    if isinstance(error, getattr(settings, "SettingsError", ())):
        return str(error)
    # From the function's file on; the frames that import or call it do not help.
    trace = error.__traceback__
    while trace and trace.tb_frame.f_code.co_filename.startswith(OUTSIDE):
        trace = trace.tb_next
    text = "".join(traceback.format_exception(type(error), error, trace)).rstrip()
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith(("api", "lib")):
        text += "\nIf it is in pyproject.toml: make lock, then make install"
    return text
