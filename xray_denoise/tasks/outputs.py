"""Tables, logs, pages and figures that are written beside images: checked before the work begins."""

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from pathlib import Path

from xray_denoise.errors import ExistingFileError, UnwritableFileError, UsageError
from xray_denoise.files.folders import same_file, walk
from xray_denoise.tasks.jobs import AnyPath


def refuse_inputs(outputs: Mapping[str, Path | None], inputs: Iterable[AnyPath]) -> None:
    """Refuse outputs that are one file, or would be written over something that is read.

    Args:
        outputs: where each goes, by its option; None is not written.
        inputs: files, and folders whose radiographs are read.

    Raises:
        UsageError: an output is an input or another output, by its name or through links.
    """
    given = {option: path for option, path in outputs.items() if path is not None}
    for (first, path), (second, other) in combinations(given.items(), 2):
        if same_file(path, other):
            raise UsageError(
                f"two results would be one file: the {first} and the {second} {{path}}",
                path=other,
                hint="choose different names",
                option=first,
            )
    there = {option: path for option, path in given.items() if os.path.lexists(path)}
    if not there:
        return
    for source in _files_of(inputs):
        for option, path in there.items():
            if same_file(path, source):
                raise UsageError(
                    f"the {option} {{path}} is an input",
                    path=path,
                    hint="choose another name: originals are never overwritten",
                    option=option,
                )


def _files_of(inputs: Iterable[AnyPath]) -> Iterator[Path]:
    for given in map(Path, inputs):
        if given.is_dir():
            yield from (path for path, wanted in walk(given) if wanted)
        else:
            yield given


def check_targets(targets: Iterable[Path | None], *, replace: bool) -> None:
    """Check that files can be written.

    Args:
        targets: the files; None is not written.
        replace: whether they may take the place of others.

    Raises:
        UnwritableFileError: there is no folder for one, or it is a folder.
        ExistingFileError: one is there, and `replace` is false.
    """
    for target in filter(None, targets):
        if not target.parent.is_dir():
            raise UnwritableFileError(
                "cannot write {path}: there is no such folder", path=target, hint="make the folder, or choose another"
            )
        if target.is_dir():
            raise UnwritableFileError("{path} is a folder", path=target, hint="name a file inside it")
        if os.path.lexists(target) and not replace:  # a link to nothing takes the name, too
            raise ExistingFileError(
                "{path} exists already", path=target, hint="choose another name, or overwrite it", option="existing"
            )
