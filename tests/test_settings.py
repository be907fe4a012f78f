"""Settings: the command line wins over the environment, and a wrong value is told by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.settings import Settings, SettingsError, help_for


def test_without_anything_said_the_defaults_hold() -> None:
    settings = Settings.read({})
    assert settings == Settings()
    assert (settings.host, settings.port, settings.synchronous) == ("127.0.0.1", 8000, "NORMAL")


def test_the_environment_is_read_and_the_command_line_wins() -> None:
    environment = {"STEPGLASS_PORT": "9000", "STEPGLASS_SYNCHRONOUS": "full", "STEPGLASS_DATA": "/srv/jobs"}
    settings = Settings.read(environment, {"port": "9001", "data": None})
    assert (settings.port, settings.synchronous, settings.data) == (9001, "FULL", Path("/srv/jobs"))


def test_an_empty_variable_is_not_set() -> None:
    assert Settings.read({"STEPGLASS_PORT": ""}).port == 8000


def test_limits_of_step_types_are_read() -> None:
    settings = Settings.read({}, {"limits": "crawler=2, http_request = 60 / minute,crawler=5/second"})
    assert list(map(str, settings.limits)) == ["crawler=2", "http_request=60/minute", "crawler=5/second"]


def test_lists_are_split(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    environment = {"STEPGLASS_ALLOWED_HOSTS": "Jobs.example, [::1]", "STEPGLASS_DEFINITIONS": f"{tmp_path}:{other}"}
    settings = Settings.read(environment)
    assert settings.allowed_hosts == ("jobs.example", "[::1]")
    assert settings.definitions == (tmp_path, other)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("port", "abc", "whole number from 0 to 65,535"),
        ("port", "70000", "whole number from 0 to 65,535"),
        ("port", "-1", "whole number"),
        ("port", "\uff18\uff10", "whole number"),
        ("slots", "1001", "whole number from 0 to 1,000"),
        ("synchronous", "OFF", "NORMAL or FULL"),
        ("host", "0.0.0.0", "no access control is configured"),  # noqa: S104
        ("host", "192.168.1.5", "SSH tunnel"),
        ("host", "::", "reverse proxy"),
        ("host", "example.com", "must be an address of this machine"),
        ("allowed_hosts", "jobs.example:80", "without port"),
        ("definitions", "/does/not/exist", "must be folders"),
        ("limits", "crawler", "such as crawler=2"),
        ("limits", "crawler=0", "'crawler=0' is none"),
        ("limits", "crawler=2,x=5/day", "'x=5/day' is none"),
        ("limits", "crawler=2,crawler=3", "crawler has two limits of one kind"),
        ("data", "a\0b", "must be a path"),
    ],
)
def test_a_wrong_value_is_told_by_name(name: str, value: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as from_environment:
        Settings.read({f"STEPGLASS_{name.upper()}": value})
    assert f"STEPGLASS_{name.upper()}=" in str(from_environment.value)
    with pytest.raises(SettingsError, match=says) as from_option:
        Settings.read({}, {name: value})
    assert f"--{name.replace('_', '-')} " in str(from_option.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1"])
def test_every_loopback_address_may_be_listened_on(host: str) -> None:
    assert Settings.read({}, {"host": host}).host == host


def test_localhost_is_the_loopback_address() -> None:
    assert Settings.read({}, {"host": "localhost"}).host == "127.0.0.1"


def test_help_names_the_variable_and_the_default() -> None:
    assert help_for("port").endswith("[STEPGLASS_PORT; default: 8000]")
    assert help_for("allowed_hosts").endswith("[STEPGLASS_ALLOWED_HOSTS]")
