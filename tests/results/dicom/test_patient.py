import pydicom
from pydicom.examples import get_path
from pydicom.uid import CTImageStorage, SecondaryCaptureImageStorage

from secondread.results.dicom.patient import of_a_known_class


def test_a_header_keeps_its_own_class() -> None:
    header = pydicom.dcmread(get_path("ct"), stop_before_pixels=True)
    known = of_a_known_class(header)
    assert known.SOPClassUID == SecondaryCaptureImageStorage
    assert header.SOPClassUID == CTImageStorage
    assert known.PatientName == header.PatientName
