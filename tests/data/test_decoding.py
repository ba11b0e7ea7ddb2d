"""Every sort of picture comes out upright, over white and RGB; broken ones say why."""

import io

import numpy as np
import pytest
from PIL import Image

from runner.data.decoding import Unreadable, decode

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
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # red ink

    red, green, blue = pixel(decode(encoded(image, "JPEG", quality=95)), 4, 4)

    assert red > 200
    assert max(green, blue) < 60


def test_grey_and_one_bit_become_rgb():
    assert pixel(decode(encoded(Image.new("L", (4, 4), 77), "PNG")), 0, 0) == (77, 77, 77)
    assert pixel(decode(encoded(Image.new("1", (4, 4), 1), "PNG")), 0, 0) == (255, 255, 255)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_16_bits_are_scaled_to_8(form):
    values = np.array([[0, 257 * 100], [257 * 200, 65535]], dtype=np.uint16)

    decoded = decode(encoded(Image.fromarray(values), form))

    assert np.asarray(decoded)[:, :, 0].tolist() == [[0, 100], [200, 255]]


def test_floats_in_0_to_1_are_scaled_to_8_bits():
    image = Image.fromarray(np.array([[0.0, 1.0]], dtype=np.float32))

    assert np.asarray(decode(encoded(image, "TIFF")))[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_animation_gives_its_first_frame(form):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]

    decoded = decode(encoded(frames[0], form, save_all=True, append_images=frames[1:]))

    assert pixel(decoded, 2, 2)[0] > 240
    assert pixel(decoded, 2, 2)[2] < 15


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_file_cut_short_is_unreadable(form):
    random = np.random.default_rng(0)
    image = Image.fromarray(random.integers(0, 256, (60, 60, 3), dtype=np.uint8))
    whole = encoded(image, form)

    with pytest.raises(Unreadable):
        decode(whole[: len(whole) * 6 // 10])


def test_jpeg_cut_short_is_noticed_at_reduced_size_too():
    random = np.random.default_rng(0)
    image = Image.fromarray(random.integers(0, 256, (600, 600, 3), dtype=np.uint8))
    whole = encoded(image, "JPEG")

    with pytest.raises(Unreadable, match="truncated"):
        decode(whole[: len(whole) * 9 // 10], enough=16)


def test_empty_and_foreign_bytes_are_unreadable_with_the_reason():
    with pytest.raises(Unreadable, match="the file is empty"):
        decode(b"")
    with pytest.raises(Unreadable, match="not an image that Pillow knows"):
        decode(b"<html>404</html>")


def test_decompression_bomb_is_unreadable_before_it_is_decoded(monkeypatch):
    bomb = encoded(Image.new("1", (400, 400)), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)

    with pytest.warns(Image.DecompressionBombWarning), pytest.raises(Unreadable) as caught:
        decode(bomb)

    assert str(caught.value) == (
        "a decompression bomb: 160000 pixels, the limit is 100000 (Pillow's)"
    )


def test_large_jpeg_is_decoded_smaller_but_never_below_twice_what_is_enough():
    whole = encoded(Image.new("RGB", (1600, 1200), "green"), "JPEG")

    assert decode(whole).size == (1600, 1200)
    assert decode(whole, enough=100).size == (400, 300)
    assert decode(whole, enough=160).size == (800, 600)
