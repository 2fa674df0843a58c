"""From files and DICOM folders to checked volumes: PET in SUV, CT in HU, masks."""
