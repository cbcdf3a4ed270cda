"""Tests of the plug-ins: their requests, and Krita's in Krita. Run by scripts/plugin_tests.sh."""

import os
import shutil
import subprocess
import tempfile
import threading
import unittest
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from strdiffusion_request import Refused, fill

PLUGINS = Path(__file__).parent
SCENE = PLUGINS.parent / "examples" / "scene.png"
MASK = PLUGINS.parent / "examples" / "scene-mask.png"
# A server with the default model.
URL = os.environ["STRDIFFUSION_URL"]


class Recorder(BaseHTTPRequestHandler):
    """Keeps what it was sent and refuses it with the text of `refusal`."""

    refusal = b""
    seen = None

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        kind = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        Recorder.seen = (self.path, self.headers, message_from_bytes(kind + body))
        self.send_response(400)
        self.end_headers()
        self.wfile.write(self.refusal)

    def log_message(self, *_):
        pass


class Requests(unittest.TestCase):
    def refused_with(self, text, **where):
        Recorder.refusal = text
        server = HTTPServer(("127.0.0.1", 0), Recorder)
        threading.Thread(target=server.handle_request).start()
        with self.assertRaises(Refused) as refused:
            fill(b"photo", b"mask", 7, f"http://127.0.0.1:{server.server_port}/", **where)
        server.server_close()
        return str(refused.exception)

    def test_a_request_holds_photo_mask_seed_and_token(self):
        self.refused_with(b"", token="sesame")
        path, headers, form = Recorder.seen
        self.assertEqual(path, "/v1/inpaint")
        self.assertEqual(headers["Authorization"], "Bearer sesame")
        parts = {
            part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
            for part in form.get_payload()
        }
        self.assertEqual(parts, {"image": b"photo", "mask": b"mask", "settings": b'{"seed": 7}'})

    def test_a_refusal_is_told_in_the_servers_words(self):
        told = self.refused_with(b'{"error": {"code": "no_hole", "message": "Nothing is white."}}')
        self.assertEqual(told, "Nothing is white.")
        for unexplained in (b"", b"[]", b"<html>"):
            self.assertIn("did not explain (400)", self.refused_with(unexplained))

    def test_a_server_that_is_not_there_is_said_not_to_answer(self):
        with self.assertRaisesRegex(Refused, "does not answer.*strdiffusion serve"):
            fill(b"", b"", server="http://127.0.0.1:9")

    def test_the_server_fills_what_it_is_sent(self):
        filled = fill(SCENE.read_bytes(), MASK.read_bytes(), 7, URL)
        self.assertTrue(filled.startswith(b"\x89PNG"))
        with self.assertRaisesRegex(Refused, "mask"):
            fill(SCENE.read_bytes(), b"no picture", 7, URL)


# Writes what is seen before and after.
IN_KRITA = """
import traceback
from krita import Krita, Selection
from strdiffusion_fill.fill_selection import fill_selection

def main(args):
    photo, folder, server = args
    try:
        document = Krita.instance().openDocument(photo)
        document.setBatchmode(True)
        see(document, folder + "/before")
        selection = Selection()
        selection.select(64, 42, 24, 16, 255)
        document.setSelection(selection)
        fill_selection(Krita.instance(), document, seed=7, server=server)
        document.waitForDone()
        see(document, folder + "/after")
    except BaseException:
        traceback.print_exc()

def see(document, path):
    with open(path, "wb") as file:
        file.write(document.pixelData(0, 0, 192, 128))
"""


@unittest.skipUnless(shutil.which("kritarunner"), "Krita was not found")
class InKrita(unittest.TestCase):
    def test_the_selection_is_filled_and_nothing_else_changes(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            shutil.copytree(PLUGINS / "krita" / "strdiffusion_fill", folder / "strdiffusion_fill")
            shutil.copy(PLUGINS / "strdiffusion_request.py", folder / "strdiffusion_fill")
            (folder / "in_krita.py").write_text(IN_KRITA)
            krita = shutil.which("kritarunner")
            # Its folder alone, so that Krita finds its own Python and not the one that runs this.
            environment = {"HOME": name, "PYTHONPATH": name, "PATH": str(Path(krita).parent)}
            environment["QT_QPA_PLATFORM"] = "offscreen"
            runner = [krita, "-s", "in_krita", "-f", "main", SCENE, name, URL]
            said = subprocess.run(runner, env=environment, capture_output=True, text=True, check=False)
            self.assertTrue((folder / "after").exists(), said.stderr)
            before, after = ((folder / time).read_bytes() for time in ("before", "after"))
        self.assertEqual([len(before), len(after)], [192 * 128 * 4] * 2)
        changed = {i // 4 for i in range(len(before)) if before[i] != after[i]}
        selected = {y * 192 + x for y in range(42, 58) for x in range(64, 88)}
        self.assertGreater(len(changed), len(selected) // 2)
        self.assertLessEqual(changed, selected)


if __name__ == "__main__":
    unittest.main()
