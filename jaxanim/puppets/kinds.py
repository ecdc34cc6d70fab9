"""The kinds of characters, each the same few functions: make one, move it, build its shapes, describe it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jaxanim.errors import InputError
from jaxanim.puppets import biped, bird, human, jointed, motions, quadruped, swimmers
from jaxanim.puppets.animal_parts import Animal
from jaxanim.puppets.identity import Human, make_human
from jaxanim.puppets.motion import Motion
from jaxanim.puppets.posed import Posed
from jaxanim.puppets.prompts import describe_animal, describe_human

Character = Human | Animal


@dataclass(frozen=True)
class Kind:
    """One kind of character.

    move: (seed, style or None, frames, fps) to a motion, whose every shorter version is a prefix of it.
    """

    make: Callable[[int], Any]
    styles: tuple[str, ...]
    move: Callable[[int, str | None, int, float], Motion]
    build: Callable[[Any, Motion], Posed]
    describe: Callable[[Any], str]


_KINDS = {
    "human": Kind(make_human, tuple(motions.STYLES), motions.human_motion, human.build, describe_human),
    "biped": Kind(biped.make, biped.STYLES, biped.move, biped.build, describe_animal),
    "quadruped": Kind(quadruped.make, quadruped.STYLES, quadruped.move, quadruped.build, describe_animal),
    "bird": Kind(bird.make, bird.STYLES, bird.move, bird.build, describe_animal),
    "fish": Kind(
        swimmers.make_fish, swimmers.FISH_STYLES, swimmers.move_fish, swimmers.build_fish, describe_animal
    ),
    "snake": Kind(
        swimmers.make_snake, swimmers.SNAKE_STYLES, swimmers.move_snake, swimmers.build_snake, describe_animal
    ),
    "jointed": Kind(jointed.make, jointed.STYLES, jointed.move, jointed.build, describe_animal),
}
KINDS = tuple(_KINDS)


def kind_of(name: str) -> Kind:
    """The kind of that name.

    Raises:
        InputError: there is none.
    """
    if name not in _KINDS:
        raise InputError(f"character kind is {name!r}; it must be one of {', '.join(KINDS)}")
    return _KINDS[name]
