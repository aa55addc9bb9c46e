"""Generates the files of the statistics and upload benchmarks, with a fixed seed: text_files.py KIND BYTES SEED PATH.

A block of random lines is repeated to the given size. The block is larger than the processor's caches, and
its length is not a multiple of typical buffer sizes.
"""

import random
import sys

BLOCK = 5_000_011
# Characters of two, three and four bytes. All are printable, and none is a no-break space, since locales
# disagree on these.
ALPHABETS = [
    "àâäåçèéêëîïñóôöøùûüßœšž",
    "абвгдежзийклмнопрстуфхцчшщъыьэюя",
    "αβγδεζηθικλμνξοπρστυφχψω",
    "あいうえおかきくけこさしすせそたちつてとなにぬねの",
    "東京大阪日本語文字言葉時間人生学校電車",
    "😀😁😂😃😄😅🚀🌍🎵",
]
LETTERS = "etaoinshrdlucmfwypvbgk"
ENDS = ["", "", "", "", "", "", ",", ".", ";", "!"]


def _ascii_words(draw):
    return ["".join(draw.choices(LETTERS, k=draw.randint(1, 12))) + draw.choice(ENDS) for _ in range(8_000)]


def _mixed_words(draw):
    """A third of the words is ASCII."""
    words = _ascii_words(draw)[:4_000]
    while len(words) < 12_000:
        words.append("".join(draw.choices(draw.choice(ALPHABETS), k=draw.randint(1, 8))))
    return words


# The separators of words, and the words.
KINDS = {
    "ascii": ([" "], _ascii_words),
    "multibyte": ([" "] * 9 + ["\u3000"], _mixed_words),
}


def _block(kind, seed):
    """Whole lines of 1 to 20 words."""
    draw = random.Random(seed)
    spaces, words = KINDS[kind]
    words = words(draw)
    block = bytearray()
    while len(block) < BLOCK:
        line = draw.choice(spaces).join(draw.choices(words, k=draw.randint(1, 20)))
        block += line.encode() + b"\n"
    return block


def make(kind, size, seed, path):
    """Writes the file. The last block is truncated after a line, so the file is at most `size` bytes long."""
    block = _block(kind, seed)
    left = size
    with open(path, "wb", buffering=0) as file:
        while left >= len(block):
            left -= file.write(block)
        file.write(block[: block.rfind(b"\n", 0, left) + 1])


if __name__ == "__main__":
    kind, size, seed, path = sys.argv[1:]
    make(kind, int(size), int(seed), path)
