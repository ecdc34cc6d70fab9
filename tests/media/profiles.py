"""A colour profile made by hand: Display P3's primaries with a plain gamma, as ICC's specification lays it out."""

import struct

import numpy as np

# Colorants of Display P3 and of sRGB, adapted to D50, as columns X Y Z of red, green and blue.
P3 = np.array([[0.515121, 0.291977, 0.157104], [0.241196, 0.692245, 0.066574], [-0.001053, 0.041885, 0.784073]])
SRGB = np.array([[0.436066, 0.385147, 0.143066], [0.222488, 0.716873, 0.060608], [0.013916, 0.097076, 0.714096]])
GAMMA = 2 + 51 / 256


def display_p3() -> bytes:
    """The profile's bytes."""

    def fixed(values):
        return b"".join(struct.pack(">i", round(float(value) * 65536)) for value in values)

    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(GAMMA * 256)) + bytes(2)
    text = b"P3 by hand"
    described = b"desc" + bytes(4) + struct.pack(">I", len(text) + 1) + text + bytes(1 + 78)
    tags = {
        b"desc": described + bytes(-len(described) % 4), b"cprt": b"text" + bytes(4) + b"none",
        b"wtpt": b"XYZ " + bytes(4) + fixed([0.9642, 1.0, 0.8249]),
        **{name: b"XYZ " + bytes(4) + fixed(P3[:, i]) for i, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))},
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }  # fmt: skip
    table, body, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data
    header = struct.pack(">I4sI4s4s4s", start + len(body), bytes(4), 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + fixed([0.9642, 1.0, 0.8249]) + bytes(48)
    return header + table + body


def p3_to_srgb(pixels: np.ndarray) -> np.ndarray:
    """By the definitions: to light, to XYZ, to sRGB's light, to sRGB's values; uint8 to float."""
    light = (pixels / 255.0) ** GAMMA @ P3.T @ np.linalg.inv(SRGB).T
    light = np.clip(light, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
