"""Krita: fills the selection with what surrounds it, as a layer on top. Nothing else is changed."""

from krita import Extension, Krita

from .fill_selection import fill_selection
from .strdiffusion_request import SERVER, Refused

SETTINGS = "strdiffusion"


class Fill(Extension):
    """The plug-in's entry in Tools > Scripts."""

    def setup(self):
        pass

    def createActions(self, window):
        action = window.createAction("strdiffusion_fill", "Fill selection (strdiffusion)", "tools/scripts")
        action.triggered.connect(self.fill)

    def fill(self):
        krita = Krita.instance()
        # Settings without a dialog: in kritarc, for those whose server is elsewhere.
        server = krita.readSetting(SETTINGS, "server", SERVER)
        token = krita.readSetting(SETTINGS, "token", "")
        try:
            fill_selection(krita, krita.activeDocument(), server=server, token=token)
        except Refused as refusal:
            say(str(refusal))


def say(sentence):
    """Tells the person in a window of its own."""
    try:
        from PyQt6.QtWidgets import QMessageBox  # Krita 6
    except ImportError:
        from PyQt5.QtWidgets import QMessageBox
    QMessageBox.warning(None, "strdiffusion", sentence)


Krita.instance().addExtension(Fill(Krita.instance()))
