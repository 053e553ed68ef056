"""How tables call the methods, and in which order they show them."""

from types import MappingProxyType

TOLD = "+level"
"""Behind the name of a method: it is told the true noise level; without it the method is blind."""

TITLES = MappingProxyType(
    {
        "noisy": "noisy",
        "tv": "TV",
        "nlm": "NLM",
        "gat-tv": "GAT + TV",
        "gat-nlm": "GAT + NLM",
        "nl-pca": "Poisson NL-PCA",
        "bm3d": "BM3D",
        "gat-bm3d": "GAT + BM3D",
        "ivst-bm3d": "Iterative VST",
        "x-recnn": "X-ReCNN (reconstructed)",
        "dncnn": "DnCNN",
        "skidnet": "SkiDNet (second-hand)",
        "cbdnet": "CBDNet",
        "x-bdcnn-no-nle": "X-BDCNN without NLE",
        "x-bdcnn-no-ssim": "X-BDCNN without SSIM",
        "x-bdcnn-short": "X-BDCNN, short training",
        "x-bdcnn": "X-BDCNN",
        "x-bdcnn-wide": "X-BDCNN, wide",
        "lite": "lite",
        "estimate": "classical estimator",
    }
)
"""By the name of the denoiser; a model that is not here goes by its name."""

CLASSICAL_ROWS = (
    "noisy",
    "tv+level",
    "nlm+level",
    "gat-tv+level",
    "gat-nlm+level",
    "nl-pca+level",
    "bm3d",
    "bm3d+level",
    "gat-bm3d",
    "gat-bm3d+level",
    "ivst-bm3d+level",
)
"""The classical rows of a table where nothing else is asked for."""
SLOW_ROWS = ("nl-pca+level", "bm3d+level", "gat-bm3d+level", "ivst-bm3d+level")
"""Those that a quick run leaves out."""
SPEED_ROWS = ("noisy", "tv", "nlm", "bm3d", "gat-bm3d", "dncnn", "x-recnn", "x-bdcnn", "lite")
"""The rows of the table of speeds, all blind, where nothing else is asked for."""
GROWTH_ROWS = ("x-bdcnn", "lite")
"""Those whose time is measured on images of many sizes."""
NETWORK_ROWS = (
    "x-recnn",
    "dncnn",
    "skidnet",
    "cbdnet",
    "x-bdcnn-no-nle",
    "x-bdcnn-no-ssim",
    "x-bdcnn-short",
    "x-bdcnn",
    "x-bdcnn-wide",
    "lite",
)
"""The order of the networks that are installed; others follow."""
FIGURE_ROWS = ("bm3d", "dncnn", "x-recnn", "x-bdcnn")
"""What Figure 2 shows of the methods that are installed, TV where BM3D is not."""
REFERENCE = "x-bdcnn"
"""The row that the others are compared with."""


def split(row: str) -> tuple[str, bool]:
    """The name of a row's denoiser, and whether it is told the true level."""
    name = row.removesuffix(TOLD)
    return name, name != row


def title(row: str) -> str:
    """What tables call `row`: NAME or NAME+level."""
    name, told = split(row)
    return TITLES.get(name, name) + (" (true level)" if told else "")
