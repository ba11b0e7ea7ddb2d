"""Small data of the kinds that the pages in docs/ show, so that their experiments can be run.

Drawn or put together from a few words, the same every time, and easy to learn.
"""

import csv
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image, ImageDraw

SIDE = 96
_FRUIT = {"ripe": (200, 40, 40), "rotten": (90, 60, 30), "unripe": (80, 170, 60)}
_SHELF = {"apple": (200, 40, 40), "banana": (240, 210, 60), "pear": (120, 180, 60)}
_OPENINGS = ("Hello,", "Good morning,", "Dear all,", "Hi,", "Once again:", "To whom it concerns:")
_THINGS = ("kettle", "lamp", "chair", "radio", "jacket", "drill", "phone", "bicycle", "mirror")
_MESSAGES = {
    "complaint": ("the {} broke after a day", "the {} is useless", "I am angry about the {}"),
    "praise": ("the {} is wonderful", "I love the {}", "thank you for the lovely {}"),
    "question": (
        "how long is the guarantee of the {}?",
        "is the {} sold in red?",
        "where is my {}?",
    ),
}
_TOPICS = {
    "billing": "I was charged twice for the {}",
    "damage": "the {} arrived in pieces",
    "delivery": "the {} came a week late",
}
_STARS = (
    (1.0, "the {} is terrible, avoid it"),
    (2.0, "the {} is rather poor"),
    (3.0, "the {} is neither good nor bad"),
    (4.0, "the {} is good"),
    (5.0, "the {} is perfect, I love it"),
)
_PEOPLE = ("Maria Garcia", "Wei Chen", "John Smith", "Amina Diallo", "Lars Holm", "Eva Novak")
_PLACES = ("Berlin", "Lagos", "New York", "Osaka", "Lima", "Rome", "Cape Town", "Oslo")
_SENTENCES = (
    "{person} lives in {place} .",
    "Yesterday {person} flew from {place} home .",
    "The office in {place} is closed .",
    "Ask {person} about it .",
    "Nobody answered the letter .",
)


def write_docs_data(folder: Path) -> None:
    """Writes what the task pages' experiments read into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    _fruit(folder / "fruit")
    _shelves(folder)
    _gauges(folder)
    _table(folder / "messages.csv", ("text", "label"), _messages(240))
    _table(folder / "tickets.csv", ("text", "topics"), _tickets(240))
    _table(folder / "reviews.csv", ("text", "stars"), _reviews(240))
    (folder / "people.conll").write_text("\n".join(_tagged(240)), encoding="utf-8")


def _table(path: Path, header: Sequence[str], rows: Iterator[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def _canvas(rng: random.Random) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    grey = rng.randint(180, 240)
    image = Image.new("RGB", (SIDE + rng.randint(0, 32), SIDE), (grey, grey, grey))
    return image, ImageDraw.Draw(image)


def _blob(draw: ImageDraw.ImageDraw, rng: random.Random, left: int, colour: Sequence[int]) -> None:
    size, top = rng.randint(24, 34), rng.randint(8, 50)
    shade = tuple(max(0, min(255, value + rng.randint(-20, 20))) for value in colour)
    draw.ellipse((left, top, left + size, top + size), fill=shade)


def _fruit(folder: Path, *, count: int = 20) -> None:
    rng = random.Random(0)
    for name, colour in _FRUIT.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            image, draw = _canvas(rng)
            _blob(draw, rng, rng.randint(8, 50), colour)
            image.save(folder / name / f"{index:02d}.jpg")


def _shelves(folder: Path, *, count: int = 64) -> None:
    rng = random.Random(1)
    (folder / "shelves").mkdir(exist_ok=True)
    rows = []
    for index in range(count):
        held = [name for name in _SHELF if rng.random() < 0.5]
        image, draw = _canvas(rng)
        for place, name in enumerate(_SHELF):
            if name in held:
                _blob(draw, rng, 2 + 32 * place, _SHELF[name])
        image.save(folder / "shelves" / f"{index:02d}.jpg")
        rows.append((f"shelves/{index:02d}.jpg", "|".join(held)))
    _table(folder / "shelves.csv", ("path", "fruit"), iter(rows))


def _gauges(folder: Path, *, count: int = 64) -> None:
    rng = random.Random(2)
    (folder / "tanks").mkdir(exist_ok=True)
    rows = []
    for index in range(count):
        litres = round(rng.uniform(0, 50), 1)
        image, draw = _canvas(rng)
        draw.rectangle((20, 10, 76, 88), outline=(40, 40, 40), width=3)
        draw.rectangle((23, 85 - round(litres / 50 * 72), 73, 85), fill=(60, 110, 190))
        image.save(folder / "tanks" / f"{index:02d}.jpg")
        rows.append((f"tanks/{index:02d}.jpg", litres))
    _table(folder / "tanks.csv", ("path", "litres"), iter(rows))


def _sentence(rng: random.Random, forms: Sequence[str]) -> str:
    return f"{rng.choice(_OPENINGS)} {rng.choice(forms).format(rng.choice(_THINGS))}"


def _messages(count: int) -> Iterator[tuple[str, str]]:
    rng = random.Random(3)
    for index in range(count):
        label = sorted(_MESSAGES)[index % len(_MESSAGES)]
        yield f"{_sentence(rng, _MESSAGES[label])} (case {index})", label


def _tickets(count: int) -> Iterator[tuple[str, str]]:
    rng = random.Random(4)
    for index in range(count):
        topics = [name for name in _TOPICS if rng.random() < 0.5]
        said = [_TOPICS[name].format(rng.choice(_THINGS)) for name in topics]
        text = " and ".join(said) or f"a word about the {rng.choice(_THINGS)}"
        yield f"{rng.choice(_OPENINGS)} {text} (case {index})", "|".join(topics)


def _reviews(count: int) -> Iterator[tuple[str, float]]:
    rng = random.Random(5)
    for index in range(count):
        stars, form = rng.choice(_STARS)
        yield f"{_sentence(rng, (form,))} (review {index})", stars


def _tagged(count: int) -> Iterator[str]:
    rng = random.Random(6)
    for _ in range(count):
        names = {"person": rng.choice(_PEOPLE), "place": rng.choice(_PLACES)}
        for word in rng.choice(_SENTENCES).split():
            kind = {"{person}": "PER", "{place}": "LOC"}.get(word, "O")
            for position, part in enumerate(names.get(word.strip("{}"), word).split()):
                tag = "O" if kind == "O" else f"{'I' if position else 'B'}-{kind}"
                yield f"{part}\t{tag}"
        yield ""
