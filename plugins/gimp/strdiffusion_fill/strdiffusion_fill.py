#!/usr/bin/env python3
"""GIMP 3: fills the selection with what surrounds it, as a layer on top. Nothing else is changed."""

import os
import sys
import tempfile

import gi

gi.require_version("Gimp", "3.0")
gi.require_version("GimpUi", "3.0")
from gi.repository import Gimp, GimpUi, Gio, GLib, GObject  # noqa: E402

from strdiffusion_request import SERVER, Refused, fill  # noqa: E402

PROCEDURE = "strdiffusion-fill"
LARGEST_SEED = 2**31 - 1


def png_of(image, path):
    """The bytes of a flat image, by way of a file, which is how GIMP writes."""
    Gimp.file_save(Gimp.RunMode.NONINTERACTIVE, image, Gio.File.new_for_path(path), None)
    with open(path, "rb") as file:
        return file.read()


def flat_copy(image):
    """A copy of what is seen, and its only layer. The selection is copied with it."""
    copy = image.duplicate()
    return copy, copy.flatten()


def photo_and_mask(image, folder):
    """What is seen and what is selected, as PNG: the selection white."""
    copy, _ = flat_copy(image)
    photo = png_of(copy, os.path.join(folder, "photo.png"))
    copy.delete()
    copy, layer = flat_copy(image)
    layer.fill(Gimp.FillType.WHITE)  # all of it, whatever is selected
    layer.invert(False)  # only what is selected: black
    Gimp.Selection.none(copy)
    layer.invert(False)
    mask = png_of(copy, os.path.join(folder, "mask.png"))
    copy.delete()
    return photo, mask


def fill_selection(image, server, token, seed):
    """Puts the filled selection on top of the image, as one step of undo."""
    with tempfile.TemporaryDirectory() as folder:
        photo, mask = photo_and_mask(image, folder)
        path = os.path.join(folder, "filled.png")
        with open(path, "wb") as file:
            file.write(fill(photo, mask, seed, server, token))
        image.undo_group_start()
        layer = Gimp.file_load_layer(
            Gimp.RunMode.NONINTERACTIVE, image, Gio.File.new_for_path(path)
        )
        layer.set_name("Filled")
        image.insert_layer(layer, None, 0)
        layer.add_mask(layer.create_mask(Gimp.AddMaskType.SELECTION))
        image.undo_group_end()
    Gimp.displays_flush()


class Fill(Gimp.PlugIn):
    """The plug-in, as GIMP asks it what it is."""

    def do_query_procedures(self):
        return [PROCEDURE]

    def do_create_procedure(self, name):
        procedure = Gimp.ImageProcedure.new(self, name, Gimp.PDBProcType.PLUGIN, self.run, None)
        procedure.set_image_types("RGB*, GRAY*")
        procedure.set_menu_label("_Fill selection (strdiffusion)…")
        procedure.add_menu_path("<Image>/Filters/Enhance")
        procedure.set_documentation("Fill the selection with what surrounds it", None, name)
        procedure.set_attribution("strdiffusion", "strdiffusion", "2026")
        flags = GObject.ParamFlags.READWRITE
        procedure.add_string_argument("server", "_Server", None, SERVER, flags)
        procedure.add_string_argument("token", "_Token", None, "", flags)
        procedure.add_int_argument("seed", "S_eed", None, 0, LARGEST_SEED, 0, flags)
        return procedure

    def run(self, procedure, run_mode, image, drawables, config, data):
        def end(status, message=None):
            error = GLib.Error(message) if message else None
            return procedure.new_return_values(status, error)

        if Gimp.Selection.is_empty(image):
            return end(Gimp.PDBStatusType.EXECUTION_ERROR, "Select what should go first.")
        if run_mode == Gimp.RunMode.INTERACTIVE:
            GimpUi.init(PROCEDURE)
            dialog = GimpUi.ProcedureDialog.new(procedure, config, "Fill selection")
            dialog.fill(None)
            agreed = dialog.run()
            dialog.destroy()
            if not agreed:
                return end(Gimp.PDBStatusType.CANCEL)
        try:
            fill_selection(image, *(config.get_property(name) for name in ("server", "token", "seed")))
        except Refused as refusal:
            return end(Gimp.PDBStatusType.EXECUTION_ERROR, str(refusal))
        return end(Gimp.PDBStatusType.SUCCESS)


if __name__ == "__main__":
    Gimp.main(Fill.__gtype__, sys.argv)
