"""The public names: those that the stubs export, by package, with source and section. Nothing is imported."""

import ast
import functools
import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
HEADS, TYPES = "circuits.transformer.heads", "circuits.typing"
"""Public modules without a stub."""
MODULES = "Modules"
"""The section of modules that a package exports."""


class Public(NamedTuple):
    """A public name: where users import it from, where it is written, and the section that lists it."""

    package: str
    name: str
    module: str
    section: str

    @property
    def dotted(self) -> str:
        return f"{self.package}.{self.name}"

    @property
    def origin(self) -> str:
        """The name where it is written; that of a module is the module's."""
        return self.module if self.kind == "module" else f"{self.module}.{self.name}"

    @property
    def kind(self) -> str:
        """The kind of directive that documents it."""
        if self.section == MODULES:
            return "module"
        kinds = {ast.ClassDef: "class", ast.FunctionDef: "function"}
        return kinds.get(type(definitions(self.module)[self.name][0]), "data")

    @property
    def docstring(self) -> str:
        """Its docstring; that of data is the text below its assignment."""
        if self.kind == "module":
            return module_docstring(self.module)
        node, after = definitions(self.module)[self.name]
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            return ast.get_docstring(node) or ""
        text = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
        return text if isinstance(text, str) else ""

    @property
    def value(self) -> str:
        """The right side of the assignment of data, as it is written."""
        node, _ = definitions(self.module)[self.name]
        return ast.unparse(node.value) if isinstance(node, ast.Assign | ast.AnnAssign) and node.value else ""


def source(module: str) -> Path:
    """Return the file of a module of ours."""
    path = ROOT / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@functools.cache
def parsed(module: str) -> ast.Module:
    return ast.parse(source(module).read_text(encoding="utf-8"))


def module_docstring(module: str) -> str:
    return ast.get_docstring(parsed(module)) or ""


@functools.cache
def definitions(module: str) -> dict[str, tuple[ast.stmt, ast.stmt | None]]:
    """Return the classes, functions and assignments of a module by name, each with the statement after it."""
    found: dict[str, tuple[ast.stmt, ast.stmt | None]] = {}
    body = parsed(module).body
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found[node.name] = node, after
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id: (node, after) for target in targets if isinstance(target, ast.Name)}
    return found


@functools.cache
def packages() -> dict[str, tuple[Public, ...]]:
    """Return the public names of each package, in the order of its stub."""
    folders = [ROOT / "circuits", *sorted((ROOT / "circuits").glob("*/")), ROOT / "proofs_check"]
    names = [".".join(folder.relative_to(ROOT).parts) for folder in folders if (folder / "__init__.pyi").exists()]
    stubs = {name: _of_stub(name) for name in names}
    exported = (each.module for members in stubs.values() for each in members if each.section == MODULES)
    modules = {name: _of_module(name) for name in exported if name not in stubs}
    aliases = tuple(Public(TYPES, name, TYPES, "") for name in definitions(TYPES))
    return stubs | modules | {HEADS: _of_imports(HEADS), TYPES: aliases}


@functools.cache
def documented() -> dict[str, str]:
    """Return for each public name, and the name where it is written, the name under which it is documented.

    A name that several packages export is documented in the first of them.
    """
    names: dict[str, str] = {}
    for each in (public for members in packages().values() for public in members):
        names[each.dotted] = names.setdefault(each.origin, each.dotted)
    return names


def _of_stub(package: str) -> tuple[Public, ...]:
    lines = (ROOT / package.replace(".", "/") / "__init__.pyi").read_text(encoding="utf-8").splitlines()
    members, comment = [], ""
    for line in lines:
        if line.startswith("# ") and not line.startswith("# isort"):
            comment = line[2:].rstrip(".").partition(":")[0]
        elif match := re.fullmatch(r"from \.(\S*) import (\w+) as \2", line):
            origin = f"{package}.{match[1]}".rstrip(".")
            module = _written(origin, match[2]) if match[1] else f"{package}.{match[2]}"
            section = (comment or _section(package, module)) if match[1] else MODULES
            members.append(Public(package, match[2], module, section))
        elif match := re.fullmatch(r"(\w+) = (\S+)\.(\w+)", line):  # verify = proofs_check.verify
            members.append(Public(package, match[1], _written(match[2], match[3]), "Claims"))
    return tuple(members)


def _written(module: str, name: str) -> str:
    """Return the module in which a name is written, through the stubs that pass it on."""
    stub = ROOT / module.replace(".", "/") / "__init__.pyi"
    text = stub.read_text(encoding="utf-8") if stub.exists() else ""
    match = re.search(rf"^from \.(\S+) import {name} as", text, re.M)
    return _written(f"{module}.{match[1]}", name) if match else module


def _section(package: str, module: str) -> str:
    """Return a heading from the folder or file of a module below a package: "Closed form"."""
    below = module.removeprefix(f"{package}.").removeprefix("ledger.").split(".")[0]
    return below.replace("_", " ").capitalize()


def _of_module(module: str) -> tuple[Public, ...]:
    kinds = (ast.ClassDef, ast.FunctionDef)
    names = [name for name, (node, _) in definitions(module).items() if isinstance(node, kinds) and name[0] != "_"]
    return tuple(Public(module, name, module, "") for name in names)


def _of_imports(package: str) -> tuple[Public, ...]:
    imports = [node for node in parsed(package).body if isinstance(node, ast.ImportFrom)]
    return tuple(Public(package, each.name, node.module or "", "") for node in imports for each in node.names)
