"""QR codes, read as a camera reads them: from a picture, or from what is on a terminal."""

import re

import zxingcpp
from PIL import Image, ImageDraw

# The colours that the program's picture asks for, of xterm's 256, and those of a terminal that is left alone.
COLOURS = {"16": "black", "231": "white"}
INK, PAPER = "#839496", "#002b36"
# The width and the height of a character in dots, and which part of that is drawn for each.
WIDTH, HEIGHT = 8, 16
BLOCKS = {"█": (0, HEIGHT), "▀": (0, HEIGHT // 2), "▄": (HEIGHT // 2, HEIGHT), " ": (0, 0)}


def in_picture(picture):
    """The text of the one code in a picture."""
    found = zxingcpp.read_barcodes(picture.convert("L"))
    assert len(found) == 1 and found[0].format == zxingcpp.BarcodeFormat.QRCode, found
    return found[0].text


def on_terminal(said):
    """The text of the one code among what a program wrote on a terminal, drawn as a dark one draws it."""
    lines = [line.rstrip("\r") for line in said.split("\n")]
    lines = [line for line in lines if line.startswith("\x1b[")]
    columns = max(len(re.sub(r"\x1b\[[\d;]*m", "", line)) for line in lines)
    screen = Image.new("RGB", ((columns + 4) * WIDTH, (len(lines) + 2) * HEIGHT), PAPER)
    draw = ImageDraw.Draw(screen)
    for row, line in enumerate(lines, start=1):
        column, ink, paper = 2, INK, PAPER
        for style, text in re.findall(r"\x1b\[([\d;]*)m([^\x1b]*)", line):
            if style == "0":
                ink, paper = INK, PAPER
            else:
                ink, paper = (COLOURS[colour] for colour in re.fullmatch(r"38;5;(\d+);48;5;(\d+)", style).groups())
            for character in text:
                x, y = column * WIDTH, row * HEIGHT
                top, bottom = BLOCKS[character]
                draw.rectangle((x, y, x + WIDTH - 1, y + HEIGHT - 1), paper)
                if bottom > top:
                    draw.rectangle((x, y + top, x + WIDTH - 1, y + bottom - 1), ink)
                column += 1
    return in_picture(screen)
