"""Is docker-compose.yml valid, closed and complete, and are its variables filled in as compose does?"""

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import yaml

from console.cli import cli
from console.compose import COMPLETED, HEALTHY, ComposeError, Service, interpolate, load_services, start_order

VARIABLES = {
    "POSTGRES_PASSWORD": "owners-password",
    "INSPECTQ_SERVICE_PASSWORD": "services-password",
    "INSPECTQ_CONSOLE_PASSWORD": "consoles-password",
    "REDIS_PASSWORD": "r",
    "INSPECTQ_FLOWER_AUTH": "user:password",
    "INSPECTQ_IMAGES": "/photographs",
}
SERVERS = {"redis", "postgres"}
MIGRATION = (
    "inspectq db upgrade && exec inspectq db grants --service-login inspectq_cluster --console-login inspectq_web"
)
GPU = "worker-gpu"


@pytest.fixture(scope="module")
def document(repository_root: Path) -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load((repository_root / "docker-compose.yml").read_text())
    return parsed


@pytest.fixture(scope="module")
def services(repository_root: Path) -> dict[str, Service]:
    return {s.name: s for s in load_services(repository_root / "docker-compose.yml", VARIABLES)}


def test_the_file_follows_the_compose_specification(document: dict[str, Any]) -> None:
    schemas = resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema = json.loads((schemas / "compose-spec.json").read_text())
    jsonschema.validate(document, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "services": {"redis": {"imagine": "redis"}}}, schema)


def test_it_has_the_services_of_the_cluster(services: dict[str, Service]) -> None:
    assert set(services) == {"redis", "postgres", "migrate", "scheduler", "worker", "worker-gpu", "flower", "web"}


def test_our_services_run_commands_of_ours(services: dict[str, Service]) -> None:
    commands = {name: s.command for name, s in services.items() if name not in SERVERS}
    assert commands == {
        "migrate": ("sh", "-c", MIGRATION),
        "scheduler": ("inspectq", "scheduler"),
        "worker": ("inspectq", "worker"),
        GPU: ("inspectq", "worker"),
        "flower": ("inspectq", "flower"),
        "web": ("inspectq", "web"),
    }


def test_every_inspectq_command_of_the_file_exists(services: dict[str, Service]) -> None:
    commands = {s.command for s in services.values()} | {s.healthcheck for s in services.values()}
    commands |= {tuple(part.removeprefix("exec ").split()) for part in MIGRATION.split(" && ")}
    ours = sorted(words for words in commands if words[:1] == ("inspectq",))
    assert len(ours) == 8, "four that stay, two of the migration, two health checks"
    for words in ours:
        command: click.Command | None = cli
        rest = list(words[1:])
        while isinstance(command, click.Group):
            command = command.get_command(click.Context(command), rest.pop(0))
        assert command is not None, f"{' '.join(words)} is no command"
        command.make_context(" ".join(words), rest)  # parses the arguments, runs nothing; wrong ones would raise


@pytest.mark.parametrize("name", sorted(VARIABLES))
def test_nothing_starts_without_a_password_or_the_images(repository_root: Path, name: str) -> None:
    with pytest.raises(ComposeError, match=f"{name} is missing: set it in .env"):
        load_services(repository_root / "docker-compose.yml", VARIABLES | {name: ""})


def test_no_password_stands_in_the_file(document: dict[str, Any]) -> None:
    for name, service in document["services"].items():
        for key, value in service.get("environment", {}).items():
            if re.search("PASSWORD|AUTH|_URL", key):
                assert re.search(r"\$\{\w+:\?", value), f"{name}: {key} does not come from the environment"


def test_what_people_look_at_publishes_a_port_and_only_on_loopback(services: dict[str, Service]) -> None:
    published = {(s.name, p.address, p.published) for s in services.values() for p in s.ports}
    assert published == {("flower", "127.0.0.1", 5555), ("web", "127.0.0.1", 8080)}


def test_where_it_is_published_can_be_chosen(repository_root: Path) -> None:
    chosen = VARIABLES | {"INSPECTQ_FLOWER_PUBLISH": "10.0.0.7", "INSPECTQ_FLOWER_PORT": "8081"}
    chosen |= {"INSPECTQ_WEB_PUBLISH": "10.0.0.8", "INSPECTQ_WEB_PORT": "80"}
    services = {s.name: s for s in load_services(repository_root / "docker-compose.yml", chosen)}
    published = {(p.address, p.published, p.target) for s in services.values() for p in s.ports}
    assert published == {("10.0.0.7", 8081, 5555), ("10.0.0.8", 80, 8080)}
    leads_to = services["web"].environment
    assert (leads_to["INSPECTQ_FLOWER_ADDRESS"], leads_to["INSPECTQ_FLOWER_PORT"]) == ("10.0.0.7", "8081")


def test_the_console_asks_who_comes(services: dict[str, Service]) -> None:
    assert services["web"].environment["INSPECTQ_WEB_LOGIN"] == "true"


def test_flower_does_not_start_open(services: dict[str, Service]) -> None:
    assert services["flower"].environment["INSPECTQ_FLOWER_AUTH"] == "user:password"
    assert "FLOWER_UNAUTHENTICATED_API" not in services["flower"].environment


def test_every_service_that_stays_has_a_health_check_and_is_restarted(services: dict[str, Service]) -> None:
    for service in services.values():
        if service.name == "migrate":
            assert service.runs_once
        else:
            assert service.healthcheck, service.name
            assert service.restart == "unless-stopped", service.name


def test_every_service_is_confined(document: dict[str, Any]) -> None:
    for name, service in document["services"].items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        lent = {"privileged", "cap_add", "devices", "network_mode", "pid", "ipc", "userns_mode", "volumes_from", "uts"}
        assert not lent & set(service), name


def test_every_folder_of_the_host_is_lent_for_reading_and_must_exist(document: dict[str, Any]) -> None:
    lent = [
        (name, mount)
        for name, service in document["services"].items()
        for mount in service.get("volumes", [])
        if not isinstance(mount, str) or mount.startswith((".", "/", "~", "$"))
    ]
    assert {name for name, _ in lent} == {"scheduler", "worker", GPU, "web"}
    for name, mount in lent:
        assert mount["type"] == "bind", name
        assert mount["read_only"] is True, name
        assert mount["bind"] == {"create_host_path": False}, name


def test_only_the_server_and_the_migration_have_the_owners_password(services: dict[str, Service]) -> None:
    def with_password(password: str) -> set[str]:
        return {s.name for s in services.values() if password in " ".join([*s.environment.values(), *s.command])}

    assert with_password("owners-password") == {"postgres", "migrate"}
    assert with_password("services-password") == {"migrate", "scheduler", "worker", GPU}
    assert with_password("consoles-password") == {"migrate", "web"}, "a worker that is taken over lets nobody in"


def test_the_login_that_is_made_is_the_login_that_is_used(services: dict[str, Service]) -> None:
    assert services["web"].environment["INSPECTQ_DATABASE_URL"] == (
        "postgresql+psycopg://inspectq_web:consoles-password@postgres:5432/inspectq"
    )
    for name in ("scheduler", "worker", GPU):
        assert services[name].environment["INSPECTQ_DATABASE_URL"] == (
            "postgresql+psycopg://inspectq_cluster:services-password@postgres:5432/inspectq"
        )
    assert services["migrate"].environment["INSPECTQ_SERVICE_PASSWORD"] == "services-password"


def test_no_service_runs_as_root(document: dict[str, Any], repository_root: Path) -> None:
    dockerfile = (repository_root / "Dockerfile").read_text()
    assert re.findall(r"^USER (\S+)", dockerfile, re.MULTILINE)[-1] == "inspectq"
    for name, service in document["services"].items():
        assert service.get("user", "root").partition(":")[0] not in ("root", "0"), name
        assert service["user"] == "inspectq" or "build" not in service, name


def test_every_named_volume_is_used_and_every_used_one_is_named(
    document: dict[str, Any], services: dict[str, Service]
) -> None:
    mounts = [mount for service in services.values() for mount in service.mounts]
    assert {mount.source for mount in mounts if mount.named} == set(document["volumes"])
    assert {mount.source for mount in mounts if not mount.named} == {"/photographs"}


def test_scheduler_and_workers_see_the_images_at_one_path_and_cannot_write_them(services: dict[str, Service]) -> None:
    for name in ("scheduler", "worker", GPU):
        images = [mount for mount in services[name].mounts if mount.source == "/photographs"]
        assert [(mount.target, mount.read_only) for mount in images] == [("/images", True)], name
        assert services[name].environment["INSPECTQ_HOME"] == "/data"


def test_tables_are_migrated_before_anything_uses_them(services: dict[str, Service]) -> None:
    assert services["migrate"].depends_on == {"postgres": HEALTHY}
    for name in ("scheduler", "worker", GPU, "web"):
        assert services[name].depends_on["migrate"] == COMPLETED


def test_the_gpu_worker_is_a_profile_that_reserves_one_nvidia_gpu(
    document: dict[str, Any], services: dict[str, Service]
) -> None:
    assert {s.name for s in services.values() if s.profiles} == {GPU}
    devices = document["services"][GPU]["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]


def test_the_example_names_every_variable_of_the_file(repository_root: Path) -> None:
    wanted = set(re.findall(r"(?<!\$)\$\{(\w+)", (repository_root / "docker-compose.yml").read_text()))
    explained = re.findall(r"^#?([A-Z_]+)=(.*)$", (repository_root / ".env.example").read_text(), re.MULTILINE)
    assert {name for name, _ in explained} == wanted
    assert {name for name, value in explained if not value} == set(VARIABLES), "a secret has no example value"


def test_every_setting_that_the_file_makes_is_a_setting_of_ours(services: dict[str, Service]) -> None:
    from db.settings import Settings

    known = {f"INSPECTQ_{name.upper()}" for name in Settings.model_fields}
    made = {key for s in services.values() for key in s.environment if key.startswith("INSPECTQ_")}
    assert made <= known


def test_the_image_is_made_from_the_hashed_lock_and_every_package(repository_root: Path) -> None:
    dockerfile = (repository_root / "Dockerfile").read_text()
    assert "--require-hashes -r requirements/runtime.txt" in dockerfile
    for package in ("db", "vision", "trainer", "worker", "scheduler", "console"):
        assert f"COPY {package}/ {package}/" in dockerfile
        assert f"!{package}/" in (repository_root / ".dockerignore").read_text().splitlines()


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("$GIVEN/$ABSENT.", "value/."),
        ("${GIVEN}", "value"),
        ("${ABSENT}", ""),
        ("$$GIVEN $${GIVEN}", "$GIVEN ${GIVEN}"),
        ("${ABSENT:-default}", "default"),
        ("${EMPTY:-default}", "default"),
        ("${EMPTY-default}", ""),
        ("${GIVEN:-default}", "value"),
        ("${ABSENT-}", ""),
        ("${GIVEN:?message}", "value"),
        ("${EMPTY?message}", ""),
        ("${GIVEN:+replacement}", "replacement"),
        ("${EMPTY:+replacement}", ""),
        ("${EMPTY+replacement}", "replacement"),
        ("redis://:${GIVEN}@redis:${ABSENT:-6379}/0", "redis://:value@redis:6379/0"),
        ("${ABSENT:-a:b/c?d}", "a:b/c?d"),
        ("100 % plain", "100 % plain"),
    ],
)
def test_a_variable_is_filled_in(text: str, filled: str) -> None:
    assert interpolate(text, {"GIVEN": "value", "EMPTY": ""}) == filled


def test_a_value_is_not_filled_in_again() -> None:
    assert interpolate("${GIVEN}", {"GIVEN": "$OTHER ${X:?no}"}) == "$OTHER ${X:?no}"


@pytest.mark.parametrize("text", ["${ABSENT:?set it in .env}", "${EMPTY:?set it in .env}", "${ABSENT?set it in .env}"])
def test_a_missing_required_variable_is_named_with_its_message(text: str) -> None:
    with pytest.raises(ComposeError, match=r"(ABSENT|EMPTY) is missing: set it in \.env"):
        interpolate(text, {"EMPTY": ""})


@pytest.mark.parametrize("text", ["costs 5$", "${", "${GIVEN", "${1}", "${A:-${B}}", "$(date)"])
def test_anything_else_after_a_dollar_is_refused_instead_of_guessed(text: str) -> None:
    with pytest.raises(ComposeError, match="Not a variable reference"):
        interpolate(text, {"GIVEN": "value"})


def compose_file(folder: Path, services: dict[str, Any]) -> Path:
    path = folder / "docker-compose.yml"
    path.write_text(yaml.safe_dump({"services": services}))
    return path


def test_services_start_after_those_they_depend_on(services: dict[str, Service]) -> None:
    names = [s.name for s in start_order(services.values())]
    assert sorted(names) == sorted(services)
    for service in services.values():
        assert all(names.index(needed) < names.index(service.name) for needed in service.depends_on)


def test_a_circle_of_services_is_refused(tmp_path: Path) -> None:
    path = compose_file(tmp_path, {"a": {"depends_on": ["b"]}, "b": {"depends_on": ["a"]}})
    with pytest.raises(ComposeError, match="in a circle"):
        start_order(load_services(path, {}))


def test_a_service_of_a_profile_that_is_not_started_cannot_be_depended_on(tmp_path: Path) -> None:
    path = compose_file(tmp_path, {"a": {"depends_on": ["b"]}, "b": {"profiles": ["gpu"]}})
    with pytest.raises(ComposeError, match="a depends on b"):
        start_order(s for s in load_services(path, {}) if not s.profiles)


@pytest.mark.parametrize(
    ("content", "message"),
    [("services: [", "is not YAML"), ("name: x", "has no services"), ("", "has no services")],
)
def test_a_file_that_is_no_compose_file_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "docker-compose.yml"
    path.write_text(content)
    with pytest.raises(ComposeError, match=message):
        load_services(path, {})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ComposeError, match=r"docker-compose.yml cannot be read: No such file"):
        load_services(tmp_path / "docker-compose.yml", {})
