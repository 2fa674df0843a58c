"""The words of a report: names and units of its numbers, captions, and what to do about each warning."""

CAPTIONS = {
    "slices": "FDG-PET over CT through the tumor, with the outline of the network's segmentation. The patient's right "
    "is on the left of the picture; ticks at the edges show where the other two slices lie.",
    "relevance": "Relevance over CT: where the network's PET and CT features drive the risk; 1 is the strongest place "
    "in this patient. It shows what the network looked at, not where metastases are.",
}
ALTERNATIVES = {
    "slices": "Axial, sagittal and coronal slices of FDG-PET over CT with the outline of the segmented tumor",
    "relevance": "Axial, sagittal and coronal slices of the relevance map over CT",
}
FOUND_BY = {
    "point": "the point given",
    "mask": "the mask given",
    "automatic": "automatic search for the tumor",
}
LABELS = {"high": "high: at or above the threshold", "low": "low: below the threshold"}
TODO = {
    "uncertain_location": "Look at each candidate; where another one is the tumor, give it as the point and predict "
    "again.",
    "mask_in_pieces": "Where another piece is the lesion that matters, give it alone.",
    "nothing_segmented": "Look at the pictures: where they miss the tumor, place the box by a point or a mask.",
    "tumor_larger_than_box": "Compare the outline with the whole tumor before using volume and risk.",
    "tumor_implausible": "Look at the outline; where it holds more than the tumor, volume and TLG mean nothing.",
    "hot_organ_in_box": "Compare with a run whose box is placed by a mask or by a point away from the organ.",
    "baseline_disagrees": "Look at segmentation and box; without an error there, take the risk as undecided.",
    "pet_units_assumed": "Check SUVmax on your reading station, or give the PET as DICOM folder to have it converted.",
    "injection_times_differ": "Ask which time is right; correct the tag, or give the PET as body-weight SUV.",
    "injection_zone_assumed": "Compare SUVmax with your reading station's; an hour changes SUV by almost a half.",
    "scan_times_differ": "Compare SUVmax with your reading station's, or give the PET as body-weight SUV.",
    "tracer_not_fdg": "Do not use the risk: no such PET was ever shown to the model.",
    "tracer_unknown": "Use the risk only if you know that this is FDG.",
    "tracer_unnamed": "Use the risk only if you know that this is FDG.",
    "partial_overlap": "Check that PET and CT are from the same study and registered.",
    "nifti_two_positions": "Look at the pictures: where PET and CT do not fit, write the right place into both forms.",
    "nifti_two_spacings": "Check the size of the patient in the pictures, and correct pixdim in the file.",
    "ct_border_filled": "Give the CT as it was taken, on its own grid.",
    "segmentation_off_mask": "Look at both outlines; the measurements are those of the network's segmentation.",
}
TODO_OUT_OF_RANGE = "The model was not tested on such input: its risk may be off by more than its interval says."
