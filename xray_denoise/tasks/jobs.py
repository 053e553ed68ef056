"""Which file becomes which: inputs and an output -> pairs of a source and a target that cannot hurt each other."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xray_denoise.errors import UnreadableFileError, UsageError
from xray_denoise.files.folders import true_path, walk

MANIFEST_NAME = "xray-denoise-manifest.jsonl"
"""The record of results in a folder (`manifest`)."""
NOISE_MAP_SUFFIX = ".noise.tif"
"""What a noise map adds to the name of its result."""


@dataclass(frozen=True, slots=True)
class Job:
    """One file to denoise."""

    source: Path
    target: Path

    @property
    def noise_map(self) -> Path:
        """Where the noise map goes, if one is wanted: beside the result, as 32-bit TIFF in grey levels."""
        return self.target.with_name(self.target.name + NOISE_MAP_SUFFIX)


def plan_jobs(inputs: Sequence[str], output: Path, *, noise_maps: bool = False) -> tuple[list[Job], list[Path]]:
    """Which file becomes which.

    Args:
        inputs: files, folders (searched to the bottom) and @lists of either, one path a line.
        output: the result where there is one input file and this ends like a file; otherwise the folder of the
            results. A folder's tree is kept below it, and what lies in `output` itself is no input.
        noise_maps: whether each result has its noise map beside it.

    Returns:
        The jobs in a stable order, and the files in folders that are no radiographs and are left alone.

    Raises:
        UsageError: no file at all, several files for one result, a result in the place of another input, or an
            output that is a file where a folder is due.
    """
    given = list(_expand(inputs))
    sources, ignored = _collect(given, output)
    if not sources:
        raise UsageError(
            "there is no radiograph among the inputs", hint="give DICOM, PNG, TIFF or WebP files or folders"
        )
    names_a_file = output.suffix[1:].isalpha() and not output.is_dir()
    if len(sources) == 1 and next(iter(sources)) in given and names_a_file:
        return [Job(next(iter(sources)), output)], ignored
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output} is a file, but the results need a folder", hint="name a folder with -o")
    jobs = [Job(source, output / inside) for source, inside in sources.items()]
    _refuse_collisions(jobs, noise_maps=noise_maps)
    return jobs, ignored


def _expand(inputs: Iterable[str]) -> Iterator[Path]:
    """Inputs with every @list replaced by its lines."""
    for text in inputs:
        if not text.startswith("@"):
            yield Path(text)
            continue
        try:
            lines = Path(text[1:]).read_text(encoding="utf-8-sig").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UnreadableFileError(f"cannot read the list {text[1:]}", hint="one path a line, in UTF-8") from error
        yield from (Path(line) for line in lines if line.strip())


def _collect(inputs: Iterable[Path], output: Path) -> tuple[dict[Path, Path], list[Path]]:
    """Every input file with its place below the output folder, and what was found but is no radiograph."""
    found: dict[Path, Path] = {}
    ignored: list[Path] = []
    results = true_path(output)
    for given in inputs:
        if not given.is_dir():
            found.setdefault(given, Path(given.name))
            continue
        inside_results = true_path(given).is_relative_to(results)
        for path, wanted in walk(given):
            if not inside_results and true_path(path).is_relative_to(results):
                continue
            if path.name == MANIFEST_NAME:
                continue
            if wanted and not path.name.endswith(NOISE_MAP_SUFFIX):
                found.setdefault(path, path.relative_to(given))
            else:
                ignored.append(path)
    return found, ignored


def _refuse_collisions(jobs: Iterable[Job], *, noise_maps: bool) -> None:
    """No two results share a name, and none takes the place of another job's source."""
    claimed: dict[Path, Path] = {}
    sources = {true_path(job.source): job.source for job in jobs}
    for job in jobs:
        for result in (job.target, job.noise_map) if noise_maps else (job.target,):
            place = true_path(result.parent) / result.name
            if place in claimed:
                raise UsageError(
                    f"{claimed[place]} and {job.source} would both become {result}",
                    hint="denoise them into different folders, or give the folder above both",
                )
            claimed[place] = job.source
            victim = sources.get(true_path(result), job.source)
            if victim != job.source:
                raise UsageError(
                    f"the result of {job.source} would replace {victim}, which is an input too",
                    hint="choose an output folder that holds no inputs",
                )
