"""Words for a character, its motion and its place, from a small vocabulary."""

import re

from jaxanim.puppets import background
from jaxanim.puppets.animal_parts import Animal
from jaxanim.puppets.identity import BOTTOMS, HAIR_COLORS, HATS, Human, Look
from jaxanim.puppets.textures import COLORS, PATTERNS

ACTIONS = {
    "walk": "walks",
    "wave": "waves",
    "dance": "dances",
    "disco": "dances disco",
    "robot": "dances like a robot",
    "jump": "jumps",
    "jacks": "does jumping jacks",
    "crouch": "crouches",
    "turn": "turns around",
    "idle": "stands",
    "stretch": "stretches",
    "trot": "trots",
    "gallop": "gallops",
    "play": "plays",
    "hop": "hops",
    "roar": "roars",
    "fly": "flies",
    "glide": "glides",
    "hover": "hovers",
    "peck": "pecks",
    "swim": "swims",
    "dart": "darts",
    "float": "floats",
    "slither": "slithers",
    "rear": "rears up",
    "sway": "sways",
    "look": "looks around",
    "nod": "nods",
    "reach": "reaches out",
}
_PEOPLE = "woman man girl boy"
_FRAME = "a an with hair in and shoes glasses beard bald head bun ponytail printed moves"
_SPECIES = "dinosaur dragon kangaroo dog cat fox horse cow bird parrot duck fish goldfish shark snake cobra"
_OBJECTS = "lamp robot arm"
_COATS = "plain spotted striped patched scaled"
_TOPS = {"shirt": "shirt", "sweater": "sweater", "vest": "vest", "dress": "dress", "jacket": "jacket"}
_HAIR = {"short": "short", "bob": "chin-length", "long": "long", "curly": "curly", "spiky": "spiky"}


def describe_human(human: Human) -> str:
    """A human in words: hair, garments, shoes and what else stands out."""
    look = human.look
    return f"a {look.person} with {_hair(look)} in {_clothes(look)}{_extras(look)}"


def _hair(look: Look) -> str:
    if look.hair_style == "bald":
        return "a bald head"
    if look.hair_style in _HAIR:
        return f"{_HAIR[look.hair_style]} {look.hair_name} hair"
    return f"{look.hair_name} hair in a {look.hair_style}"


def _pattern(pattern: str) -> str:
    return {"plain": "", "logo": "printed "}.get(pattern, f"{pattern} ")


def _clothes(look: Look) -> str:
    top = f"a {_pattern(look.top.pattern)}{look.top.color_name} {_TOPS[look.top.name]}"
    shoes = f"{look.shoe_name} shoes"
    if look.top.name == "dress":
        return f"{top} and {shoes}"
    article = "a " if look.bottom.name == "skirt" else ""
    bottom = f"{article}{_pattern(look.bottom.pattern)}{look.bottom.color_name} {look.bottom.name}"
    return f"{top}, {bottom} and {shoes}"


def _extras(look: Look) -> str:
    extras = []
    if look.hat != "none":
        extras.append(f"a {look.hat}")
    if look.glasses:
        extras.append("glasses")
    if look.beard:
        extras.append("a beard")
    return f" with {' and '.join(extras)}" if extras else ""


def describe_animal(animal: Animal) -> str:
    """An animal or object in words: its colour, its coat and what it is."""
    coat = "" if animal.coat == "plain" else f"{animal.coat} "
    return f"a {coat}{animal.color_name} {animal.species}"


def prompt_for(description: str, motion_name: str, scene: str) -> str:
    """The whole sentence: who, what, where. Unknown (captured) motions just move."""
    sentence = f"{description} {ACTIONS.get(motion_name, 'moves')} {background.SCENES[scene][0]}"
    return re.sub(r"\ba (?=[aeiou])", "an ", sentence)


def subject_of(prompt: str) -> str:
    """The words of a puppet's prompt for who moves, such as "woman" or "robot arm"."""
    names = (*_PEOPLE.split(), "lamp", "robot arm", *_SPECIES.split())
    return next(name for name in names if re.search(rf"\b{name}\b", prompt))


def vocabulary() -> tuple[str, ...]:
    """Every word that a prompt can hold, sorted."""
    garments = [*_HAIR.values(), *_TOPS.values(), *BOTTOMS, *HATS, *PATTERNS]
    places = [place for place, _ in background.SCENES.values()]
    words = [*COLORS, *HAIR_COLORS, *garments, *ACTIONS.values(), *places]
    words += [_SPECIES, _OBJECTS, _COATS, _PEOPLE, _FRAME]
    return tuple(sorted(set(re.findall(r"[a-z][a-z-]*", " ".join(words))) - {"none"}))
