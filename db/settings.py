"""What can an operator set, and what holds when nothing is set?

Every setting is an environment variable with the prefix INSPECTQ_. The README's table is
checked against this class by tests/test_readme.py.

A setting with `repr=False` holds a password: it is never printed, not even where it is wrong.
"""

import base64
import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from db.errors import SettingInvalid

_KEY_PREFIX = "whsec_"
_SHORTEST_KEY = 24  # bytes, as the specification of webhooks has it: whoever guesses it can tell anything


class Settings(BaseSettings):
    """Read once per process; see `settings()`."""

    model_config = SettingsConfigDict(env_prefix="INSPECTQ_", env_ignore_empty=True, frozen=True, extra="ignore")

    home: Path = Field(
        Path("~/.inspectq"), description="Folder of the embedded database and of the checkpoints (`models/`)."
    )
    database_url: str = Field(
        "", repr=False, description="`postgresql+psycopg://…`. Empty: SQLite in the home folder, one machine."
    )
    broker_url: str = Field(
        "",
        repr=False,
        description="`redis://…`. Empty: no queue, `scan` inspects in its own process.",
    )
    device: str = Field("auto", description="`auto`, `cpu`, `cuda` or `cuda:N`: where a worker runs the network.")
    runtime: Literal["auto", "torch", "torch-bf16", "onnx", "onnx-int8"] = Field(  # vision/runtimes.py has their names
        "auto",
        description="`auto`, `torch`, `torch-bf16`, `onnx` or `onnx-int8`: what a worker computes with. "
        "`auto`: the fastest that was accepted for the model.",
    )
    batch_images: int = Field(64, ge=1, le=4096, description="Images in one batch, the unit of work and of retry.")
    window: int = Field(32, ge=1, le=10_000, description="Batches on the queue at most, whatever the job's size.")
    lease_seconds: float = Field(
        60, gt=0, description="Seconds a batch stays with a worker that has stopped renewing its lease."
    )
    max_attempts: int = Field(5, ge=1, description="Attempts at one batch before its job fails with the reason.")
    storage_patience: float = Field(
        3600, gt=0, description="Seconds a job waits for a folder or storage that is away before it fails."
    )
    stall_seconds: float = Field(
        120, gt=0, description="Seconds without a decoded or scored image after which a worker's process is ended."
    )
    decode_threads: int = Field(
        0, ge=0, description="Threads that decode in a worker, and on a CPU also compute. 0: one per core."
    )
    max_pixels: int = Field(250_000_000, ge=1, description="Larger images are UNREADABLE (`too_large_pixels`).")
    max_bytes: int = Field(512 * 2**20, ge=1, description="Larger files are UNREADABLE (`too_large_bytes`).")
    max_files: int = Field(10_000_000, ge=1, description="A job with more images fails while it is planned.")
    decode_seconds: float = Field(
        60, gt=0, description="Longer decoding under guard makes an image UNREADABLE (`decode_timeout`)."
    )
    decode_memory: int = Field(
        4 * 2**30,
        ge=256 * 2**20,
        description="Bytes of memory of a guarded decoder; more makes an image UNREADABLE (`decode_memory`).",
    )
    roots: str = Field(
        "",
        description="Folders, separated by `:`, below which jobs and the targets of links must lie. "
        "Empty: any folder that a person names; links must stay inside it.",
    )
    flower_auth: str = Field(
        "", repr=False, description="`user:password` that Flower asks for. `inspectq flower` refuses to start without."
    )
    service_password: str = Field(
        "", repr=False, description="Password of the login that `inspectq db grants --service-login NAME` makes."
    )
    console_password: str = Field("", repr=False, description="The same for `inspectq db grants --console-login NAME`.")
    flower_address: str = Field("127.0.0.1", description="Address that Flower listens on.")
    flower_port: int = Field(5555, ge=1, le=65535, description="Port that Flower listens on.")
    web_address: str = Field(
        "127.0.0.1", description="Address that `inspectq web` listens on. People sign in wherever others can reach it."
    )
    web_port: int = Field(8080, ge=1, le=65535, description="Port that `inspectq web` listens on.")
    web_login: bool = Field(False, description="`true`: people sign in on the loopback address, too.")
    web_names: str = Field(
        "",
        description="Host names, separated by commas, that the console answers to where people sign in, beside this "
        "machine's own. Empty: any.",
    )
    web_certificate: str = Field("", description="File with the certificate for HTTPS, and those that vouch for it.")
    web_key: str = Field("", description="File with its private key.")
    web_proxies: str = Field(
        "",
        description="Addresses or networks, separated by commas, of reverse proxies that are believed who asks "
        "and whether it was by HTTPS.",
    )
    web_user_header: str = Field(
        "",
        description="Header, such as `X-Remote-User`, in which these proxies name who has signed in there.",
    )
    web_plain_http: bool = Field(
        False,
        description="`true`: answer other names than this machine's own without HTTPS, and let passwords be read.",
    )
    api_url: str = Field(
        "",
        description="A console elsewhere, such as `https://inspect.example`: `scan`, `jobs`, `results`, "
        "`trace` and `models list` ask it instead of a database.",
    )
    api_token: str = Field("", repr=False, description="What they show it: a token of `inspectq tokens add`.")
    flower_state: str = Field(
        "", description="File in which Flower keeps its tasks across restarts. Empty: in memory only."
    )
    webhook_secret: str = Field(
        "",
        repr=False,
        description="Signs what is told of a job's end: `whsec_` and base64, or plain text; 24 bytes or more. "
        "Empty: nobody is told.",
    )
    webhook_hosts: str = Field(
        "",
        description="Hosts, separated by commas, that may be told of a job's end; with the port (`host:8443`) where it "
        "is not the usual one. Empty: nobody is told.",
    )

    @field_validator("broker_url")
    @classmethod
    def _means_a_redis(cls, url: str) -> str:
        """Refused here, because whatever reads it later would take a part of the password for host, port or path."""
        if not url:
            return url
        if not url.startswith(("redis://", "rediss://")):
            raise ValueError("it does not begin with redis:// or rediss://")
        parts = urlsplit(url)
        try:
            readable = parts.port is None or bool(parts.hostname)
        except ValueError:
            readable = False
        if not readable or "@" in parts.path + parts.query + parts.fragment or parts.netloc.count("@") > 1:
            raise ValueError("a password in it has to be percent-encoded, and a port to be a number")
        return url

    @field_validator("webhook_secret")
    @classmethod
    def _is_long_enough(cls, secret: str) -> str:
        if secret and len(_key(secret)) < _SHORTEST_KEY:
            raise ValueError(f"it is shorter than {_SHORTEST_KEY} bytes. One way to make one: openssl rand -base64 32")
        return secret

    @field_validator("webhook_hosts")
    @classmethod
    def _are_hosts(cls, hosts: str) -> str:
        _hosts(hosts)
        return hosts

    @property
    def webhook_key(self) -> bytes:
        """What signs; empty where nobody may be told."""
        return _key(self.webhook_secret)

    @property
    def webhook_receivers(self) -> frozenset[tuple[str, int | None]]:
        """The hosts that may be told, in small letters, and each one's port; None: the usual one."""
        return _hosts(self.webhook_hosts)

    @property
    def home_folder(self) -> Path:
        """The home folder as an absolute path."""
        return self.home.expanduser().absolute()

    @property
    def root_folders(self) -> tuple[bytes, ...]:
        """The allowed roots as absolute paths in bytes; none where every folder may be named."""
        named = (root.strip() for root in self.roots.split(os.pathsep))
        return tuple(os.fsencode(Path(root).expanduser().absolute()) for root in named if root)

    @property
    def models_folder(self) -> Path:
        """Where checkpoint files lie, each named by its digest."""
        return self.home_folder / "models"

    @property
    def effective_database_url(self) -> str:
        """The database that is used: the one given, or the embedded one."""
        return self.database_url or f"sqlite:///{self.home_folder / 'inspectq.db'}"


def _key(secret: str) -> bytes:
    """As https://www.standardwebhooks.com has it: base64 behind its prefix. Plain text is its own bytes."""
    if not secret.startswith(_KEY_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_KEY_PREFIX), validate=True)
    except ValueError:
        raise ValueError(f"behind {_KEY_PREFIX} it is no base64") from None


def _hosts(named: str) -> frozenset[tuple[str, int | None]]:
    return frozenset(_host(one) for one in map(str.strip, named.split(",")) if one)


def _host(named: str) -> tuple[str, int | None]:
    with suppress(ValueError):  # a port that is no number
        parts = urlsplit(f"//{named}")
        if parts.hostname and parts.netloc == named and named.isascii() and "@" not in named:
            return parts.hostname, parts.port
    raise ValueError(f"{named} is neither a host (mes.example.com) nor one with its port (mes.example.com:8443)")


@cache
def settings() -> Settings:
    """The settings of this process. Raises SettingInvalid, naming the variable, where a value is not of its kind."""
    return settings_with()


def settings_with(**chosen: Path | str) -> Settings:
    """The settings of the environment, but for those that are `chosen` here. Raises SettingInvalid."""
    try:
        return Settings(**chosen)  # type: ignore[arg-type]  # pydantic checks what it is given
    except ValidationError as error:
        first = error.errors()[0]
        name = "INSPECTQ_" + str(first["loc"][0]).upper()
        field = Settings.model_fields[str(first["loc"][0])]
        given = f"={first['input']!r}" if field.repr else ""
        raise SettingInvalid(f"{name}{given} cannot be used: {first['msg'].removeprefix('Value error, ')}.") from None
