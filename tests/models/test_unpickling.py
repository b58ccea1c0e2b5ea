"""Foreign pickles: what they hold is read, what they would run is not."""

import argparse
import enum
import os
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from bioacoustics.models.unpickling import StandIn, load_pickled, plain

FOREIGN = ("fairseq", "omegaconf")


@pytest.fixture
def foreign_class(monkeypatch: pytest.MonkeyPatch) -> Callable[..., type]:
    """Make classes that pickle as those of a package which is not installed; see `forget_foreign`."""

    def make(module: str, name: str, bases: tuple[type, ...] = (), **attributes: object) -> type:
        made = type(name, bases, {"__module__": module, "__qualname__": name, **attributes})
        parts = module.split(".")
        for i in range(1, len(parts) + 1):
            parent = ".".join(parts[:i])
            monkeypatch.setitem(sys.modules, parent, sys.modules.get(parent) or ModuleType(parent))
        setattr(sys.modules[module], name, made)
        return made

    return make


def forget_foreign() -> None:
    for name in list(sys.modules):
        if name.split(".")[0] in FOREIGN:
            del sys.modules[name]


def save(content: object, path: Path, *, zipped: bool = True) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


class Attack:
    """Runs a function of any module when an ordinary unpickler meets it."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("attack", "name"),
    [
        (lambda marker: Attack(os.system, f'echo > "{marker}"'), f"{os.name}.system"),
        (lambda marker: Attack(os.mkdir, str(marker)), f"{os.name}.mkdir"),
        (lambda marker: Attack(eval, f"open({str(marker)!r}, 'w')"), "builtins.eval"),
        (lambda marker: Attack(exec, f"open({str(marker)!r}, 'w')"), "builtins.exec"),
        (lambda marker: Attack(getattr, Attack(os.mkdir, str(marker)), "x"), "builtins.getattr"),
        (lambda marker: Attack(Path.touch, marker), "builtins.getattr"),
    ],
)
def test_code_is_refused_by_name_and_does_not_run(
    tmp_path: Path, attack: Callable[[Path], Attack], name: str, zipped: bool
) -> None:
    marker = tmp_path / "it ran"
    path = save({"model": torch.zeros(2), "cfg": attack(marker)}, tmp_path / "bad.pt", zipped=zipped)
    with pytest.raises(ValueError, match=rf"refused.*{name}"):
        load_pickled(path)
    assert not marker.exists()


def test_the_attack_of_these_tests_is_a_real_one(tmp_path: Path) -> None:
    marker = tmp_path / "it ran"
    path = save(Attack(os.mkdir, str(marker)), tmp_path / "bad.pt")
    torch.load(path, weights_only=False)
    assert marker.exists()


def test_a_function_under_an_allowed_name_is_not_called_either(tmp_path: Path) -> None:
    # numpy has functions that do harm, so standing in for the package must not mean calling into it.
    marker = tmp_path / "it ran.npy"
    path = save({"x": Attack(np.save, str(marker), [1])}, tmp_path / "bad.pt")
    content = load_pickled(path)
    assert isinstance(content, dict)
    assert isinstance(content["x"], StandIn)
    assert not marker.exists()


def test_a_newer_pickle_protocol_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "new.pt"
    torch.save({"x": argparse.Namespace(a=1)}, path, pickle_protocol=4)
    with pytest.raises(ValueError, match="protocol"):
        load_pickled(path)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "number",
    [np.float64(0.1), np.float32(-2.5), np.float16(0.5), np.int64(-(2**40)), np.uint8(7), np.bool_(True)],
    ids=lambda number: type(number).__name__,
)
def test_numpy_numbers_become_plain_ones(tmp_path: Path, number: Any, zipped: bool) -> None:
    content = load_pickled(save({"x": number, "y": [number]}, tmp_path / "x.pt", zipped=zipped))
    assert isinstance(content, dict)
    assert type(content["x"]) is type(number.item())
    assert content == {"x": number.item(), "y": [number.item()]}


def test_numpy_scalars_that_are_no_numbers_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a number"):
        load_pickled(save({"x": np.str_("text")}, tmp_path / "x.pt"))
    scalar = np.float64(0).__reduce__()[0]
    with pytest.raises(ValueError, match="without its type"):
        load_pickled(save({"x": Attack(scalar, 1, 2)}, tmp_path / "y.pt"))


def test_a_big_endian_number_keeps_its_value(tmp_path: Path) -> None:
    scalar, big_endian = np.float64(0).__reduce__()[0], np.array([1.5], dtype=">f8")
    number = Attack(scalar, big_endian.dtype, big_endian.tobytes())
    assert load_pickled(save({"x": number}, tmp_path / "x.pt")) == {"x": 1.5}


@pytest.mark.parametrize("zipped", [True, False])
def test_ordinary_content_comes_back_as_it_was(tmp_path: Path, zipped: bool) -> None:
    content = {
        "model": {"w": torch.randn(3, 2), "half": torch.randn(4).half()},
        "numbers": [1, 2.5, True, None, "ñandú", (1, 2), {3}, 2**70],
        "args": argparse.Namespace(arch="eat", lr=[0.1]),
        "by_name": defaultdict(list, {"a": [1]}),
    }
    loaded = load_pickled(save(content, tmp_path / "Grabación Ñandú.pt", zipped=zipped))
    assert isinstance(loaded, dict)
    for name, weight in content["model"].items():  # type: ignore[attr-defined]
        assert torch.equal(loaded["model"][name], weight)
    assert loaded["numbers"] == content["numbers"]
    assert loaded["args"] == content["args"]
    assert loaded["by_name"] == {"a": [1]}


def test_foreign_objects_keep_their_data_and_import_nothing(
    tmp_path: Path, foreign_class: Callable[..., type]
) -> None:
    meter = foreign_class("fairseq.logging.meters", "AverageMeter")()
    meter.val, meter.count = 0.25, 3
    array = np.arange(3)
    path = save({"meter": meter, "array": array}, tmp_path / "x.pt")
    forget_foreign()
    content = load_pickled(path)
    assert isinstance(content, dict)
    assert type(content["meter"]).__qualname__ == "AverageMeter"
    assert content["meter"].state == {"val": 0.25, "count": 3}
    assert isinstance(content["array"], StandIn)
    assert not any(name.split(".")[0] in FOREIGN for name in sys.modules)


def test_omegaconf_settings_become_plain(tmp_path: Path, foreign_class: Callable[..., type]) -> None:
    metadata = foreign_class("omegaconf.base", "ContainerMetadata")
    dict_config = foreign_class("omegaconf.dictconfig", "DictConfig")
    list_config = foreign_class("omegaconf.listconfig", "ListConfig")
    node = foreign_class("omegaconf.nodes", "AnyNode")
    choice = enum.Enum("Choice", {"IMAGE": "image"}, module="fairseq.dataclass.constants")
    # By its value, as the Pythons of these checkpoints wrote it; 3.11.0 to 3.11.3 write it by its name.
    choice.__reduce_ex__ = lambda member, protocol: (type(member), (member.value,))  # type: ignore[method-assign, assignment]
    sys.modules.setdefault("fairseq.dataclass.constants", ModuleType("fairseq.dataclass.constants"))
    foreign_class("fairseq.dataclass.constants", "_")
    sys.modules["fairseq.dataclass.constants"].Choice = choice  # type: ignore[attr-defined]

    def leaf(value: object) -> object:
        made = node()
        made._val, made._parent = value, None
        return made

    def container(kind: type, content: object) -> object:
        made = kind()
        made._metadata = metadata()
        made._metadata.__dict__.update(ref_type=Any, object_type=dict, key=None)
        made._content = content
        return made

    sizes = container(list_config, [leaf(1), leaf(2.5)])
    model = container(dict_config, {"depth": leaf(12), "sizes": sizes, "modality": leaf(choice.IMAGE)})  # type: ignore[attr-defined]
    path = save({"cfg": container(dict_config, {"model": model})}, tmp_path / "x.pt")
    forget_foreign()
    content = load_pickled(path)
    assert plain(content) == {"cfg": {"model": {"depth": 12, "sizes": [1, 2.5], "modality": "image"}}}


def test_plain_leaves_what_it_does_not_know() -> None:
    unknown = StandIn(1, 2)
    assert plain({"a": (unknown, [3])}) == {"a": (unknown, [3])}


@pytest.mark.parametrize("zipped", [True, False])
def test_a_cut_file_is_an_error(tmp_path: Path, zipped: bool) -> None:
    path = save({"w": torch.randn(100)}, tmp_path / "x.pt", zipped=zipped)
    content = path.read_bytes()
    for size in (0, 1, 10, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match="damaged"):
            load_pickled(path)


def test_other_zip_archives_are_an_error(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.zeros(3))
    with pytest.raises(ValueError, match="not a checkpoint"):
        load_pickled(tmp_path / "x.npz")
