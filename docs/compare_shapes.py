"""Shapes for a light network, trained alike: what chose that of `lite`.

    python docs/compare_shapes.py TRAIN VAL -o FOLDER [--steps N]

Each shape gets the same patches, noise and steps from fresh weights. Then the middles of all images of VAL are
denoised, and a forward pass is timed on one thread. Writes shapes.md and shapes.svg into FOLDER, and goes on where it
was stopped. The shapes have about the same multiply-adds, so equal steps are equal work too.
"""

import argparse
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import torch
from lightning_fabric import Fabric
from rich.console import Console
from torch import Tensor, nn

from xray_denoise.nets.blind import DenoisingNet, conv3_relu
from xray_denoise.nets.cost import multiply_adds_per_pixel, parameters
from xray_denoise.nets.lite import Lite
from xray_denoise.training.images import GreyImages, training_images
from xray_denoise.training.loop import Limits, Training
from xray_denoise.training.patches import PatchSource, WideRange
from xray_denoise.training.presets import PRESETS
from xray_denoise.training.validation import ValidationSet

TIMED = 512
"""Side of the image that is timed, pixels."""


def shallower() -> Lite:
    """Two convolutions less at each of the lower scales, more channels."""
    net = Lite(widths=(56, 112, 224))
    net.denoiser.down_middle = conv3_relu(56, 112, 2)
    net.denoiser.coarse = conv3_relu(112, 224, 4)
    net.denoiser.up_middle = conv3_relu(112, 112, 2)
    return net


class Scaled(nn.Module):
    """A stage whose channels are scaled by the noise level: `levels` is set before each pass."""

    levels: Tensor

    def __init__(self, stage: nn.Module, channels: int) -> None:
        super().__init__()
        self.stage = stage
        self.scales = nn.Sequential(nn.Linear(2, channels), nn.ReLU(), nn.Linear(channels, channels))
        nn.init.zeros_(self.scales[2].weight)

    def forward(self, features: Tensor) -> Tensor:
        """As `stage`, its result scaled."""
        scales = 1 + self.scales(10 * self.levels.flatten(1))
        return self.stage(features) * scales[..., None, None]


class LevelAtEveryScale(Lite):
    """The level scales the channels of every scale, besides lying beside the image as maps."""

    def __init__(self) -> None:
        super().__init__()
        unet = self.denoiser
        self.scaled = [Scaled(unet.down_fine, 48), Scaled(unet.down_middle, 96), Scaled(unet.coarse, 192)]
        unet.down_fine, unet.down_middle, unet.coarse = self.scaled  # type: ignore[assignment]

    def restore(self, noisy: Tensor, levels: Tensor) -> Tensor:
        """See `Lite`."""
        for stage in self.scaled:
            stage.levels = levels.mean(dim=(2, 3), keepdim=True)
        return super().restore(noisy, levels)


SHAPES: dict[str, Callable[[], DenoisingNet]] = {
    "48/96/192, 17 convolutions": Lite,
    "64/96/144, 17 convolutions": lambda: Lite(widths=(64, 96, 144)),
    "56/112/224, 13 convolutions": shallower,
    "48/96/192, level at every scale": LevelAtEveryScale,
}


def trained(build: Callable[[], DenoisingNet], images: GreyImages, run: Path, steps: int) -> DenoisingNet:
    """A network of one shape after `steps` steps of the preset `brief` under noise of the wide range."""
    schedule = dataclasses.replace(PRESETS["brief"], steps=steps, noise=WideRange())
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    fabric.launch()
    torch.manual_seed(0)
    run.mkdir(parents=True, exist_ok=True)
    source = PatchSource(images, schedule.patch, schedule.noise, fabric.device)
    training = Training(build(), source, schedule, fabric=fabric, run=run, identity={}, seed=0, limits=Limits())
    for _ in training.rows():
        pass
    return training.result


@torch.inference_mode()
def seconds(net: DenoisingNet) -> float:
    """Processor time of one forward pass on one thread, the least of five."""
    noisy, durations = torch.rand(1, 1, TIMED, TIMED), []
    for _ in range(5):
        start = time.process_time()
        net(noisy.contiguous(memory_format=torch.channels_last))
        durations.append(time.process_time() - start)
    return min(durations)


def main() -> None:
    """Train, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("val", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1500)
    given = parser.parse_args()
    torch.set_num_threads(1)
    images, held_out = training_images(given.train, given.val)
    validate = ValidationSet(held_out, size=512)
    lines = ["| shape | parameters / M | multiply-adds a pixel / M | seconds a megapixel | PSNR / dB |"]
    lines.append("| --- | ---: | ---: | ---: | ---: |")
    points = []
    for number, (name, build) in enumerate(SHAPES.items()):
        net = trained(build, images, given.output / str(number), given.steps).eval()
        cost, took = multiply_adds_per_pixel(net) / 1e6, seconds(net) * 2**20 / TIMED**2
        judged = validate(net).psnr
        points.append((took, judged, name))
        lines.append(f"| {name} | {parameters(net) / 1e6:.2f} | {cost:.3f} | {took:.2f} | {judged:.2f} |")
        Console().print(lines[-1])
    (given.output / "shapes.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    draw(points, given.output / "shapes.svg")


def draw(points: list[tuple[float, float, str]], target: Path) -> None:
    """PSNR against time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for took, judged, name in points:
        axes.plot(took, judged, "o", label=name)
    axes.set(xlabel="seconds a megapixel, one thread", ylabel="PSNR on validation images, dB")
    axes.legend()
    figure.savefig(target)


if __name__ == "__main__":
    main()
