"""Launch: turn `--cuda "0,1"` and `--world_size N` into the processes that this machine can run."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import torch

from bioacoustics.cli.processes import run_processes

LAUNCHED_COMMANDS = ("pretrain", "adapt", "finetune", "train")
SHARING_COMMANDS = ("embed", "predict")  # whose processes each take recordings of their own
# Set by torchrun and `accelerate launch`: whoever sets it has already started the processes.
ALREADY_LAUNCHED = ("WORLD_SIZE", "ACCELERATE_MIXED_PRECISION")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What the launch decides by: how many CUDA devices and processor cores there are."""

    num_cuda_devices: int
    num_cores: int

    @classmethod
    def here(cls) -> "Machine":
        """This machine."""
        return cls(num_cuda_devices=torch.cuda.device_count(), num_cores=_num_usable_cores())


@dataclass(frozen=True, kw_only=True)
class LaunchPlan:
    """A command line with the environment variables it needs on top of the present ones."""

    command: tuple[str, ...]
    num_processes: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def plan_launch(
    arguments: Sequence[str], environment: Mapping[str, str], machine: Machine
) -> LaunchPlan | None:
    """How to start a command in several processes; None when it should simply run in this one.

    A training whose world is larger than the machine is folded: the batch of each update stays `batch_size x
    world_size x update_freq`, the processes that are missing become accumulated micro-batches, and the result
    is the same.

    Args:
        arguments: What follows `bioacoustics` on the command line.
        environment: The present environment variables.
        machine: Its devices and cores.

    Raises:
        ValueError: If `--cuda` or `--world_size` cannot be read.
    """
    words = [word for word in arguments if word.strip()]  # a pasted trailing backslash leaves a blank word
    if (
        not words
        or words[0] not in (*LAUNCHED_COMMANDS, *SHARING_COMMANDS)
        or any(name in environment for name in ALREADY_LAUNCHED)
    ):
        return None
    cuda, words = _taken("--cuda", words)
    world, words = _taken("--world_size", words)
    if cuda is None and world is None:
        return None
    devices, notes = _usable_devices(cuda, machine)
    world_size = _positive("--world_size", world) if world is not None else max(1, len(devices))
    if words[0] in SHARING_COMMANDS:
        num_processes, more_notes = _num_sharing(world_size, devices, machine)
        fold = 1
    else:
        num_processes, more_notes = _num_processes(world_size, devices, machine)
        fold = world_size // num_processes
    if fold > 1:
        update_freq, words = _taken("--update_freq", words)
        words += ["--update_freq", str(_positive("--update_freq", update_freq or "1") * fold)]
    return LaunchPlan(
        command=(sys.executable, "-m", "bioacoustics", *words),
        num_processes=num_processes,
        environment=_environment(num_processes, devices if cuda is not None else None, environment, machine),
        notes=(*notes, *more_notes),
    )


def note_on_lone_process(arguments: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """What to say where `accelerate launch --cpu --num_processes N` has started one process and not N.

    It does so without a word. What gives it away is the address at which the processes were to meet, which
    it sets, beside the number of processes, which it does not.
    """
    is_training = bool(arguments) and arguments[0] in LAUNCHED_COMMANDS
    has_been_asked = "ACCELERATE_MIXED_PRECISION" in environment and "MASTER_PORT" in environment
    if not is_training or not has_been_asked or "WORLD_SIZE" in environment:
        return None
    return (
        "accelerate launch was asked for several processes, but on the processor it starts only one, so this "
        "run has one process. To have N of them, write `torchrun --nproc_per_node N` in place of "
        "`accelerate launch ...`, before the same script and flags"
    )


def run_plan(plan: LaunchPlan) -> NoReturn:
    """Print the notes and become the command, or its processes: their signals and exit code are ours."""
    for note in plan.notes:
        print(f"note: {note}", file=sys.stderr, flush=True)
    environment = {**os.environ, **plan.environment}
    if plan.num_processes > 1:
        sys.exit(run_processes(plan.command, plan.num_processes, environment))
    if sys.platform != "win32":
        os.execve(plan.command[0], plan.command, environment)  # nobody is left between the user and the run
    sys.exit(subprocess.run(plan.command, env=environment, check=False).returncode)


def _taken(flag: str, words: Sequence[str]) -> tuple[str | None, list[str]]:
    """The value of `flag` (the last one given) and the words without it."""
    value: str | None = None
    rest: list[str] = []
    waiting = iter(words)
    for word in waiting:
        if word == flag:
            value = next(waiting, None)
            if value is None:
                raise ValueError(f"{flag} needs a value")
        elif word.startswith(f"{flag}="):
            value = word.removeprefix(f"{flag}=")
        else:
            rest.append(word)
    return value, rest


def _positive(flag: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{flag} must be a whole number from 1 on, got {text!r}")
    return int(text)


def _usable_devices(cuda: str | None, machine: Machine) -> tuple[list[str], list[str]]:
    """The CUDA devices named by the user that exist here (all of them when none is named), and notes."""
    if cuda is None:
        return [str(index) for index in range(machine.num_cuda_devices)], []
    named = [part.strip() for part in cuda.split(",") if part.strip()]
    wrong = [name for name in named if not name.isdecimal()]
    if wrong:
        raise ValueError(f'--cuda takes device numbers such as "0,1", got {cuda!r}')
    usable = [name for name in named if int(name) < machine.num_cuda_devices]
    if len(usable) == len(named):
        return usable, []
    there = (
        f"{machine.num_cuda_devices} CUDA device(s) here"
        if machine.num_cuda_devices
        else "no CUDA device here"
    )
    return usable, [f'--cuda "{cuda}" names devices that are missing ({there})']


def _num_processes(world_size: int, devices: Sequence[str], machine: Machine) -> tuple[int, list[str]]:
    """The largest divisor of `world_size` that has a device (or a core, without CUDA) for each process."""
    places = len(devices) or machine.num_cores
    number = max(n for n in range(1, world_size + 1) if world_size % n == 0 and n <= max(1, places))
    where = f"{len(devices)} CUDA device(s)" if devices else f"the processor ({machine.num_cores} cores)"
    if number == world_size:
        return number, [] if devices else [f"training runs on {where}"]
    folded = (
        f"gathering {world_size // number} batches each for every update: same batch, same result, slower"
    )
    return number, [f"--world_size {world_size} runs as {number} process(es) on {where}, {folded}"]


def _num_sharing(world_size: int, devices: Sequence[str], machine: Machine) -> tuple[int, list[str]]:
    """As many as asked for, with a device (or a core, without CUDA) for each; the result is the same."""
    places = max(1, len(devices) or machine.num_cores)
    where = f"{len(devices)} CUDA device(s)" if devices else f"the processor ({machine.num_cores} cores)"
    note = f"--world_size {world_size} runs as {places} process(es) on {where}: same rows"
    return min(world_size, places), [note] if world_size > places else []


def _environment(
    num_processes: int, devices: Sequence[str] | None, present: Mapping[str, str], machine: Machine
) -> dict[str, str]:
    changes: dict[str, str] = {}
    if devices:
        changes["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
    elif machine.num_cuda_devices == 0:
        changes["ACCELERATE_USE_CPU"] = "true"
    if num_processes > 1:
        if "OMP_NUM_THREADS" not in present:
            # Without this each process takes all cores.
            changes["OMP_NUM_THREADS"] = str(max(1, machine.num_cores // num_processes))
        if sys.platform == "win32":
            changes["USE_LIBUV"] = "0"  # torch wheels for Windows come without libuv
    return changes


def _num_usable_cores() -> int:
    """Cores that this process may use; fewer than the machine has inside a container or a batch job."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
