"""The holes that compare_detail.py cuts: objects, scratches, text and irregular strokes.

All shapes are drawn in shares of the picture, so that one seed gives the same hole at every size.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WORDS = ["Sample", "PROOF 2041", "do not copy", "Gallery No. 7", "17:42", "www", "Archive", "Reprint"]


def polygon_of_blob(rng):
    """A smooth closed shape around (0, 0), of radius about 1."""
    angle = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    radius = np.ones_like(angle)
    for wave in range(2, 7):
        radius += rng.normal(0, 0.3 / wave) * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    radius = np.maximum(radius, 0.3)
    stretch, turn = np.exp(rng.uniform(-0.4, 0.4)), rng.uniform(0, 2 * np.pi)
    x, y = radius * np.cos(angle) * stretch, radius * np.sin(angle) / stretch
    return np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], axis=1)


def objects(rng, size):
    """One or two blobs that together cover 5 to 25 % of the picture."""
    width, height = size
    share = rng.uniform(0.05, 0.25)
    blobs = [
        (polygon_of_blob(rng) * scale, rng.uniform(0.25, 0.75, 2))
        for scale in ([1.0] if rng.random() < 0.6 else [1.0, rng.uniform(0.4, 0.9)])
    ]

    def drawn(scale, size):
        image = Image.new("1", size)
        for shape, centre in blobs:
            # Shares of the geometric mean of the sides, so that shapes are not stretched.
            points = shape * scale * np.sqrt(size[0] * size[1]) + centre * size
            ImageDraw.Draw(image).polygon([tuple(point) for point in points], fill=1)
        return image

    # The scale is found at one size, so that it is the same for all.
    small = (256, max(round(256 * height / width), 1))
    low, high = 0.0, 1.5
    for _ in range(30):
        middle = (low + high) / 2
        covered = np.asarray(drawn(middle, small)).mean()
        low, high = (middle, high) if covered < share else (low, middle)
    return drawn(low, size)


def scratches(rng, size):
    """Three to eight thin long lines, nearly straight, as on an old print."""
    image = Image.new("1", size)
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(3, 9)):
        start = rng.uniform(0, 1, 2) * size / max(size)
        direction = rng.uniform(0, 2 * np.pi)
        length, bend = rng.uniform(0.5, 1.4), rng.normal(0, 0.6)
        thickness = rng.uniform(0.002, 0.006) * max(size)
        step = np.linspace(-0.5, 0.5, 60)
        heading = direction + bend * step
        path = start + np.cumsum(np.stack([np.cos(heading), np.sin(heading)], axis=1), axis=0) * (
            length / len(step)
        )
        path -= path[len(step) // 2] - start
        points = [tuple(point) for point in path * max(size)]
        draw.line(points, fill=1, width=max(round(thickness), 1), joint="curve")
    return image


def text(rng, size):
    """Lines of words across the picture, some of them turned; a hole is wider than its letter."""
    image = Image.new("1", size)
    for _ in range(rng.integers(3, 7)):
        line = " ".join(rng.choice(WORDS, rng.integers(1, 4)))
        height = max(rng.uniform(0.035, 0.1) * max(size), 8)
        font, outline = ImageFont.load_default(height), max(round(0.05 * height), 1)
        left, top, right, bottom = font.getbbox(line, stroke_width=outline)
        label = Image.new("L", (round(right - left) + 4, round(bottom - top) + 4))
        draw = ImageDraw.Draw(label)
        draw.text((2 - left, 2 - top), line, fill=255, font=font, stroke_width=outline)
        turn = rng.uniform(-25, 25) if rng.random() < 0.5 else 0
        label = label.rotate(turn, expand=True, resample=Image.Resampling.BICUBIC)
        place = rng.uniform(0.05, 0.7, 2) * size
        ink = label.point(lambda value: 255 if value >= 96 else 0).convert("1")
        image.paste(1, (int(place[0]), int(place[1])), ink)
    return image


def strokes(rng, size):
    """Wandering brush strokes until 10 to 30 % of the picture are covered."""
    share, longest = rng.uniform(0.1, 0.3), max(size)
    image = Image.new("1", size)
    draw = ImageDraw.Draw(image)
    # Whether it is enough is asked at one size, so that the strokes are the same for all.
    small = Image.new("1", (256, max(round(256 * size[1] / size[0]), 1)))
    while np.asarray(small).mean() < share:
        place, heading = rng.uniform(0, 1, 2) * size / longest, rng.uniform(0, 2 * np.pi)
        thickness, path = rng.uniform(0.02, 0.06), [place]
        for _ in range(rng.integers(4, 12)):
            heading += rng.normal(0, 0.9)
            place = place + rng.uniform(0.03, 0.12) * np.array([np.cos(heading), np.sin(heading)])
            path.append(place)
        for canvas, scale in [(draw, longest), (ImageDraw.Draw(small), max(small.size))]:
            points = [tuple(point * scale) for point in path]
            radius = max(thickness * scale / 2, 1)
            canvas.line(points, fill=1, width=max(round(2 * radius), 1), joint="curve")
            for x, y in points:
                canvas.ellipse([x - radius, y - radius, x + radius, y + radius], fill=1)
    return image


KINDS = {"objects": objects, "scratches": scratches, "text": text, "strokes": strokes}
