"""What the node asks of the head of a DICOM file, and the head that it writes before a data set from the network."""

from pathlib import Path

from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID

from xray_denoise.files.damage import as_unreadable
from xray_denoise.files.dicom.derive import contributions
from xray_denoise.files.dicom.layout import fact
from xray_denoise.files.dicom.opening import opened
from xray_denoise.files.dicom.write import IMPLEMENTATION_UID
from xray_denoise.node.rules import Facts

PREAMBLE = b"\0" * 128 + b"DICM"


def file_head(sop_class: str, instance: str, syntax: str) -> bytes:
    """The preamble and the File Meta Information (PS3.10 7.1) of a data set that was received.

    Args:
        sop_class: (0000,0002) *Affected SOP Class UID* of the request.
        instance: (0000,1000) *Affected SOP Instance UID* of the request.
        syntax: of the presentation context.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(sop_class), UID(instance)
    meta.TransferSyntaxUID = UID(syntax)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    stream = DicomBytesIO()
    write_file_meta_info(stream, meta)
    return PREAMBLE + stream.getvalue()


def facts_of(path: Path, calling_ae: str) -> tuple[Facts, bool]:
    """What rules ask of an object, and whether this program has made it.

    Raises:
        UnreadableFileError: the file is damaged.
    """
    with as_unreadable(path), opened(path) as file:
        header = file.header
        modality, body_part, station = (
            str(fact(header, keyword) or "") for keyword in ("Modality", "BodyPartExamined", "StationName")
        )
        return Facts(modality, body_part, station, calling_ae), bool(contributions(header))
