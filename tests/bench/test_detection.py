"""Regions of interest reach a method as grey levels, come back in their place, and are judged."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from xray_denoise.bench.detection import DetectionTask, Regions, as_mosaic, in_pieces, main

REGIONS = Path(__file__).resolve().parents[3] / "shared" / "real" / "detection_rois.npz"


def made(path: Path, rng: np.random.Generator) -> Path:
    """Twenty cases of 40x40 with a lesion of 3 pixels, values around 1000."""
    background = 1000 + 100 * rng.standard_normal((20, 1, 1)) * np.linspace(0, 1, 40) + np.zeros((20, 40, 40))
    lesion = np.zeros((40, 40))
    lesion[18:21, 18:21] = -60
    noise = 25 * rng.standard_normal(background.shape)
    arrays = {
        "dose50_clean_absent": background,
        "dose50_clean_present": background + lesion,
        "dose50_noisy_absent": background + noise,
        "dose50_noisy_present": background + lesion + noise,
    }
    np.savez(path, **{name: np.rint(array).astype(np.uint16) for name, array in arrays.items()})
    return path


@pytest.fixture
def task(tmp_path: Path) -> DetectionTask:
    return DetectionTask.read(made(tmp_path / "regions.npz", np.random.default_rng(0)), 50)


@pytest.mark.parametrize("mosaic", [True, False])
def test_what_does_nothing_changes_nothing(task: DetectionTask, mosaic: bool) -> None:
    result = task.denoised(lambda grey: grey, mosaic=mosaic)
    np.testing.assert_allclose(result.absent, task.noisy.absent, atol=1e-2)
    np.testing.assert_allclose(result.present, task.noisy.present, atol=1e-2)


def test_a_method_sees_one_image_in_grey_levels(task: DetectionTask) -> None:
    seen: list[NDArray[np.float32]] = []

    def look(grey: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.append(grey)
        return grey

    task.denoised(look)
    assert [grey.shape for grey in seen] == [(80, 400), (80, 400)]
    assert seen[0].dtype == np.float32
    np.testing.assert_allclose(np.quantile(seen[0], [0.0001, 0.9999]), [0, 255], atol=2)


def test_mosaics_come_apart() -> None:
    images = np.arange(20 * 6, dtype=np.float32).reshape(20, 2, 3)
    mosaic = as_mosaic(images)
    np.testing.assert_array_equal(mosaic[2:4, 3:6], images[11])
    np.testing.assert_array_equal(in_pieces(mosaic, images.shape), images)


def test_a_lost_lesion_is_seen_where_the_error_is_not(task: DetectionTask) -> None:
    """The background alone: less error than the noisy image, but no lesion."""
    noisy, perfect, lost = (
        task.judge(regions, np.random.default_rng(1))
        for regions in (task.noisy, task.clean, Regions(task.clean.absent, task.clean.absent))
    )
    assert noisy.figures()[0].value == pytest.approx(625, rel=5 * (2 / 64000) ** 0.5)
    assert perfect.figures()[0].value == 0
    assert 0 < lost.figures()[0].value < noisy.figures()[0].value
    assert perfect.figures()[3].value == pytest.approx(1)
    assert lost.figures()[3].value == pytest.approx(0)
    assert perfect.above(noisy)[1].low > 0


def test_the_command_prints_every_method(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(made(tmp_path / "regions.npz", np.random.default_rng(0))), "nlm"])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0] for line in lines if "noi" in line or "nlm" in line] == [
        "| noise-free",
        "| noisy",
        "| nlm",
        "| noise-free",
        "| nlm",
    ]


@pytest.mark.skipif(not REGIONS.exists(), reason="shared/real/detection_rois.npz is not here")
def test_more_dose_and_less_noise_make_lesions_easier_to_find() -> None:
    half, full = (DetectionTask.read(REGIONS, dose) for dose in (50, 100))
    judged = [
        task.judge(regions, np.random.default_rng(0))
        for task, regions in ((half, half.noisy), (full, full.noisy), (half, half.clean))
    ]
    noisy, more, clean = (judgement.figures()[1] for judgement in judged)
    assert judged[0].figures()[0].value == pytest.approx(21.97, abs=0.01)
    assert noisy.value < more.value < clean.value
    assert judged[1].above(judged[0])[1].low > 0
    assert judged[2].above(judged[1])[1].low > 0
    assert judged[0].figures()[3].value == pytest.approx(1, abs=0.01)
