"""The closed vocabulary of nano's captions, and a whole caption as one number (FORMAT.md, "Caption").

A caption that the encoder measured on a clip (``bases/nano/vocabulary.py``) is a choice of at most one word for each
of seven attributes: 34,559 sentences, two bytes. The lists are part of the format and of the model; they can never
change.
"""

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "brightness": ("dark", "dim", "bright"),
    "contrast": ("flat", "moderate", "contrasty"),
    "hue": ("gray", "red", "orange", "yellow", "green", "cyan", "blue", "purple"),
    "texture": ("smooth", "textured", "detailed"),
    "motion": ("still", "slow", "fast"),
    "direction": ("left", "right", "up", "down"),
    "zoom": ("in", "out"),
}
"""Words of each attribute; the order is part of the format, and of the model (it indexes the embedding table)."""

_PREFIXES = {"direction": "moving ", "zoom": "zooming "}


def sentence(words: dict[str, str]) -> str:
    """The caption that says ``words`` (attribute to word), in the order of `ATTRIBUTES`.

    Example:
        >>> sentence({"direction": "left", "hue": "red"})
        'red, moving left'
    """
    return ", ".join(_PREFIXES.get(name, "") + words[name] for name in ATTRIBUTES if name in words)


def number_of(caption: str) -> int | None:
    """Number of a caption of exactly the form that `sentence` gives; None for any other text, also the empty one.

    Mixed radix, first attribute first: its digit is 0 where it is not said, else the place of its word, from 1.

    Example:
        >>> number_of("dark, flat, gray, smooth, still"), number_of("A dark clip")
        (741, None)
    """
    digit_of = {
        _PREFIXES.get(name, "") + word: (name, digit)
        for name, words in ATTRIBUTES.items()
        for digit, word in enumerate(words, 1)
    }
    digits = dict(digit_of[part] for part in caption.split(", ") if part in digit_of)
    number, radix = 0, 1
    for name, words in ATTRIBUTES.items():
        number += digits.get(name, 0) * radix
        radix *= 1 + len(words)
    return number if number and caption_of(number) == caption else None


def caption_of(number: int) -> str | None:
    """The caption behind a number; None if there is none.

    Example:
        >>> caption_of(741)
        'dark, flat, gray, smooth, still'
    """
    found = {}
    for name, words in ATTRIBUTES.items():
        number, digit = divmod(number, 1 + len(words))
        if digit:
            found[name] = words[digit - 1]
    return None if number else sentence(found)
