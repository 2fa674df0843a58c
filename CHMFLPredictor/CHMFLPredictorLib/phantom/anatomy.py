"""The anatomy of the digital phantom as data: a thigh with a soft-tissue sarcoma, its tissues in HU and SUV.

Positions in the section are (lateral, posterior) in units of the leg's half width and half depth, from the leg's axis.
Heights and the tumor's place are LPS mm (x to the left, y to the back, z to the head). From general anatomy.
"""

from dataclasses import dataclass

from ..reading.volumes import AIR_HU

# HU (mild contrast, portal venous) and SUV of every tissue.
TISSUES = {
    "air": (AIR_HU, 0.0), "skin": (15.0, 0.5), "fat": (-105.0, 0.25), "muscle": (58.0, 0.65), "septum": (-80.0, 0.3),
    "cortex": (1250.0, 0.25), "marrow": (-15.0, 0.6), "artery": (150.0, 1.7), "vein": (125.0, 1.6),
    "nerve": (30.0, 0.6), "bladder": (6.0, 42.0), "edema": (38.0, 1.1), "rim": (72.0, 8.6), "necrosis": (20.0, 1.2),
    "table": (-110.0, 0.0),
}  # fmt: skip


@dataclass(frozen=True)
class Station:
    """The thigh's outline at one height: half widths in mm and how far the leg's axis lies from the midline."""

    z: float
    half_width: float
    half_depth: float
    off_midline: float


@dataclass(frozen=True)
class Muscle:
    """One muscle belly as the site of a weighted Voronoi cell, at the knee's and the hip's end."""

    name: str
    knee: tuple[float, float]
    hip: tuple[float, float]
    weight: float


@dataclass(frozen=True)
class Tube:
    """A bone, a vessel or a nerve along the leg: its center and its radius in mm at the knee's and the hip's end."""

    tissue: str
    knee: tuple[float, float]
    hip: tuple[float, float]
    knee_radius: float
    hip_radius: float


@dataclass(frozen=True)
class Tumor:
    """The sarcoma of the right adductor compartment; center in LPS mm, radii in mm before the lobes are added."""

    center: tuple[float, float, float] = (-62.0, 24.0, 2.0)
    radii: tuple[float, float, float] = (33.0, 31.0, 54.0)
    lobes: float = 0.10
    necrotic_part: float = 0.52
    texture: float = 0.18


STATIONS = (
    Station(-150, 62, 66, 92), Station(-60, 70, 74, 90), Station(40, 80, 81, 90), Station(150, 87, 88, 91),
)  # fmt: skip
SKIN_MM = 2.0
TABLE_Y = 88.0
ENVELOPE = {"center": (0.05, -0.04), "radii": (0.80, 0.83)}
SEPTUM_MM = 0.9
MUSCLES = (
    Muscle("rectus femoris", (0.06, -0.66), (0.18, -0.68), 0.75),
    Muscle("vastus lateralis", (0.58, -0.28), (0.62, -0.20), 1.20),
    Muscle("vastus intermedius", (0.14, -0.30), (0.20, -0.34), 0.90),
    Muscle("vastus medialis", (-0.38, -0.42), (-0.16, -0.36), 1.00),
    Muscle("sartorius", (-0.68, -0.02), (-0.26, -0.70), 0.45),
    Muscle("gracilis", (-0.66, 0.32), (-0.72, 0.12), 0.42),
    Muscle("adductor longus", (-0.40, 0.02), (-0.50, -0.18), 0.60),
    Muscle("adductor magnus", (-0.22, 0.24), (-0.34, 0.24), 1.10),
    Muscle("semimembranosus", (-0.36, 0.58), (-0.22, 0.56), 0.80),
    Muscle("semitendinosus", (-0.08, 0.72), (0.00, 0.74), 0.55),
    Muscle("biceps femoris, long head", (0.36, 0.62), (0.22, 0.66), 0.75),
    Muscle("biceps femoris, short head", (0.42, 0.26), (0.42, 0.24), 0.65),
    Muscle("gluteus maximus", (0.90, 0.60), (0.56, 0.60), 0.55),
)
TUBES = (
    Tube("fat", (-0.40, -0.14), (-0.34, -0.42), 8.0, 10.0),
    Tube("artery", (-0.37, -0.16), (-0.31, -0.45), 3.4, 4.4),
    Tube("vein", (-0.44, -0.08), (-0.40, -0.39), 4.2, 5.2),
    Tube("fat", (-0.06, 0.10), (-0.08, -0.10), 3.6, 5.5),
    Tube("artery", (-0.05, 0.10), (-0.07, -0.10), 1.6, 2.4),
    Tube("fat", (0.10, 0.44), (0.14, 0.40), 6.5, 7.5),
    Tube("nerve", (0.10, 0.44), (0.14, 0.40), 3.6, 4.6),
    Tube("vein", (-0.86, 0.10), (-0.66, -0.56), 2.0, 2.4),
    Tube("cortex", (0.10, -0.06), (0.18, -0.05), 16.0, 14.0),
    Tube("marrow", (0.10, -0.06), (0.18, -0.05), 11.5, 7.2),
)
