"""The launch is a pure function from flags and machine to a command line."""

import sys

import pytest

from bioacoustics.cli.launch import Machine, note_on_lone_process, plan_launch

LAPTOP = Machine(num_cuda_devices=0, num_cores=2)
FOUR_GPUS = Machine(num_cuda_devices=4, num_cores=32)
DOCUMENTED = [
    "pretrain",
    "--save_dir",
    "runs/a b",
    "--cuda",
    "0,1,2,3",
    "--batch_size",
    "12",
    "--world_size",
    "4",
]


def test_four_devices_become_four_processes() -> None:
    plan = plan_launch(DOCUMENTED, {}, FOUR_GPUS)
    assert plan is not None
    assert plan.num_processes == 4
    assert plan.command == (
        sys.executable,
        "-m",
        "bioacoustics",
        "pretrain",
        "--save_dir",
        "runs/a b",
        "--batch_size",
        "12",
    )
    assert plan.environment == {"CUDA_VISIBLE_DEVICES": "0,1,2,3", "OMP_NUM_THREADS": "8"}
    assert plan.notes == ()


def test_a_world_larger_than_the_machine_is_folded_into_accumulation() -> None:
    plan = plan_launch([*DOCUMENTED, "--update_freq", "3"], {}, LAPTOP)
    assert plan is not None
    assert plan.num_processes == 2
    assert plan.command[-2:] == ("--update_freq", "6")
    assert plan.environment == {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    assert any("no CUDA device" in note for note in plan.notes)
    assert any("same batch, same result" in note for note in plan.notes)


def test_missing_devices_are_named_and_folded() -> None:
    plan = plan_launch(DOCUMENTED, {}, Machine(num_cuda_devices=1, num_cores=8))
    assert plan is not None
    assert plan.command[:4] == (sys.executable, "-m", "bioacoustics", "pretrain")
    assert plan.command[-2:] == ("--update_freq", "4")
    assert plan.environment == {"CUDA_VISIBLE_DEVICES": "0"}


@pytest.mark.parametrize("world_size", range(1, 9))
@pytest.mark.parametrize("num_cores", range(1, 9))
def test_the_batch_of_an_update_never_changes(world_size: int, num_cores: int) -> None:
    machine = Machine(num_cuda_devices=0, num_cores=num_cores)
    plan = plan_launch(["pretrain", f"--world_size={world_size}"], {}, machine)
    assert plan is not None
    words = list(plan.command)
    update_freq = int(words[words.index("--update_freq") + 1]) if "--update_freq" in words else 1
    assert plan.num_processes * update_freq == world_size
    assert plan.num_processes <= num_cores


@pytest.mark.parametrize(
    ("flags", "machine", "num_processes", "note"),
    [
        (["--world_size", "2"], LAPTOP, 2, None),
        (["--world_size", "7"], LAPTOP, 2, "runs as 2 process(es) on the processor (2 cores): same rows"),
        (["--cuda", "0,1,2"], FOUR_GPUS, 3, None),
        (["--cuda", "1"], FOUR_GPUS, 1, None),
    ],
)
def test_recordings_are_shared_without_folding(
    flags: list[str], machine: Machine, num_processes: int, note: str | None
) -> None:
    plan = plan_launch(["embed", "--data_dir", "a", *flags], {}, machine)
    assert plan is not None
    assert plan.num_processes == num_processes
    assert plan.command[3:] == ("embed", "--data_dir", "a")
    assert (note is None and plan.notes == ()) or (note is not None and note in plan.notes[-1])
    assert plan_launch(["embed", "--data_dir", "a"], {}, machine) is None


def test_one_chosen_device_stays_one_process() -> None:
    plan = plan_launch(["finetune", "--cuda", "2"], {}, FOUR_GPUS)
    assert plan is not None
    assert plan.command == (sys.executable, "-m", "bioacoustics", "finetune")
    assert plan.environment == {"CUDA_VISIBLE_DEVICES": "2"}


def test_a_pasted_trailing_backslash_is_harmless() -> None:
    plan = plan_launch(["finetune", "--world_size", "1", "--mask_ratio", "0.2", " "], {}, LAPTOP)
    assert plan is not None
    assert plan.command[-2:] == ("--mask_ratio", "0.2")


@pytest.mark.parametrize("arguments", [["audit", "--cuda", "0"], ["pretrain", "--save_dir", "x"], []])
def test_nothing_to_launch(arguments: list[str]) -> None:
    assert plan_launch(arguments, {}, FOUR_GPUS) is None


def test_processes_that_are_started_already_are_not_started_again() -> None:
    assert plan_launch(DOCUMENTED, {"WORLD_SIZE": "4"}, FOUR_GPUS) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pretrain", "--cuda", "cpu"], "--cuda takes device numbers"),
        (["pretrain", "--world_size", "0"], "--world_size must be a whole number from 1 on, got '0'"),
        (["pretrain", "--world_size"], "--world_size needs a value"),
    ],
)
def test_what_cannot_be_read_is_said(arguments: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan_launch(arguments, {}, LAPTOP)


def test_a_lone_process_of_accelerate_is_told() -> None:
    """`accelerate launch --cpu --num_processes 2` starts one process and leaves these variables."""
    lone = {"ACCELERATE_MIXED_PRECISION": "no", "ACCELERATE_USE_CPU": "True", "MASTER_PORT": "29500"}
    note = note_on_lone_process(["train", "--epochs", "2"], lone)
    assert note is not None
    assert "torchrun --nproc_per_node N" in note
    assert note_on_lone_process(["train"], {**lone, "WORLD_SIZE": "2"}) is None
    assert note_on_lone_process(["embed"], lone) is None
    assert note_on_lone_process(["train"], {"ACCELERATE_MIXED_PRECISION": "no"}) is None
