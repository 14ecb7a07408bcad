"""What does docker-compose.yml say, once its variables are filled in?

Only what a run without containers needs is kept. What compose knows and this file does not read
(networks, capabilities, limits) has no meaning for a local process.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from console.processes import ClusterError

FILE_NAME = "docker-compose.yml"
COMPLETED, HEALTHY = "service_completed_successfully", "service_healthy"
STARTED = "service_started"
# $$, $NAME, ${NAME} and ${NAME<operator>word}; a lone $ matches the last branch and is refused.
_REFERENCE = re.compile(
    r"\$(?:(?P<dollar>\$)|(?P<plain>[A-Za-z_]\w*)"
    r"|\{(?P<braced>[A-Za-z_]\w*)(?:(?P<operator>:?[-?+])(?P<word>[^{}]*))?\}|(?P<wrong>))"
)


class ComposeError(ClusterError):
    """The compose file, or a variable that it wants, is not usable."""


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A folder that a container sees."""

    source: str  # name of a volume, or a folder of the host
    target: str
    named: bool  # whether `source` is the name of a volume
    read_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Port:
    """A port that a container publishes on its host."""

    address: str
    published: int
    target: int


@dataclass(frozen=True, kw_only=True)
class Service:
    """One service, its variables filled in."""

    name: str
    image: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    mounts: tuple[Mount, ...]
    ports: tuple[Port, ...]
    depends_on: Mapping[str, str]  # service -> the condition under which this one may start
    healthcheck: tuple[str, ...]  # the command, without its CMD; empty: none
    profiles: tuple[str, ...]
    restart: str

    @property
    def runs_once(self) -> bool:
        """Whether the service is expected to end."""
        return self.restart == "no"


def find_compose_file() -> Path:
    """The compose file of the folder we are in, else of the project that this code lies in."""
    for folder in (Path.cwd(), Path(__file__).parent.parent):
        if (folder / FILE_NAME).exists():
            return folder / FILE_NAME
    raise ComposeError(f"There is no {FILE_NAME} here. Run this in the project's folder.")


def load_services(path: Path, variables: Mapping[str, str]) -> list[Service]:
    """The services of a compose file, in the file's order, with `variables` filled in.

    Raises ComposeError where the file cannot be read or a required variable is missing.
    """
    document = _interpolated(_parse(path), variables)
    volumes = document.get("volumes") or {}
    return [_service(name, entry, volumes) for name, entry in document["services"].items()]


def start_order(services: Iterable[Service]) -> list[Service]:
    """The services, each after those it depends on. Raises ComposeError for a cycle or a missing one."""
    by_name = {service.name: service for service in services}
    for service in by_name.values():
        for needed in service.depends_on:
            if needed not in by_name:
                raise ComposeError(f"The service {service.name} depends on {needed}, which is not started.")
    graph = {name: list(service.depends_on) for name, service in by_name.items()}
    try:
        return [by_name[name] for name in TopologicalSorter(graph).static_order()]
    except CycleError as error:
        raise ComposeError(f"Services depend on each other in a circle: {', '.join(error.args[1])}.") from None


def interpolate(text: str, variables: Mapping[str, str]) -> str:
    """Fill in $NAME, ${NAME}, ${NAME:-default}, ${NAME:?message}, ${NAME:+replacement}; $$ is a dollar.

    As in compose: with the colon an empty value counts as missing, without it only an absent one does.
    Raises ComposeError for a missing required variable and for anything else after a dollar.
    """
    return _REFERENCE.sub(lambda match: _value(match, text, variables), text)


def _value(match: re.Match[str], text: str, variables: Mapping[str, str]) -> str:
    if match["dollar"]:
        return "$"
    name = match["plain"] or match["braced"]
    if name is None:
        raise ComposeError(f"Not a variable reference that can be filled in here: {text!r}")
    value = variables.get(name)
    operator, word = match["operator"] or "", match["word"] or ""
    given = bool(value) if operator.startswith(":") else value is not None
    if operator.endswith("+"):
        return word if given else ""
    if given or not operator:
        return value or ""
    if operator.endswith("?"):
        raise ComposeError(f"The variable {name} is missing: {word or 'it is required'}")
    return word


def _interpolated(node: Any, variables: Mapping[str, str]) -> Any:
    """`node` with every string value filled in; keys are left alone, as compose does."""
    if isinstance(node, str):
        return interpolate(node, variables)
    if isinstance(node, dict):
        return {key: _interpolated(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [_interpolated(value, variables) for value in node]
    return node


def _parse(path: Path) -> dict[str, Any]:
    try:
        import yaml  # in the extra `servers`: only a run without docker reads the file with Python
    except ModuleNotFoundError:
        raise ComposeError("Reading a compose file needs PyYAML: pip install 'inspectq[servers]'.") from None
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ComposeError(f"{path} cannot be read: {error.strerror}.") from None
    except yaml.YAMLError as error:
        raise ComposeError(f"{path} is not YAML: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get("services"), dict):
        raise ComposeError(f"{path} is not a compose file: it has no services.")
    return document


def _service(name: str, entry: Mapping[str, Any], volumes: Mapping[str, Any]) -> Service:
    return Service(
        name=name,
        image=entry.get("image", ""),
        command=_words(entry.get("command")),
        environment={key: str(value) for key, value in (entry.get("environment") or {}).items()},
        mounts=tuple(_mount(item, volumes) for item in entry.get("volumes", ())),
        ports=tuple(_port(item) for item in entry.get("ports", ())),
        depends_on=_conditions(entry.get("depends_on") or {}),
        healthcheck=_probe((entry.get("healthcheck") or {}).get("test", ())),
        profiles=tuple(entry.get("profiles", ())),
        restart=entry.get("restart", "no"),
    )


def _words(command: Any) -> tuple[str, ...]:
    if isinstance(command, str):
        raise ComposeError(f"Write the command as a list, a word each: {command!r}")
    return tuple(command or ())


def _mount(item: Any, volumes: Mapping[str, Any]) -> Mount:
    if isinstance(item, dict):
        source, target, read_only = item["source"], item["target"], bool(item.get("read_only"))
    else:
        source, target, *options = item.split(":")
        read_only = "ro" in options
    return Mount(source=source, target=target, named=source in volumes, read_only=read_only)


def _port(item: str) -> Port:
    *address, published, target = item.split(":")
    everywhere = "0.0.0.0"  # noqa: S104 - what a file without an address means; nothing is bound here
    return Port(address=":".join(address) or everywhere, published=int(published), target=int(target))


def _conditions(depends_on: Any) -> dict[str, str]:
    if isinstance(depends_on, list):
        return dict.fromkeys(depends_on, STARTED)
    return {name: entry["condition"] for name, entry in depends_on.items()}


def _probe(test: Any) -> tuple[str, ...]:
    """The command of a health check: CMD's words, or a shell for CMD-SHELL and a plain string."""
    if isinstance(test, str):
        return ("/bin/sh", "-c", test)
    kind, *words = test or ("NONE",)
    if kind == "CMD-SHELL":
        return ("/bin/sh", "-c", *words)
    return tuple(words) if kind == "CMD" else ()
