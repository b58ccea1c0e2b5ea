"""Training flags: what every command that trains lets its user say about the machine and the run."""

from pathlib import Path
from typing import ClassVar, Literal

from accelerate import Accelerator
from pydantic import BaseModel, Field
from torch import nn

from bioacoustics.data.batches import DataConfig
from bioacoustics.training.acceleration import Device, Precision
from bioacoustics.training.health import HealthConfig
from bioacoustics.training.loop import LoopConfig
from bioacoustics.workflows.capacity import rows_at_a_time
from bioacoustics.workflows.survey import BadFiles


class TrainingFlags(BaseModel, frozen=True, extra="forbid"):
    """Flags of the machine and the run; a command's config derives from it and adds what it is about."""

    help_panel: ClassVar[str] = "Machine and run"

    cuda: str | None = Field(default=None, description='CUDA devices, such as "0,1"')
    world_size: int | None = Field(
        default=None, ge=1, description="processes; more than there are devices are run one after the other"
    )
    batch_size: int = Field(default=12, ge=1, description="windows of one process at a time")
    update_freq: int = Field(default=1, ge=1, description="batches gathered before the weights move")
    micro_batch_size: int | None = Field(
        default=None, ge=1, description="split batches to save memory, same result [default: what fits]"
    )
    channel: int | Literal["mix"] = Field(default="mix", description="channel number, or mix for the mean")
    seed: int = Field(default=1, ge=0, description="everything random follows from it")
    device: Device = Field(default="auto", description="auto takes the GPU where there is one")
    precision: Precision = Field(default="auto", description="bf16, fp16 or no (float32)")
    compile: bool = Field(default=False, description="torch.compile: slow start, then faster")
    num_threads: int | None = Field(default=None, ge=1, description="reading threads of each process")
    save_every: int = Field(default=500, ge=1, description="updates between saves")
    log_every: int = Field(default=20, ge=1, description="updates between lines in metrics.jsonl")
    tensorboard: bool = Field(default=False, description="write TensorBoard curves (needs the extra)")
    bad_files: BadFiles = Field(default=BadFiles.REPORT, description="recordings that cannot be used")

    def rows_per_update(self, num_processes: int) -> int:
        """Windows of one update over all processes."""
        return self.batch_size * self.update_freq * num_processes

    def data_config(
        self, bytes_per_row: int, module: nn.Module, accelerator: Accelerator, folder: Path
    ) -> DataConfig:
        """How the rows of an update are read and split; on the processor so that they fit into memory.

        A processor has no error to catch when memory runs out: the system kills the process. So we count.

        Args:
            bytes_per_row: What one row keeps in memory during an update.
            module: What is trained.
            accelerator: Device and processes.
            folder: The run folder: a run that goes on splits its rows as before.
        """
        micro_batch_size = self.micro_batch_size
        if micro_batch_size is None and accelerator.device.type == "cpu":
            micro_batch_size = rows_at_a_time(bytes_per_row, self.batch_size, module, accelerator, folder)
        return DataConfig(
            batch_size=self.batch_size,
            update_freq=self.update_freq,
            micro_batch_size=micro_batch_size,
            num_threads=self.num_threads,
        )

    def loop_config(self, validate_every: int, health: HealthConfig | None = None) -> LoopConfig:
        """How the run is carried out."""
        return LoopConfig(
            seed=self.seed,
            device=self.device,
            precision=self.precision,
            compiles=self.compile,
            log_every=self.log_every,
            validate_every=validate_every,
            tensorboard=self.tensorboard,
            health=health or HealthConfig(),
        )
