"""Every sort of picture comes out upright, over white and RGB; broken ones say why."""

import io
import struct
import threading
import time
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, PngImagePlugin

from runner.data import decoding
from runner.data.decoding import FORMATS, Unreadable, decode
from runner.data.folder import IMAGE_SUFFIXES
from runner.data.turns import Turns

ORIENTATION = 0x0112  # EXIF


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def pixel(image: Image.Image, x: int, y: int) -> tuple[int, int, int]:
    assert image.mode == "RGB"
    return image.getpixel((x, y))


def test_exif_orientation_turns_the_picture():
    image = Image.new("RGB", (40, 20), "black")
    image.paste("white", (0, 0, 20, 20))  # left half
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # the camera was turned: the left side belongs on top

    upright = decode(encoded(image, "JPEG", exif=exif, quality=95))

    assert upright.size == (20, 40)
    assert min(pixel(upright, 10, 5)) > 250
    assert max(pixel(upright, 10, 35)) < 5


def test_damaged_exif_is_no_reason_to_lose_the_picture():
    image = encoded(Image.new("RGB", (8, 8), "red"), "JPEG", exif=b"Exif\0\0" + b"\xff" * 40)

    assert decode(image).size == (8, 8)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_over_white(mode):
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0)).convert(mode)

    assert pixel(decode(encoded(image, "PNG")), 0, 0) == (255, 255, 255)


def test_palette_with_a_transparent_colour_is_laid_over_white():
    image = Image.new("P", (4, 4), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.putpixel((1, 1), 1)

    decoded = decode(encoded(image, "PNG", transparency=0))

    assert pixel(decoded, 0, 0) == (255, 255, 255)
    assert pixel(decoded, 1, 1) == (255, 0, 0)


def test_transparent_colour_of_an_rgb_png_is_laid_over_white():
    image = Image.new("RGB", (4, 4), (0, 0, 255))

    assert pixel(decode(encoded(image, "PNG", transparency=(0, 0, 255))), 0, 0) == (255,) * 3


def test_cmyk_becomes_rgb():
    """Fails where other modes than RGB are left as they are."""
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # red ink

    red, green, blue = pixel(decode(encoded(image, "JPEG", quality=95)), 4, 4)

    assert red > 200
    assert max(green, blue) < 60


def test_grey_and_one_bit_become_rgb():
    """Fails where other modes than RGB are left as they are."""
    assert pixel(decode(encoded(Image.new("L", (4, 4), 77), "PNG")), 0, 0) == (77, 77, 77)
    assert pixel(decode(encoded(Image.new("1", (4, 4), 1), "PNG")), 0, 0) == (255, 255, 255)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_16_bits_are_scaled_to_8(form):
    """Fails where Pillow makes RGB of it (`_to_8_bits`)."""
    values = np.array([[0, 257 * 100], [257 * 200, 65535]], dtype=np.uint16)

    decoded = decode(encoded(Image.fromarray(values), form))

    assert np.asarray(decoded)[:, :, 0].tolist() == [[0, 100], [200, 255]]


def test_floats_in_0_to_1_are_scaled_to_8_bits():
    image = Image.fromarray(np.array([[0.0, 1.0]], dtype=np.float32))

    assert np.asarray(decode(encoded(image, "TIFF")))[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_animation_gives_its_first_frame(form):
    """Fails where the last frame is sought."""
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]

    decoded = decode(encoded(frames[0], form, save_all=True, append_images=frames[1:]))

    assert pixel(decoded, 2, 2)[0] > 240
    assert pixel(decoded, 2, 2)[2] < 15


@pytest.mark.parametrize(
    "form", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000", "AVIF", "PPM", "TGA"]
)
def test_file_cut_short_is_unreadable(form):
    """Fails where Pillow's errors are let through as they are."""
    random = np.random.default_rng(0)
    image = Image.fromarray(random.integers(0, 256, (60, 60, 3), dtype=np.uint8))
    whole = encoded(image, form)

    with pytest.raises(Unreadable):
        decode(whole[: len(whole) * 6 // 10])


def test_jpeg_cut_short_is_noticed_at_reduced_size_too():
    """Fails where Pillow's errors are let through as they are."""
    random = np.random.default_rng(0)
    image = Image.fromarray(random.integers(0, 256, (600, 600, 3), dtype=np.uint8))
    whole = encoded(image, "JPEG")

    with pytest.raises(Unreadable, match="truncated"):
        decode(whole[: len(whole) * 9 // 10], enough=16)


def test_empty_and_foreign_bytes_are_unreadable_with_the_reason():
    """Fails where no bytes at all are not looked for."""
    with pytest.raises(Unreadable, match="the file is empty"):
        decode(b"")
    with pytest.raises(Unreadable, match="not an image, or of none of the formats read"):
        decode(b"<html>404</html>")


@pytest.fixture
def decoded_pixels(monkeypatch) -> list[int]:
    """The pixels of each image whose content was decoded."""
    counts: list[int] = []
    load = PngImagePlugin.PngImageFile.load

    def counting(image):
        counts.append(image.width * image.height)
        return load(image)

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", counting)
    return counts


def test_decompression_bomb_is_unreadable_before_it_is_decoded(monkeypatch, decoded_pixels):
    """Fails without `_refuse_bomb`."""
    bomb = encoded(Image.new("1", (400, 400)), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)

    with pytest.raises(Unreadable) as caught:
        decode(bomb)

    assert str(caught.value) == (
        "a decompression bomb, or a large photo: 0.16 megapixels, and the limit is 0.1. Scale it "
        "down, or raise data.max_megapixels"
    )
    assert decoded_pixels == []


def test_bomb_of_more_than_twice_pillows_limit_is_unreadable_too(monkeypatch, decoded_pixels):
    """Fails where Pillow's own error for a bomb is like any other."""
    bomb = encoded(Image.new("1", (500, 500)), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)

    with pytest.raises(Unreadable) as caught:
        decode(bomb, max_pixels=10**9)

    assert str(caught.value).startswith(
        "a decompression bomb, or a photo too large to be read: Image size (250000 pixels)"
    )
    assert str(caught.value).endswith(" Scale it down")
    assert decoded_pixels == []


def test_real_bomb_of_a_few_kilobytes_takes_no_memory():
    """A PNG of a hundred thousand pixels a side, all of them black.

    Fails where Pillow's own error for a bomb is like any other.
    """
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 1, 0, 0, 0, 0)
    bomb = png(header, b"\0" * 10**6)
    Image.init()

    tracemalloc.start()
    try:
        with pytest.raises(Unreadable, match="a decompression bomb"):
            decode(bomb)
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()


def test_more_pixels_than_pillows_limit_are_read_where_they_are_allowed(monkeypatch):
    photo = encoded(Image.new("RGB", (400, 400), "red"), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)

    assert decode(photo, max_pixels=160_000).size == (400, 400)
    with pytest.raises(Unreadable, match=r"0\.16 megapixels, and the limit is 0\.16\. Scale"):
        decode(photo, max_pixels=159_999)


def png(header: bytes, rows: bytes) -> bytes:
    """A PNG file of this header and these filtered rows."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    data = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


def tiff(values: np.ndarray, order: str) -> bytes:
    """An uncompressed TIFF file of 16 bits a channel: [H, W] grey or [H, W, 3] RGB.

    Args:
        order: "<" little-endian, ">" big-endian.
    """
    channels = 1 if values.ndim == 2 else 3
    pixels = values.astype(f"{order}u2").tobytes()
    bits_at = 8 + 2 + 8 * 12 + 4
    data_at = bits_at + 2 * channels
    bits = 16 if channels == 1 else bits_at
    entries = [
        (256, 3, 1, values.shape[1]),
        (257, 3, 1, values.shape[0]),
        (258, 3, channels, bits),
        (259, 3, 1, 1),
        (262, 3, 1, 1 if channels == 1 else 2),
        (273, 4, 1, data_at),
        (277, 3, 1, channels),
        (279, 4, 1, len(pixels)),
    ]
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HI", 42, 8)
    directory = struct.pack(f"{order}H", len(entries))
    for tag, kind, count, value in entries:
        # A short alone stands at the beginning of its four bytes.
        packed = f"{order}HHI" + ("HH" if kind == 3 and count == 1 else "I")
        rest = (value, 0) if kind == 3 and count == 1 else (value,)
        directory += struct.pack(packed, tag, kind, count, *rest)
    depths = struct.pack(f"{order}{channels}H", *[16] * channels)
    return head + directory + struct.pack(f"{order}I", 0) + depths + pixels


DEEP = np.array([[0, 257 * 100], [257 * 200, 65535]], dtype=np.uint16)


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bits_of_either_byte_order_are_scaled_to_8(order):
    """Fails where Pillow makes RGB of it (`_to_8_bits`)."""
    decoded = decode(tiff(DEEP, order))

    assert np.asarray(decoded)[:, :, 0].tolist() == [[0, 100], [200, 255]]


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bits_of_rgb_in_a_tiff_are_scaled_to_8(order):
    colours = np.stack([DEEP, DEEP[::-1], DEEP[:, ::-1]], axis=2)

    decoded = np.asarray(decode(tiff(colours, order)))

    assert (decoded == colours // 257).all()


def test_16_bits_of_rgb_in_a_png_are_scaled_to_8():
    colours = np.stack([DEEP, DEEP[::-1], DEEP[:, ::-1]], axis=2)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in colours)

    decoded = decode(png(struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0), rows))

    assert (np.asarray(decoded) == colours // 257).all()


def test_transparent_value_of_a_16_bit_png_is_white():
    values = np.array([[0, 257 * 100], [257 * 200, 257 * 100]], dtype=np.uint16)
    image = encoded(Image.fromarray(values), "PNG", transparency=257 * 100)

    assert np.asarray(decode(image))[:, :, 1].tolist() == [[0, 255], [200, 255]]


def test_deep_image_of_many_strips_is_that_of_one(monkeypatch):
    random = np.random.default_rng(0)
    values = random.integers(0, 65536, (70, 33), dtype=np.uint16)
    whole = [decode(encoded(Image.fromarray(each), "TIFF")) for each in deep_images(values)]
    monkeypatch.setattr(decoding, "_STRIP", 100)

    for image, deep in zip(whole, deep_images(values), strict=True):
        assert np.asarray(decode(encoded(Image.fromarray(deep), "TIFF"))).tobytes() == (
            np.asarray(image).tobytes()
        )


def deep_images(values: np.ndarray) -> list[np.ndarray]:
    """16 bits, 32 bits, fractions with one that is no number, floats beyond 1."""
    fractions = values.astype(np.float32) / 65535
    fractions[3, 4] = np.nan
    return [values, values.astype(np.int32), fractions, values.astype(np.float32) / 300]


def test_deep_image_is_scaled_in_little_memory():
    """As float64 the whole would take 96 MB, three times over."""
    image = encoded(Image.fromarray(np.zeros((3000, 4000), np.uint16)), "TIFF")

    tracemalloc.start()
    try:
        decode(image)
        assert tracemalloc.get_traced_memory()[1] < 200e6
    finally:
        tracemalloc.stop()


def test_tiff_of_several_pages_gives_the_first():
    """Fails where the last page is sought."""
    pages = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]

    decoded = decode(encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:]))

    assert pixel(decoded, 2, 2) == (255, 0, 0)


@pytest.mark.parametrize(
    "form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "TGA"]
)
def test_every_format_that_folders_take_is_read(form):
    assert form in FORMATS
    assert decode(encoded(Image.new("RGB", (32, 24), "red"), form)).size == (32, 24)


def test_format_of_a_plugin_is_read_where_it_is_registered(monkeypatch):
    Image.init()
    encoded_image = encoded(Image.new("RGB", (32, 24), "red"), "PNG")
    opener = Image.OPEN["PNG"]
    monkeypatch.delitem(Image.OPEN, "PNG")
    with pytest.raises(Unreadable, match="not an image, or of none of the formats read"):
        decode(encoded_image)
    monkeypatch.setitem(Image.OPEN, "HEIF", opener)

    assert decode(encoded_image).size == (32, 24)


def test_formats_are_those_of_the_endings_that_folders_take():
    Image.init()
    plugins = {".heic": "HEIF", ".heif": "HEIF", ".jxl": "JXL"}
    promised = {
        plugins.get(ending) or Image.registered_extensions()[ending] for ending in IMAGE_SUFFIXES
    }

    assert promised == set(FORMATS)


@pytest.mark.parametrize("form", ["EPS", "ICO", "PCX", "SGI", "DDS", "SPIDER", "MSP", "PDF"])
def test_other_formats_are_not_read_whatever_their_name(form, monkeypatch):
    """Each of them Pillow itself would open, or start a program for.

    Fails where Pillow may choose the format (`formats`), but for PDF, which it only writes.
    """
    started: list[object] = []
    monkeypatch.setattr(EpsImagePlugin, "has_ghostscript", lambda: started.append("asked") or True)
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: started.append("started"))
    mode = {"SPIDER": "F", "MSP": "1"}.get(form, "RGB")
    image = encoded(Image.new(mode, (32, 32)), form)

    with pytest.raises(Unreadable, match="not an image, or of none of the formats read"):
        decode(image)
    with pytest.raises(Unreadable, match="not an image, or of none of the formats read"):
        decode(image, enough=8)
    assert started == []


def test_threads_decode_no_more_at_once_than_memory_may_hold(monkeypatch):
    monkeypatch.setattr(decoding, "_TURNS", Turns(25_000))
    photo = encoded(Image.new("RGB", (100, 100), "red"), "PNG")
    inside, most = 0, 0
    lock = threading.Lock()
    as_rgb = decoding._as_rgb

    def watched(image):
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.02)
        with lock:
            inside -= 1
        return as_rgb(image)

    monkeypatch.setattr(decoding, "_as_rgb", watched)
    with ThreadPoolExecutor(8) as pool:
        assert {image.size for image in pool.map(decode, [photo] * 16)} == {(100, 100)}
    assert most == 2


def test_large_jpeg_is_decoded_smaller_but_never_below_twice_what_is_enough():
    whole = encoded(Image.new("RGB", (1600, 1200), "green"), "JPEG")

    assert decode(whole).size == (1600, 1200)
    assert decode(whole, enough=100).size == (400, 300)
    assert decode(whole, enough=160).size == (800, 600)
