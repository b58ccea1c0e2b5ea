"""The lock files hold what is asked for: pinned, within its range, with hashes, and no address."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
LOCKS = {"requirements.lock": ("av", "explore", "tensorboard"), "requirements-dev.lock": tuple(EXTRAS)}
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
# Where this package runs, as far as it is asked for by a marker.
PLACES = [
    {"sys_platform": system, "platform_system": name, "python_version": python, "python_full_version": full}
    for system, name in (("linux", "Linux"), ("darwin", "Darwin"), ("win32", "Windows"))
    for python, full in (("3.11", "3.11.9"), ("3.12", "3.12.4"), ("3.13", "3.13.1"))
]


def asked_for(name: str) -> list[Requirement]:
    """What pyproject.toml asks for by name, with what builds the package and the pins of constraints.txt."""
    lines = [*PYPROJECT["project"]["dependencies"], *PYPROJECT["dependency-groups"]["build"]]
    lines += PYPROJECT["build-system"]["requires"]
    lines += [line for extra in LOCKS[name] for line in EXTRAS[extra]]
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    lines += [line for line in pins if line.strip() and not line.startswith("#")]
    return [Requirement(line) for line in lines]


def locked(name: str) -> list[tuple[Requirement, list[str]]]:
    """Each pinned package with the words that follow it."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(Requirement(line.split(" --hash=")[0]), re.findall(r"--\S+", line)) for line in lines]


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_is_pinned_with_its_hashes_and_names_no_place(name: str) -> None:
    packages = locked(name)
    assert len(packages) > 50
    for package, options in packages:
        assert re.fullmatch(r"==[^=,*]+", str(package.specifier)), package
        assert package.url is None
        assert options and all(HASH.fullmatch(option) for option in options), package
    assert not re.search(r"://|/|@ ", (ROOT / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", LOCKS)
@pytest.mark.parametrize(
    "place", PLACES, ids=lambda place: f"{place['sys_platform']}-{place['python_version']}"
)
def test_what_is_asked_for_is_there_once_and_within_its_range(name: str, place: dict[str, str]) -> None:
    def counts(marker: Marker | None) -> bool:
        return marker is None or marker.evaluate(place)

    here = [package for package, _ in locked(name) if counts(package.marker)]
    names = [canonicalize_name(package.name) for package in here]
    assert len(names) == len(set(names))
    versions = {
        canonicalize_name(package.name): str(package.specifier).removeprefix("==") for package in here
    }
    for wanted in asked_for(name):
        if counts(wanted.marker):
            version = versions.get(canonicalize_name(wanted.name))
            assert version is not None, f"{wanted} is not in {name}; see CONTRIBUTING.md, The lock files"
            assert wanted.specifier.contains(version, prereleases=True), f"{wanted}: {version} in {name}"


def test_users_get_no_tools_of_developers() -> None:
    names = {package.name for package, _ in locked("requirements.lock")}
    assert not names & {"pytest", "mypy", "ruff", "playwright", "moto"}
    assert names < {package.name for package, _ in locked("requirements-dev.lock")}
