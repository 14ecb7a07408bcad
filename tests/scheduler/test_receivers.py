"""Is nobody called but whom an operator has named, however the address is written?"""

import pytest

from db.errors import Refused, SettingInvalid
from db.settings import Settings, settings_with
from scheduler.receivers import check_receiver, receivers
from tests.receiver import SECRET

HOSTS = "mes.example.com, Other.example.com:8443 ,[::1]:9000"


@pytest.fixture
def chosen() -> Settings:
    return Settings(webhook_secret=SECRET, webhook_hosts=HOSTS)


@pytest.mark.parametrize(
    "url",
    [
        "https://mes.example.com",
        "http://mes.example.com/ends?line=1",
        "https://MES.example.com:443/",
        "https://other.example.com:8443/a/b",
        "http://[::1]:9000/",
    ],
)
def test_a_named_host_may_be_called(chosen: Settings, url: str) -> None:
    check_receiver(chosen, url)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://169.254.169.254/latest/meta-data", "does not name 169.254.169.254"),
        ("http://localhost/", "does not name localhost"),
        ("https://mes.example.com:6379/", "does not name mes.example.com:6379"),
        ("https://other.example.com/", "does not name other.example.com"),
        ("https://mes.example.com.evil.org/", "does not name mes.example.com.evil.org"),
        ("https://evil.org/mes.example.com", "does not name evil.org"),
        ("https://evil.org#@mes.example.com/", "does not name evil.org"),
        ("https://mes.example.com./", "does not name"),
        ("https://mes.example.com@evil.org/", "names a user"),
        ("https://mes.example.com\\@evil.org/", "names a user"),
        ("https://anna:secret@mes.example.com/", "names a user"),
        ("file:///etc/passwd", "begins with https://"),
        ("gopher://mes.example.com/", "begins with https://"),
        ("mes.example.com/ends", "begins with https://"),
        ("https://", "begins with https://"),
        ("https://mes.example.com:port/", "is no URL"),
        ("https://mes.example.com/\r\nHost: evil.org", "is no URL"),
        ("https://mes.example.com/ a", "is no URL"),
        ("https://mes.exämple.com/", "is no URL"),
        ("https://mes.example.com/" + "a" * 2000, "2000 characters"),
        ("", "begins with https://"),
    ],
)
def test_nobody_else_is(chosen: Settings, url: str, sentence: str) -> None:
    with pytest.raises(Refused, match=sentence):
        check_receiver(chosen, url)


@pytest.mark.parametrize("half", [{}, {"webhook_secret": SECRET}, {"webhook_hosts": "mes.example.com"}])
def test_it_is_off_until_an_operator_has_said_both_who_and_by_what_secret(half: dict[str, str]) -> None:
    assert receivers(Settings(**half)) is None  # type: ignore[arg-type]
    with pytest.raises(Refused, match="INSPECTQ_WEBHOOK_SECRET and INSPECTQ_WEBHOOK_HOSTS"):
        check_receiver(Settings(**half), "https://mes.example.com/")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("webhook_secret", "short PLANTED", "shorter than 24 bytes"),
        ("webhook_secret", "whsec_UExBTlRFRA==", "shorter than 24 bytes"),
        ("webhook_secret", "whsec_PLANTED, which is no base64", "no base64"),
        ("webhook_hosts", "https://mes.example.com", "neither a host"),
        ("webhook_hosts", "mes.example.com:port", "neither a host"),
        ("webhook_hosts", "mes.example.com,anna@other.example.com", "neither a host"),
        ("webhook_hosts", "mes.example.com/ends", "neither a host"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_and_no_secret_shown(setting: str, value: str, sentence: str) -> None:
    with pytest.raises(SettingInvalid, match=sentence) as refused:
        settings_with(**{setting: value})
    assert f"INSPECTQ_{setting.upper()}" in str(refused.value)
    assert "PLANTED" not in str(refused.value)


def test_a_secret_in_plain_text_is_its_own_bytes_and_shown_nowhere() -> None:
    chosen = Settings(webhook_secret="in plain text, long enough", webhook_hosts="mes.example.com")
    assert chosen.webhook_key == b"in plain text, long enough"
    assert "plain text" not in repr(chosen) + repr(receivers(chosen))
