"""Plan a run: inputs and an output -> pairs of source and target, without collisions."""

import os
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from xray_denoise import files
from xray_denoise.errors import UnreadableFileError, UsageError
from xray_denoise.files.folders import TruePaths, true_path, walk
from xray_denoise.tasks.naming import Naming

AnyPath = str | os.PathLike[str]

MANIFEST_NAME = "xray-denoise-manifest.jsonl"
"""The record of the results in a folder (`manifest`)."""
PARTS_NAME = "xray-denoise-manifest.d"
"""The folder beside it for the records of runs that share the folder of results."""
NOISE_MAP_SUFFIX = ".noise.tif"
"""What a noise map adds to the name of its result."""
UNCERTAINTY_SUFFIX = ".uncertainty.tif"
"""What a map of uncertainty adds to it."""
LIST, STREAM = "@", "@-"
"""Begins the name of a list of files, and stands for a list on standard input."""
COMMENT = "#"
"""Begins a line of a list that names no file."""


@dataclass(frozen=True, slots=True)
class Job:
    """One file to denoise."""

    source: Path
    target: Path

    @property
    def noise_map(self) -> Path:
        """Path of the noise map, if one is wanted: beside the result, a 32-bit TIFF in grey levels."""
        return self.target.with_name(self.target.name + NOISE_MAP_SUFFIX)

    @property
    def uncertainty(self) -> Path:
        """Path of the map of uncertainty, if one is wanted: a 32-bit TIFF in stored values."""
        return self.target.with_name(self.target.name + UNCERTAINTY_SUFFIX)

    def maps(self, *, noise: bool = True, uncertainty: bool = True) -> list[Path]:
        """Those of the maps beside the result that are wanted."""
        return [path for path, wanted in ((self.noise_map, noise), (self.uncertainty, uncertainty)) if wanted]


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """A file or link among the inputs that is not denoised."""

    path: Path
    reason: str
    """Such as "not a radiograph"."""


def plan_jobs(
    inputs: Iterable[AnyPath],
    output: AnyPath,
    *,
    noise_maps: bool = False,
    uncertainty: bool = False,
    naming: Naming | None = None,
    recorded: Callable[[Path], Callable[[Path], bool]] | None = None,
) -> tuple[list[Job], list[LeftAlone]]:
    """Decide which file becomes which.

    Args:
        inputs: files and folders; folders are searched to the bottom.
        output: the result where there is one input file and this has the ending of a file; otherwise the folder of
            the results. The tree of an input folder is kept below it, and what lies in `output` itself is no input.
        noise_maps: whether each result has its noise map beside it.
        uncertainty: whether it has its map of uncertainty.
        naming: names of results in a folder; by default those of the sources.
        recorded: tells of the files in a folder which are unchanged results of earlier runs. Where inputs lie in the
            folder of the results, these are none, but for one that is given by its name and is no result of another
            input; None takes all for inputs.

    Returns:
        The jobs in a stable order, and what was found among the inputs and is left alone.

    Raises:
        UsageError: no file at all, several files for one result, a result in the place of an input, a file name for
            the results of several inputs, or an output that is a file where a folder is needed.
    """
    naming = naming or Naming()
    given = [checked_path(path, "an input") for path in inputs]
    output = checked_path(output, "the output", "target")
    sources, left_alone = find_sources(given, output)
    if len(sources) == 1 and next(iter(sources)) in given and _names_a_file(output):
        jobs = [_single(next(iter(sources)), output, naming)]
    else:
        _refuse_file(output)
        jobs = [Job(source, output / inside.with_name(naming.of(source))) for source, inside in sources.items()]
        if recorded:
            jobs, earlier = _without_results(jobs, set(given), output, recorded)
            left_alone += earlier
    _refuse_collisions({job: [job.target, *job.maps(noise=noise_maps, uncertainty=uncertainty)] for job in jobs})
    return jobs, left_alone


def find_sources(inputs: Iterable[AnyPath], output: Path) -> tuple[dict[Path, Path], list[LeftAlone]]:
    """Search inputs for radiographs.

    Args:
        inputs: files and folders; folders are searched to the bottom.
        output: folder of the results; what lies in it is no input.

    Returns:
        Every file with its place below the output folder, and what was found in folders and is left alone.

    Raises:
        UsageError: there is no file at all, or an input has no name.
    """
    sources, left_alone = _collect([checked_path(path, "an input") for path in inputs], output)
    if not sources:
        raise UsageError(
            "there is no radiograph among the inputs",
            hint="give DICOM, PNG, TIFF, WebP or JPEG files, or folders of them",
        )
    return sources, left_alone


def expand_lists(inputs: Sequence[str], standard_input: Iterable[str] = ()) -> Iterator[str]:
    """Inputs of a command line with every @list replaced by the paths in it.

    A list is a UTF-8 text file with one path on each line. Blank lines and lines that begin with `#` are left out; a
    file whose name begins so is written as `./#name`. `@-` reads the list from standard input.

    Raises:
        UnreadableFileError: a list cannot be read.
    """
    for text in inputs:
        if not text.startswith(LIST):
            yield text
            continue
        try:
            lines = list(standard_input) if text == STREAM else _lines(text[1:])
        except (OSError, ValueError) as error:
            raise UnreadableFileError(
                "cannot read the list {path}", path=text[1:], hint="a list is UTF-8 text with one path on each line"
            ) from error
        for line in lines:
            path = line.rstrip("\r\n")
            if path.strip() and not path.startswith(COMMENT):
                yield path


def lists_among(inputs: Iterable[str]) -> list[Path]:
    """The files of the lists among inputs of a command line."""
    return [Path(text[1:]) for text in inputs if text.startswith(LIST) and text != STREAM]


def _lines(name: str) -> list[str]:
    return Path(checked_path(name, "a list")).read_text(encoding="utf-8-sig").split("\n")


def checked_path(path: AnyPath, what: str, option: str = "") -> Path:
    """The path; an empty name and `-` are refused.

    Raises:
        UsageError: it is.
    """
    name = os.fspath(path)
    if not name:
        raise UsageError(f"{what} has an empty name", hint="name a file or a folder", option=option)
    if name == "-":
        raise UsageError(
            f"{what} is '-', but images are read from files and written to files",
            hint="name a file or a folder; ./- is a file of that name",
            option=option,
        )
    return Path(path)


def check_choice(option: str, value: object, choices: Any) -> None:
    """Refuse a value that is not one of a `Literal`.

    Args:
        option: the parameter.
        value: what was given for it.
        choices: the `Literal`, or `Literal | None`.

    Raises:
        UsageError: it is none of them.
    """
    allowed = [one for part in (get_args(choices) or (choices,)) for one in (get_args(part) or (part,))]
    if value not in allowed and not (value is None and type(None) in allowed):
        names = ", ".join(str(one) for one in allowed if one is not type(None))
        raise UsageError(f"the option '{option}' cannot be '{value}'", hint=f"choose one of {names}", option=option)


def _collect(inputs: Iterable[Path], output: Path) -> tuple[dict[Path, Path], list[LeftAlone]]:
    """Every input file with its place below the output folder, and what was found but is left alone."""
    found: dict[Path, Path] = {}
    left_alone: list[LeftAlone] = []
    results = true_path(output)
    for given in inputs:
        if not given.is_dir():
            found.setdefault(given, Path(given.name))
            continue
        inside_results = true_path(given).is_relative_to(results)
        for path, wanted in walk(given):
            if not inside_results and true_path(path).is_relative_to(results):
                continue
            if path.name == MANIFEST_NAME or path.parent.name == PARTS_NAME:
                continue
            if wanted and not path.name.endswith((NOISE_MAP_SUFFIX, UNCERTAINTY_SUFFIX)):
                found.setdefault(path, path.relative_to(given))
            else:
                left_alone.append(LeftAlone(path, _why_left(path)))
    return found, left_alone


def _without_results(
    jobs: list[Job], given: Container[Path], output: Path, recorded: Callable[[Path], Callable[[Path], bool]]
) -> tuple[list[Job], list[LeftAlone]]:
    """The jobs whose sources are no results of earlier runs into the same folder, and the results.

    Raises:
        UsageError: all of them are.
    """
    places, results = TruePaths(), true_path(output)
    if not any(places[job.source.parent].is_relative_to(results) for job in jobs):
        return jobs, []
    is_result, made, earlier = recorded(output), {places.of(job.target) for job in jobs}, set()
    for job in jobs:
        place = places.of(job.source)
        if place.is_relative_to(results) and (job.source not in given or place in made):
            earlier |= {job.source} if is_result(output / place.relative_to(results)) else set()
    if len(earlier) == len(jobs):
        raise UsageError(
            "all inputs are earlier results in {path}",
            path=output,
            hint="give the originals, or choose another folder to denoise results again",
            option="target",
        )
    kept = [job for job in jobs if job.source not in earlier]
    return kept, [LeftAlone(path, "an earlier result") for path in sorted(earlier)]


def _why_left(path: Path) -> str:
    for suffix, what in ((NOISE_MAP_SUFFIX, "a noise map"), (UNCERTAINTY_SUFFIX, "a map of uncertainty")):
        if path.name.endswith(suffix):
            return what
    if path.is_dir():
        return "a link to a folder"
    if not path.is_file():
        return "a link to nothing" if path.is_symlink() else "a pipe or a device"
    return "not a radiograph"


def _names_a_file(output: Path) -> bool:
    return output.suffix[1:].isalpha() and not output.is_dir()


def _single(source: Path, output: Path, naming: Naming) -> Job:
    """The job of one file whose result has a name of its own.

    Raises:
        UsageError: the name does not tell the format, or contradicts the naming.
    """
    kind = files.SUFFIXES.get(output.suffix.lower())
    if output.suffix.lower() in files.READ_ONLY:
        raise UsageError(
            "{path} would be a JPEG, which loses detail; JPEG is only read",
            path=output,
            hint="write a PNG or TIFF file",
            option="target",
        )
    if kind is None and output.suffix != source.suffix:
        raise UsageError(
            "the name {path} does not say which format to write",
            path=output,
            hint=f"end its name in {', '.join(files.SUFFIXES)}",
            option="target",
        )
    if naming.suffix:
        raise UsageError("a suffix is for results in a folder", hint="put it into the name", option="suffix")
    if naming.file_format and kind != files.SUFFIXES[f".{naming.file_format}"]:
        raise UsageError(
            f"{{path}} is no {naming.file_format.upper()} file by its name",
            path=output,
            hint="leave the format out: the name tells it",
            option="file_format",
        )
    return Job(source, output)


def _refuse_file(output: Path) -> None:
    """Refuse the name of a file for the folder of the results."""
    if output.exists() and not output.is_dir():
        raise UsageError(
            "{path} is a file, but the results need a folder", path=output, hint="name a folder", option="target"
        )
    if output.suffix.lower() in (*files.SUFFIXES, *files.READ_ONLY) and not output.is_dir():
        raise UsageError(
            "{path} is the name of one file, but the results need a folder",
            path=output,
            hint="name a folder; to convert the results, choose a format",
            option="target",
        )


def _refuse_collisions(jobs: Mapping[Job, list[Path]]) -> None:
    """Refuse two results of one name, and results that would take the place of a source."""
    claimed: dict[Path, Path] = {}
    places = TruePaths()
    sources = {places.of(job.source): job.source for job in jobs}
    for job, results in jobs.items():
        for result in results:
            place = places[result.parent] / result.name
            if place in claimed:
                raise UsageError(
                    f"{claimed[place]} and {job.source} would both become {{path}}",
                    path=result,
                    hint="denoise them into different folders, or give the folder that holds both",
                )
            claimed[place] = job.source
            victim = sources.get(places.of(result))
            if victim is not None:
                raise UsageError(
                    f"the result of {job.source} would replace {{path}}, which is an input",
                    path=victim,
                    hint="choose another name or folder: originals are never overwritten, and only the manifest of the"
                    " folder tells earlier results from them",
                    option="target",
                )
