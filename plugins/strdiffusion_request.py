"""Asks a running `strdiffusion serve` to fill a hole; what the plug-ins of GIMP and Krita share."""

import json
import urllib.error
import urllib.request
import uuid

SERVER = "http://127.0.0.1:7860"


class Refused(Exception):
    """The server does not answer, or refuses; in one sentence for the person."""


def form(parts):
    """A multipart form's body and its kind.

    parts: file name, kind and bytes of each part, by the part's name.
    """
    boundary = uuid.uuid4().hex
    body = bytearray()
    for name, (file_name, kind, content) in parts.items():
        body += (
            f"--{boundary}\r\n"
            f'Content-Disposition: form-data; name="{name}"; filename="{file_name}"\r\n'
            f"Content-Type: {kind}\r\n\r\n"
        ).encode()
        body += content + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    return bytes(body), f"multipart/form-data; boundary={boundary}"


def fill(photo, mask, seed=0, server=SERVER, token=""):
    """The PNG of a photo with its hole filled.

    photo: bytes of the file. mask: bytes of a picture of its size, white = hole.
    token: what the server was started with, where it was. Raises `Refused`.
    """
    body, kind = form(
        {
            "image": ("photo.png", "image/png", photo),
            "mask": ("mask.png", "image/png", mask),
            "settings": ("settings.json", "application/json", json.dumps({"seed": seed}).encode()),
        }
    )
    headers = {"Content-Type": kind}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(f"{server.rstrip('/')}/v1/inpaint", body, headers)
    # A proxy is for the world outside; the server is on this machine or a near one.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request) as answer:
            return answer.read()
    except urllib.error.HTTPError as refusal:
        raise Refused(sentence(refusal)) from refusal
    except OSError as error:
        raise Refused(f"{server} does not answer ({error}). Start it with: strdiffusion serve") from error


def sentence(refusal):
    """What a refusal says."""
    try:
        return json.load(refusal)["error"]["message"]
    except (ValueError, LookupError, TypeError):
        return f"The server answered with an error that it did not explain ({refusal.code})."
