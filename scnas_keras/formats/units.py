"""Names of units of length, as headers have them."""

_NAMES = {
    1e-9: ("pm", "picometer", "picometre"),
    1e-7: ("\N{LATIN SMALL LETTER A WITH RING ABOVE}", "angstrom"),  # the lower case of the sign of the unit, too
    1e-6: ("nm", "nanometer", "nanometre"),
    1e-3: ("um", "\N{MICRO SIGN}m", "\N{GREEK SMALL LETTER MU}m", "\\u00b5m", "micron", "micrometer", "micrometre"),
    1.0: ("mm", "millimeter", "millimetre"),
    10.0: ("cm", "centimeter", "centimetre"),
    25.4: ("in", "inch", "inche", '"'),
    1000.0: ("m", "meter", "metre"),
}
_MILLIMETRES = {name: size for size, names in _NAMES.items() for name in names}


def millimetres(unit: str) -> float | None:
    """Millimetres of a unit of length by its name in any case, singular or plural; None if it isn't known."""
    name = unit.strip().lower()
    return _MILLIMETRES.get(name, _MILLIMETRES.get(name.removesuffix("s")))
