"""From Krita's document to the server and back."""

import os
import struct
import tempfile
import zlib

from krita import InfoObject

from .strdiffusion_request import Refused, fill


def gray_png(width, height, pixels):
    """A PNG of one byte a pixel, row by row."""

    def chunk(kind, data):
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    rows = b"".join(b"\0" + pixels[y * width : (y + 1) * width] for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def photo_of(document, path):
    """The bytes of a PNG of what is seen, by way of a file, which is how Krita writes."""
    copy = document.clone()
    copy.setBatchmode(True)  # no questions
    written = copy.exportImage(path, InfoObject())
    copy.close()
    if not written:
        raise Refused("Krita cannot write this document as PNG.")
    with open(path, "rb") as file:
        return file.read()


def layer_of(krita, document, path):
    """A layer with a picture's pixels, in the document's own colours."""
    picture = krita.openDocument(path)
    picture.setBatchmode(True)
    picture.setColorSpace(document.colorModel(), document.colorDepth(), document.colorProfile())
    picture.waitForDone()
    place = (0, 0, document.width(), document.height())
    layer = document.createNode("Filled", "paintlayer")
    layer.setPixelData(picture.rootNode().projectionPixelData(*place), *place)
    picture.close()
    return layer


def fill_selection(krita, document, seed=0, **where):
    """Puts the filled selection on top of the document. Raises `Refused`."""
    selection = document.selection() if document else None
    if selection is None:
        raise Refused("Select what should go first.")
    place = (0, 0, document.width(), document.height())
    selected = selection.pixelData(*place)
    mask = gray_png(*place[2:], bytes(selected))
    with tempfile.TemporaryDirectory() as folder:
        photo = photo_of(document, os.path.join(folder, "photo.png"))
        path = os.path.join(folder, "filled.png")
        with open(path, "wb") as file:
            file.write(fill(photo, mask, seed, **where))
        layer = layer_of(krita, document, path)
    hole = document.createNode("Selection", "transparencymask")
    document.rootNode().addChildNode(layer, None)
    layer.addChildNode(hole, None)
    hole.setPixelData(selected, *place)
    document.refreshProjection()
