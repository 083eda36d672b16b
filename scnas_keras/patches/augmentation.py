"""Augmentation as data: a list of transforms that a plan keeps as JSON."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from scnas_keras.errors import DataError
from scnas_keras.patches import intensity, spatial
from scnas_keras.patches.transforms import Transform

TRANSFORMS: dict[str, type[Transform]] = {
    "elastic": spatial.Elastic,
    "rotation": spatial.Rotation,
    "scaling": spatial.Scaling,
    "gaussian_noise": intensity.GaussianNoise,
    "gaussian_blur": intensity.GaussianBlur,
    "brightness": intensity.Brightness,
    "contrast": intensity.Contrast,
    "low_resolution": intensity.LowResolution,
    "gamma": intensity.Gamma,
    "mirror": spatial.Mirror,
}
_ORDER = (spatial.SpatialTransform, intensity.IntensityTransform, spatial.Mirror)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Random changes of training patches.

    Attributes:
        transforms: in the order they're applied: those of space (one resampling for all), of intensities, mirrors.
        image_order: spline order of the resampling, 1 or 3. Labels are always resampled by linear weights.
        in_plane: slices along plan axis 0 keep their places; space changes along axes 1 and 2 only ("dummy 2D").

    Raises:
        DataError: another order, a spatial transform twice, or a spline order that isn't offered.
    """

    transforms: tuple[Transform, ...] = ()
    image_order: int = 1
    in_plane: bool = False

    def __post_init__(self):
        stages = [next(stage for stage, kind in enumerate(_ORDER) if isinstance(transform, kind)) for transform in self.transforms]
        unique = [type(transform) for transform, stage in zip(self.transforms, stages) if stage != 1]
        if stages != sorted(stages) or len(set(unique)) != len(unique):
            raise DataError(
                "The transforms of an augmentation are those of space (elastic, rotation, scaling), then "
                "those of intensities, then mirror, and but for intensities each once; found "
                f"{', '.join(map(_name, self.transforms))}. Reorder them in the plan."
            )
        if self.image_order not in (1, 3) or not isinstance(self.in_plane, bool):
            raise DataError(
                "An augmentation's image_order is 1 or 3 and in_plane true or false; found "
                f"{self.image_order!r} and {self.in_plane!r}. Mend them in the plan."
            )

    @property
    def mirror_axes(self) -> tuple[int, ...]:
        """Plan axes that may be flipped."""
        return next((transform.axes for transform in self.transforms if isinstance(transform, spatial.Mirror)), ())

    def scaled(self, strength: float) -> Self:
        """The same probabilities with ranges drawn towards no change: 1 is this one, 0 changes nothing."""
        return dataclasses.replace(self, transforms=tuple(transform.scaled(strength) for transform in self.transforms))

    def draw_spatial(self, random: np.random.Generator) -> spatial.SpatialDraw | None:
        """Parameters of one patch's resampling; None for a patch that is read as it is."""
        return spatial.draw_spatial(self.transforms, random)

    def draw_mirrors(self, random: np.random.Generator) -> tuple[int, ...]:
        """The plan axes along which one patch is flipped."""
        return sum((item.draw(random) for item in self.transforms if isinstance(item, spatial.Mirror)), ())

    def apply_intensity(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """The image, float32 [*, channels], after all transforms of intensities; may work in place."""
        for transform in self.transforms:
            if isinstance(transform, intensity.IntensityTransform):
                image = transform.apply(image, random)
        return image

    def to_dict(self) -> dict[str, Any]:
        """A document for JSON."""
        return {
            "image_order": self.image_order,
            "in_plane": self.in_plane,
            "transforms": [{"name": _name(item)} | dataclasses.asdict(item) for item in self.transforms],
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Reads what `to_dict` wrote, also after a way through JSON; raises DataError naming the key that is wrong."""
        if not isinstance(content, Mapping):
            raise DataError(f"augmentation: expected an object with transforms, found {content!r}. Mend it in the plan.")
        _check_keys("augmentation", content, cls)
        if not isinstance(content["transforms"], list | tuple):
            raise DataError(f"augmentation.transforms: expected a list, found {content['transforms']!r}. Mend it in the plan.")
        return cls(tuple(map(_transform, content["transforms"])), content["image_order"], content["in_plane"])


def _transform(content: Any) -> Transform:
    name = content.get("name") if isinstance(content, Mapping) else None
    if name not in TRANSFORMS:
        raise DataError(
            f"augmentation.transforms: expected an object whose name is one of {', '.join(TRANSFORMS)}; "
            f"found {content if name is None else name!r}. Mend it in the plan."
        )
    values = {key: _frozen(value) for key, value in content.items() if key != "name"}
    _check_keys(f"augmentation.transforms.{name}", values, TRANSFORMS[name])
    return TRANSFORMS[name](**values)


def _check_keys(place: str, content: Mapping[str, Any], kind: type) -> None:
    known = [field.name for field in dataclasses.fields(kind)]
    wrong = [f"unknown key {key!r}" for key in content if key not in known]
    wrong += [f"{key!r} is missing" for key in known if key not in content]
    if wrong:
        raise DataError(f"{place}: {'; '.join(wrong)}. Expected {', '.join(known)}. Mend it in the plan.")


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _name(transform: Transform) -> str:
    return next(name for name, kind in TRANSFORMS.items() if type(transform) is kind)
