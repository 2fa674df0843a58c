"""Which tracer a PET shows. The models here know FDG alone, and neither units nor half-life tell it from others."""

import re
import unicodedata

from .suv_tags import TAGS

FDG_CODES = {"35321007", "C-B1031"}  # SNOMED CT, and SRT or SNM3 before it: DICOM PS3.16 CID 4021
_WORD = r"(?<![a-z]){}(?![a-z])"
_FDG = re.compile(_WORD.format("f?fdg"))
_FDG_LETTERS = re.compile("flu[a-z]*gl[ui][ck]os(?!amin)|gl[ui][ck]os[a-z]*flu")  # in any language, in any order
# generic names, parts of them, trade names; short ones as whole words
_OTHERS = re.compile(
    "psma|dcfpyl|folastat|gozetotide|pylarify|posluma|illuccix|locametz|dota|netspot|detectnet|ga-?68|68-?ga|cu-?64"
    "|64-?cu|zr-?89|89-?zr|i-?124|124-?i|rb-?82|82-?rb|o-?15|15-?o|estradiol|cerianna|tyrosine|fluoride|choline|fluciclovine|axumin"
    "|dopa|thymidine|misonidazole|fmiso|azomycin|fapi|methionine|acetate|florbeta|flutemetamol|tauvid|flortaucipir"
    "|ammonia|rubidium|galactose|pentixafor|exendin|bombesin|mibg|mfbg|flurpiridaz|"
    + _WORD.format("(fes|fet|naf|fch|fec|facbc|flt|faza|fdgal|met|pib|rm2)")
)


def tracer_warnings(headers: list, name: str) -> list[dict]:
    """What to say of the tracer: nothing where a name or code is FDG's and none is another's.

    :param headers: pydicom Datasets of the slices; the first counts.
    :return: one of the warnings tracer_not_fdg, tracer_unknown, tracer_unnamed, or none.
    """
    names, codes = _names(headers[0])
    listing = ", ".join(f"'{one}'" for one in names)
    if any(_OTHERS.search(_plain(one)) for one in names):
        text = f"The tracer of the {name} is {listing}, not FDG. The model knows FDG alone: its risk means nothing."
        return [{"code": "tracer_not_fdg", "text": text}]
    if codes & FDG_CODES or any(map(_is_fdg, names)):
        return []
    if names:
        text = f"The tracer of the {name} is {listing}, a name that is not known here. The model knows FDG alone."
        return [{"code": "tracer_unknown", "text": text}]
    text = f"The {name} does not name its tracer ({TAGS['Radiopharmaceutical']}). The model knows FDG alone."
    return [{"code": "tracer_unnamed", "text": text}]


# Inside ----------------------------------------------------------------------------------------------


def _names(header) -> tuple[list[str], set[str]]:
    """How the header calls its tracers, and their codes; a code without a meaning is a name."""
    names, codes = [], set()
    for item in header.get("RadiopharmaceuticalInformationSequence") or ():
        names.append(item.get("Radiopharmaceutical"))
        for coded in item.get("RadiopharmaceuticalCodeSequence") or ():
            code = str(coded.get("CodeValue") or coded.get("LongCodeValue") or "").strip()
            codes.add(code)
            names.append(coded.get("CodeMeaning") or code)
    return list(dict.fromkeys(str(one).strip() for one in names if one and str(one).strip())), codes


def _plain(name: str) -> str:
    """Lower case without accents."""
    return unicodedata.normalize("NFKD", name.lower()).encode("ascii", "ignore").decode()


def _is_fdg(name: str) -> bool:
    plain = _plain(name)
    return bool(_FDG.search(plain) or _FDG_LETTERS.search(re.sub("[^a-z]", "", plain)))
